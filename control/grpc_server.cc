// SPDX-License-Identifier: Apache-2.0
#include "control/grpc_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace sluice {
namespace {

constexpr int kMaxMessageBytes = 256 * 1024 * 1024;  // a configuration of 50,000 services in one request

constexpr int kMaxStreams = 64;   // of a client
constexpr int kMoreThreads = 40;  // than streams that stay open
constexpr int kKeepaliveMs = 20'000;

absl::StatusOr<std::string> ReadPem(const char* option, const std::string& path) {
  if (path.empty())
    return absl::InvalidArgumentError(absl::StrCat("--listen-tls needs ", option, " FILE, too"));
  std::ifstream file(path);
  std::stringstream text;
  if (!file || !(text << file.rdbuf()))
    return absl::ErrnoToStatus(errno, absl::StrCat(option, " ", path, ": cannot be read"));
  if (text.str().find("-----BEGIN ") == std::string::npos)
    return absl::InvalidArgumentError(absl::StrCat(option, " ", path, ": is not PEM"));
  return text.str();
}

// Null without --listen-tls.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> TlsCredentials(const GrpcOptions& options) {
  if (options.tls_address.empty()) return nullptr;
  const absl::StatusOr<std::string> certificate = ReadPem("--tls-cert", options.tls_certificate);
  if (!certificate.ok()) return certificate.status();
  const absl::StatusOr<std::string> key = ReadPem("--tls-key", options.tls_key);
  if (!key.ok()) return key.status();
  const absl::StatusOr<std::string> client_ca = ReadPem("--tls-client-ca", options.tls_client_ca);
  if (!client_ca.ok()) return client_ca.status();
  grpc::SslServerCredentialsOptions tls(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  tls.pem_root_certs = *client_ca;
  tls.pem_key_cert_pairs.push_back({*key, *certificate});
  return grpc::SslServerCredentials(tls);
}

// Whether a server answers at this path.
bool IsLive(const sockaddr_un& address) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool live = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  close(fd);
  return live;
}

absl::Status CheckPath(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path[0] != '/' || path.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(absl::StrCat("--listen unix:", path,
                                                   ": must be an absolute path of fewer than ",
                                                   sizeof address.sun_path, " characters"));
  }
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  struct stat present;
  if (lstat(path.c_str(), &present) != 0) return absl::OkStatus();
  if (!S_ISSOCK(present.st_mode))
    return absl::AlreadyExistsError(
        absl::StrCat("--listen unix:", path, ": is there already and not a socket"));
  if (!IsLive(address)) return absl::OkStatus();
  return absl::AlreadyExistsError(absl::StrCat(
      "--listen unix:", path, ": another sluiced listens there: stop it, or choose another path"));
}

absl::Status MakeRoom(const std::string& path) {
  if (const absl::Status checked = CheckPath(path); !checked.ok()) return checked;
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  if (error)
    return absl::ErrnoToStatus(error.value(),
                               absl::StrCat("--listen unix:", path, ": the directory cannot be made"));
  unlink(path.c_str());
  return absl::OkStatus();
}

absl::StatusOr<std::string> PathOf(const std::string& listen) {
  absl::string_view path = listen;
  if (absl::ConsumePrefix(&path, "unix:")) return std::string(path);
  return absl::InvalidArgumentError(
      absl::StrCat("--listen ", listen, ": must be unix:/PATH; over TCP only with TLS: --listen-tls"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(const GrpcOptions& options,
                                                              grpc::Service& service) {
  const std::string& listen = options.listen;
  const absl::StatusOr<std::string> socket_path = PathOf(listen);
  if (!socket_path.ok()) return socket_path.status();
  const std::string& path = *socket_path;
  const absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> tls = TlsCredentials(options);
  if (!tls.ok()) return tls.status();
  std::unique_ptr<GrpcServer> server(new GrpcServer());
  if (const absl::Status room = MakeRoom(path); !room.ok()) return room;
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  builder.AddListeningPort(absl::StrCat("unix:", path), grpc::InsecureServerCredentials());
  int tls_port = 0;
  if (!options.tls_address.empty()) builder.AddListeningPort(options.tls_address, *tls, &tls_port);
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreams);
  // Clients that are gone without a word are noticed.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveMs);
  grpc::ResourceQuota quota("sluiced");
  quota.SetMaxThreads(options.streams + kMoreThreads);
  builder.SetResourceQuota(quota);
  builder.RegisterService(&service);
  const mode_t mask = umask(0177);  // the socket is 0600 from its first moment
  server->server_ = builder.BuildAndStart();
  umask(mask);
  if (server->server_ == nullptr) {
    return absl::UnavailableError(
        options.tls_address.empty()
            ? absl::StrCat("--listen ", listen, ": cannot listen there")
            : absl::StrCat(
                  "--listen-tls ", options.tls_address,
                  ": cannot listen there; is the address this host's, the port free, and do certificate "
                  "and key belong together?"));
  }
  server->path_ = path;
  return server;
}

absl::Status GrpcServer::Check(const GrpcOptions& options) {
  const absl::StatusOr<std::string> path = PathOf(options.listen);
  if (!path.ok()) return path.status();
  if (const absl::Status checked = CheckPath(*path); !checked.ok()) return checked;
  return TlsCredentials(options).status();
}

GrpcServer::~GrpcServer() {
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  server_->Wait();
  unlink(path_.c_str());
}

}  // namespace sluice
