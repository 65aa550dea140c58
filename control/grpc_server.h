// Serves the API on a Unix socket that only its owner may open, with health checking and reflection.
// Threads: one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace grpc {
class Server;
class Service;
}  // namespace grpc

namespace sluice {

class GrpcServer {
 public:
  // `listen`: "unix:/path". A socket that a dead server left behind is replaced; a live one is an error.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(const std::string& listen, grpc::Service& service);
  ~GrpcServer();

 private:
  GrpcServer() = default;
  std::string path_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace sluice
