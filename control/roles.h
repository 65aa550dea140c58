// Who may do how much over TCP, by the name in the certificate: its common name, or one of its alternative
// names. Without any role given, whoever has a certificate may do all; on the Unix socket, everybody may.
// Threads: const after it was made.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace grpc {
class ServerContext;
}  // namespace grpc

namespace sluice {

// Each may do what those before it may.
enum class Role {
  kNone,
  kRead,   // ask and watch
  kWrite,  // change the configuration, forget connections, zero statistics
  kAll,    // hand over to the kernel and back
};

class Roles {
 public:
  // "NAME=read", "NAME=write" or "NAME=all".
  absl::Status Add(const std::string& text);

  // OK, or who it is and what role it lacks.
  absl::Status Check(const grpc::ServerContext& context, Role needed) const;
  Role Of(absl::string_view name) const;

 private:
  std::map<std::string, Role, std::less<>> by_name_;
};

}  // namespace sluice
