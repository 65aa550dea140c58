// Where the API server is, and how to show who we are: from a kubeconfig, or from what a pod finds in its files.
// Threads: one at a time.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/kubernetes/request_counts.h"

namespace sluice::kubernetes {

// What an exec plugin is asked by.
struct ExecPlugin {
  std::string command;
  std::vector<std::string> arguments;
  std::vector<std::pair<std::string, std::string>> environment;
  std::string api_version;
};

// As configured; files are read when they are needed, for they change.
struct ApiAccess {
  std::vector<std::string> servers;  // "https://10.0.0.1:6443", one after the other
  std::string ca_file, ca_data;      // data is PEM, and wins
  std::string server_name;           // to verify; empty: the URL's
  bool skips_verification = false;
  std::string proxy_url;
  std::string certificate_file, certificate_data;
  std::string key_file, key_data;
  std::string token, token_file;  // the file wins
  ExecPlugin plugin;              // no command: none
  std::shared_ptr<RequestCounts> counts =
      std::make_shared<RequestCounts>();  // of all clients with this access
};

// An error names the file and what is wrong with it.
absl::StatusOr<ApiAccess> ReadKubeConfig(const std::string& path);
// What a pod has. An error if we are in none.
absl::StatusOr<ApiAccess> InCluster();

// What is shown with a request.
struct Credentials {
  std::string token;
  std::string certificate, key;  // PEM
};

// Reads token files and asks plugins, and remembers for as long as is right.
class CredentialSource {
 public:
  explicit CredentialSource(const ApiAccess& access) : access_(access) {}

  absl::StatusOr<Credentials> Get();
  // The server did not know them: they are got anew.
  void Forget() { valid_until_ = {}; }

 private:
  using Clock = std::chrono::system_clock;
  absl::Status AskPlugin();
  absl::Status ReadFiles();

  const ApiAccess access_;
  Credentials known_;
  bool has_any_ = false;
  Clock::time_point valid_until_{};
};

}  // namespace sluice::kubernetes
