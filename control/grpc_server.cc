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

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace sluice {
namespace {

constexpr int kMaxMessageBytes = 256 * 1024 * 1024;  // a configuration of 50,000 services in one request

// Whether a server answers at this path.
bool IsLive(const sockaddr_un& address) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool live = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  close(fd);
  return live;
}

absl::Status MakeRoom(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path[0] != '/' || path.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(absl::StrCat("--listen unix:", path,
                                                   ": must be an absolute path of fewer than ",
                                                   sizeof address.sun_path, " characters"));
  }
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  if (error)
    return absl::ErrnoToStatus(error.value(),
                               absl::StrCat("--listen unix:", path, ": the directory cannot be made"));
  struct stat present;
  if (lstat(path.c_str(), &present) != 0) return absl::OkStatus();
  if (!S_ISSOCK(present.st_mode))
    return absl::AlreadyExistsError(
        absl::StrCat("--listen unix:", path, ": is there already and not a socket"));
  if (IsLive(address)) {
    return absl::AlreadyExistsError(absl::StrCat(
        "--listen unix:", path, ": another sluiced listens there: stop it, or choose another path"));
  }
  unlink(path.c_str());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(const std::string& listen,
                                                              grpc::Service& service) {
  absl::string_view path = listen;
  if (!absl::ConsumePrefix(&path, "unix:")) {
    return absl::InvalidArgumentError(
        absl::StrCat("--listen ", listen, ": must be unix:/PATH; TCP needs TLS, which is not supported yet"));
  }
  std::unique_ptr<GrpcServer> server(new GrpcServer());
  if (const absl::Status room = MakeRoom(std::string(path)); !room.ok()) return room;
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  builder.AddListeningPort(absl::StrCat("unix:", path), grpc::InsecureServerCredentials());
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.RegisterService(&service);
  const mode_t mask = umask(0177);  // the socket is 0600 from its first moment
  server->server_ = builder.BuildAndStart();
  umask(mask);
  if (server->server_ == nullptr)
    return absl::UnavailableError(absl::StrCat("--listen ", listen, ": cannot listen there"));
  server->path_ = std::string(path);
  return server;
}

GrpcServer::~GrpcServer() {
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  server_->Wait();
  unlink(path_.c_str());
}

}  // namespace sluice
