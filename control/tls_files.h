// The certificate, key and client authorities of --listen-tls. They are read again when they have changed:
// until the new ones are sound and belong together, the old ones hold.
// Threads: any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "control/mutex.h"

namespace grpc {
class ServerCredentials;
}  // namespace grpc

namespace sluice {

class TlsFiles {
 public:
  struct Paths {
    std::string certificate;
    std::string key;
    std::string client_ca;
  };
  struct Texts {
    std::string certificate;
    std::string key;
    std::string client_ca;

    bool operator==(const Texts&) const = default;
  };

  explicit TlsFiles(Paths paths) : paths_(std::move(paths)) {}

  // What they hold now; an error names the option, the file and what is wrong.
  absl::StatusOr<Texts> Read() const;
  // What they hold, if that has changed since the last call and can be used.
  std::optional<Texts> News();

  // For clients with a certificate. `files` must live as long as they are used.
  static std::shared_ptr<grpc::ServerCredentials> Credentials(TlsFiles& files);

 private:
  const Paths paths_;
  Mutex mutex_;
  std::chrono::steady_clock::time_point next_look_ ABSL_GUARDED_BY(mutex_);
  Texts used_ ABSL_GUARDED_BY(mutex_);
  std::string complaint_ ABSL_GUARDED_BY(mutex_);  // that was made last
};

}  // namespace sluice
