// Serves the API on a Unix socket that only its owner may open, and over TCP for those who prove who they
// are, with health checking and reflection.
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

struct GrpcOptions {
  // "unix:/path". A socket that a dead server left behind is replaced; a live one is an error.
  std::string listen = "unix:/run/sluice/sluiced.sock";
  std::string tls_address;  // empty: not over TCP
  std::string tls_certificate;
  std::string tls_key;
  std::string tls_client_ca;
  int streams = 24;  // that stay open, so that threads are left for the rest
};

class GrpcServer {
 public:
  // Whether Start would get so far: before anything else is done that others would notice.
  static absl::Status Check(const GrpcOptions& options);
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(const GrpcOptions& options,
                                                           grpc::Service& service);
  ~GrpcServer();

 private:
  GrpcServer() = default;
  std::string path_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace sluice
