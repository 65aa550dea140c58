// sluiced's command line.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "dataplane/runtime/dataplane.h"

namespace sluice {

struct Options {
  DataplaneOptions dataplane;
  std::string listen = "unix:/run/sluice/sluiced.sock";
  std::string config_file;
  bool help = false;
  bool version = false;
};

// An error names the option and the rule.
absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& arguments);

extern const char kUsage[];

}  // namespace sluice
