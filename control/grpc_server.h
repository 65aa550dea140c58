// Serves the API on a Unix socket that only its owner may open, and over TCP for those who prove who they
// are, with health checking and reflection.
// Threads: one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "control/listener.h"
#include "control/stream_places.h"
#include "control/tls_files.h"

namespace grpc {
class Server;
class Service;
namespace experimental {
class ExternalConnectionAcceptor;
}  // namespace experimental
}  // namespace grpc

namespace sluice {

struct GrpcOptions {
  // "unix:/path". A socket that a dead server left behind is replaced; a live one is an error.
  std::string listen = "unix:/run/sluice/sluiced.sock";
  std::string tls_address;  // empty: not over TCP
  std::string tls_certificate;
  std::string tls_key;
  std::string tls_client_ca;
};

class GrpcServer {
 public:
  // Whether Start would get so far: before anything else is done that others would notice.
  static absl::Status Check(const GrpcOptions& options);
  // `streams` bounds those of reflection, too; so many threads are there, and some for the rest.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(const GrpcOptions& options, grpc::Service& service,
                                                           StreamPlaces& streams, ConnectionCounts& counts);
  // Returns soon, whatever clients do: calls have a second to end, then their connections are cut.
  ~GrpcServer();

 private:
  GrpcServer() = default;

  // A way in: what it accepts is the acceptor's.
  struct Door {
    std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor;
    std::unique_ptr<Listener> listener;
  };
  void CutAfter(std::chrono::milliseconds patience);

  std::unique_ptr<TlsFiles> tls_files_;
  std::vector<Door> doors_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace sluice
