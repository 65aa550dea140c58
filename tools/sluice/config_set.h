// One configuration out of several files.
// Threads: a value.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/config_file.h"
#include "sluice/v1/sluice.pb.h"

namespace sluice {

class ConfigSet {
 public:
  // A file, or all *.json, *.txtpb and *.textproto of a folder, by name. An error names file and line.
  static absl::StatusOr<ConfigSet> Read(const std::string& path);

  const v1::Config& config() const { return config_; }
  // What sluiced refused of a ReplaceOwned of this, with files and lines.
  std::string Explain(const v1::Refusals& refusals) const;

 private:
  struct Part {
    ConfigFile file;
    // How many of each kind the parts before have.
    int services = 0;
    int fwmark_rules = 0;
    int local_addresses = 0;
  };
  absl::Status Add(const std::string& path);
  std::string Explain(const v1::Refusal& refusal) const;

  std::vector<Part> parts_;
  v1::Config config_;
};

}  // namespace sluice
