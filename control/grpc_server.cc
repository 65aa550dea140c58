// SPDX-License-Identifier: Apache-2.0
#include "control/grpc_server.h"

#include <grpc/grpc.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "control/listening_socket.h"
#include "control/open_files.h"
#include "control/reflection_limit.h"

namespace sluice {
namespace {

using FromFd = grpc::ServerBuilder::experimental_type::ExternalConnectionType;

constexpr int kMaxMessageBytes = 256 * 1024 * 1024;  // a configuration of 50,000 services in one request

constexpr int kMaxStreams = 64;   // of a client
constexpr int kMoreThreads = 40;  // than streams that stay open
constexpr int kKeepaliveMs = 20'000;
constexpr int kHandshakeMs = 10'000;                  // until a client has proved who it is
constexpr std::chrono::milliseconds kPatience{1000};  // with calls, when the process ends

absl::StatusOr<std::string> PathOf(const std::string& listen) {
  absl::string_view path = listen;
  if (absl::ConsumePrefix(&path, "unix:")) return std::string(path);
  return absl::InvalidArgumentError(
      absl::StrCat("--listen ", listen, ": must be unix:/PATH; over TCP only with TLS: --listen-tls"));
}

TlsFiles::Paths TlsPaths(const GrpcOptions& options) {
  return {.certificate = options.tls_certificate, .key = options.tls_key, .client_ca = options.tls_client_ca};
}

// A listener may have an eighth of the descriptors: two for each connection, and half are left when both
// listeners are full.
Listener::Limits LimitsOfConnections() {
  Listener::Limits limits;
  limits.connections = std::min<size_t>(256, OpenFileLimit() / 8);
  limits.of_a_peer = std::min<size_t>(64, limits.connections / 2);
  return limits;
}

Listener::Hand HandTo(grpc::experimental::ExternalConnectionAcceptor& acceptor) {
  return [&acceptor](int socket, int connection) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
    parameters.listener_fd = socket;
    parameters.fd = connection;
    acceptor.HandleNewConnection(&parameters);
  };
}

void SetLimits(grpc::ServerBuilder& builder, StreamPlaces& streams) {
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreams);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMs);
  // Clients that are gone without a word are noticed.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveMs);
  grpc::ResourceQuota quota("sluiced");
  quota.SetMaxThreads(static_cast<int>(streams.most()) + kMoreThreads);
  builder.SetResourceQuota(quota);
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(ReflectionLimit(streams));
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
}

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(const GrpcOptions& options,
                                                              grpc::Service& service, StreamPlaces& streams,
                                                              ConnectionCounts& counts) {
  if (const absl::Status checked = Check(options); !checked.ok()) return checked;
  const std::string path = *PathOf(options.listen);
  std::unique_ptr<GrpcServer> server(new GrpcServer());
  std::vector<int> tcp_sockets;
  if (!options.tls_address.empty()) {
    absl::StatusOr<std::vector<int>> sockets = ListenOnTcp(options.tls_address);
    if (!sockets.ok()) return sockets.status();
    tcp_sockets = *std::move(sockets);
  }
  const absl::StatusOr<int> unix_socket = ListenOnUnix(path);
  if (!unix_socket.ok()) return unix_socket.status();

  // Never undone: once its last object has gone, gRPC waits 10 seconds for what peers have left unread.
  grpc_init();
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  SetLimits(builder, streams);
  builder.RegisterService(&service);
  server->doors_.resize(tcp_sockets.empty() ? 1 : 2);
  server->doors_[0].acceptor = builder.experimental().AddExternalConnectionAcceptor(
      FromFd::FROM_FD, grpc::InsecureServerCredentials());
  if (!tcp_sockets.empty()) {
    server->tls_files_ = std::make_unique<TlsFiles>(TlsPaths(options));
    server->doors_[1].acceptor = builder.experimental().AddExternalConnectionAcceptor(
        FromFd::FROM_FD, TlsFiles::Credentials(*server->tls_files_));
  }
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr) return absl::UnavailableError("gRPC does not start");
  const Listener::Limits limits = LimitsOfConnections();
  server->doors_[0].listener = std::make_unique<Listener>(
      std::vector<int>{*unix_socket}, limits,
      Listener::Renewal{.path = path, .listen = [path] { return ListenOnUnix(path); }}, counts,
      HandTo(*server->doors_[0].acceptor));
  if (!tcp_sockets.empty()) {
    server->doors_[1].listener = std::make_unique<Listener>(
        std::move(tcp_sockets), limits, Listener::Renewal{}, counts, HandTo(*server->doors_[1].acceptor));
  }
  return server;
}

absl::Status GrpcServer::Check(const GrpcOptions& options) {
  const absl::StatusOr<std::string> path = PathOf(options.listen);
  if (!path.ok()) return path.status();
  if (const absl::Status checked = CheckUnixPath(*path); !checked.ok()) return checked;
  if (options.tls_address.empty()) return absl::OkStatus();
  return TlsFiles(TlsPaths(options)).Read().status();
}

GrpcServer::~GrpcServer() {
  if (server_ == nullptr) return;
  for (const Door& door : doors_) {
    if (door.listener != nullptr) door.listener->Stop();
  }
  CutAfter(kPatience);
}

// gRPC waits for a write to end before it closes a connection, however dead it is: then only the socket's end
// helps.
void GrpcServer::CutAfter(std::chrono::milliseconds patience) {
  const auto end = std::chrono::system_clock::now() + patience;
  std::mutex mutex;
  std::condition_variable changed;
  bool has_ended = false;
  std::thread cut([&] {
    std::unique_lock lock(mutex);
    if (changed.wait_for(lock, patience, [&] { return has_ended; })) return;
    for (const Door& door : doors_) {
      if (door.listener != nullptr) door.listener->EndConnections();
    }
  });
  server_->Shutdown(end);
  server_->Wait();
  {
    const std::lock_guard lock(mutex);
    has_ended = true;
    changed.notify_all();
  }
  cut.join();
}

}  // namespace sluice
