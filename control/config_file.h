// The start-up configuration: one sluice.v1.Config as JSON (it begins with '{') or in protobuf's text format.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sluice/v1/sluice.pb.h"

namespace sluice {

class ConfigFile {
 public:
  // An error names the file, the line and the field.
  static absl::StatusOr<ConfigFile> Read(const std::string& path);
  static absl::StatusOr<ConfigFile> Parse(const std::string& path, const std::string& text);

  // Makes all that the file says, and only that, what owner FILE has.
  const v1::ApplyRequest& request() const { return request_; }
  // A refusal of that request, with the lines of the file in place of the request's fields.
  absl::Status Explain(const absl::Status& refusal) const;

 private:
  explicit ConfigFile(std::string path) : path_(std::move(path)) {}
  std::string path_;
  v1::ApplyRequest request_;
  std::function<int(const std::string&)> line_of_;  // 0: unknown
};

}  // namespace sluice
