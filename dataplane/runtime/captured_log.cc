// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/captured_log.h"

#include <rte_log.h>

#include <cstdlib>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace sluice {

CapturedLog::CapturedLog() : stream_(open_memstream(&text_, &size_)) { rte_openlog_stream(stream_); }

CapturedLog::~CapturedLog() {
  rte_openlog_stream(stderr);
  fclose(stream_);
  std::free(text_);
}

std::string CapturedLog::Lines() {
  constexpr size_t kMost = 4;  // a cause is logged before what comes of it
  fflush(stream_);
  std::vector<std::string> lines = absl::StrSplit(std::string(text_, size_), '\n', absl::SkipWhitespace());
  if (lines.size() > kMost) lines.erase(lines.begin(), lines.end() - kMost);
  return lines.empty() ? "no reason given" : absl::StrJoin(lines, "; ");
}

}  // namespace sluice
