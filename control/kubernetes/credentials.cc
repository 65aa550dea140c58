// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/credentials.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "control/kubernetes/json_reader.h"

extern char** environ;

namespace sluice::kubernetes {
namespace {

using namespace std::chrono_literals;

constexpr char kPodFiles[] = "/var/run/secrets/kubernetes.io/serviceaccount/";
// The kubelet writes a pod's token anew long before it expires.
constexpr auto kTokenFor = 50s;
constexpr auto kPluginPatience = 60s;

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(absl::StrCat(path, ": cannot be read"));
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::string Text(const YAML::Node& node, const char* name) {
  const YAML::Node& value = node[name];
  return value && value.IsScalar() ? value.as<std::string>() : std::string();
}

// The entry of this name in a list of {name, `what`: ...}.
YAML::Node Named(const YAML::Node& list, const std::string& name, const char* what) {
  for (const YAML::Node& each : list) {
    if (Text(each, "name") == name) return each[what];
  }
  return YAML::Node(YAML::NodeType::Undefined);
}

absl::Status Decode(const YAML::Node& node, const char* name, std::string& pem) {
  const std::string text = Text(node, name);
  if (!absl::Base64Unescape(text, &pem))
    return absl::InvalidArgumentError(absl::StrCat(name, ": is not base64"));
  return absl::OkStatus();
}

absl::StatusOr<ApiAccess> AccessOf(const YAML::Node& config, const std::string& folder) {
  const auto file_of = [&](const YAML::Node& node, const char* name) {
    const std::string path = Text(node, name);
    return path.empty() || path.front() == '/' ? path : folder + path;
  };
  const std::string context_name = Text(config, "current-context");
  const YAML::Node context = Named(config["contexts"], context_name, "context");
  if (!context)
    return absl::InvalidArgumentError(
        absl::StrCat("current-context ", context_name, ": there is no such context"));
  const YAML::Node cluster = Named(config["clusters"], Text(context, "cluster"), "cluster");
  if (!cluster || Text(cluster, "server").empty())
    return absl::InvalidArgumentError(absl::StrCat("cluster ", Text(context, "cluster"), ": has no server"));
  ApiAccess access;
  access.servers = {Text(cluster, "server")};
  access.ca_file = file_of(cluster, "certificate-authority");
  access.server_name = Text(cluster, "tls-server-name");
  access.skips_verification = Text(cluster, "insecure-skip-tls-verify") == "true";
  access.proxy_url = Text(cluster, "proxy-url");
  if (const auto status = Decode(cluster, "certificate-authority-data", access.ca_data); !status.ok())
    return status;
  const YAML::Node user = Named(config["users"], Text(context, "user"), "user");
  if (!user) return access;
  access.certificate_file = file_of(user, "client-certificate");
  access.key_file = file_of(user, "client-key");
  access.token = Text(user, "token");
  access.token_file = file_of(user, "tokenFile");
  if (const auto status = Decode(user, "client-certificate-data", access.certificate_data); !status.ok())
    return status;
  if (const auto status = Decode(user, "client-key-data", access.key_data); !status.ok()) return status;
  const YAML::Node exec = user["exec"];
  if (!exec) return access;
  access.plugin.command = Text(exec, "command");
  if (access.plugin.command.empty()) return absl::InvalidArgumentError("user.exec: has no command");
  if (Text(exec, "interactiveMode") == "Always")
    return absl::InvalidArgumentError("user.exec.interactiveMode: Always: nobody is there to be asked");
  if (access.plugin.command.find('/') != std::string::npos && access.plugin.command.front() != '/')
    access.plugin.command = folder + access.plugin.command;
  access.plugin.api_version = Text(exec, "apiVersion");
  for (const YAML::Node& each : exec["args"]) access.plugin.arguments.push_back(each.as<std::string>());
  for (const YAML::Node& each : exec["env"])
    access.plugin.environment.emplace_back(Text(each, "name"), Text(each, "value"));
  return access;
}

// What a command writes, unless it fails or takes too long.
absl::StatusOr<std::string> OutputOf(const ExecPlugin& plugin, std::vector<std::string> environment) {
  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe");
  std::vector<char*> arguments = {const_cast<char*>(plugin.command.c_str())};
  for (const std::string& each : plugin.arguments) arguments.push_back(const_cast<char*>(each.c_str()));
  arguments.push_back(nullptr);
  std::vector<char*> variables;
  for (const std::string& each : environment) variables.push_back(const_cast<char*>(each.c_str()));
  variables.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], 1);
  pid_t child = 0;
  const int error =
      posix_spawnp(&child, plugin.command.c_str(), &actions, nullptr, arguments.data(), variables.data());
  posix_spawn_file_actions_destroy(&actions);
  close(pipe_ends[1]);
  std::string output;
  if (error == 0) {
    const auto end = std::chrono::steady_clock::now() + kPluginPatience;
    pollfd polled = {pipe_ends[0], POLLIN, 0};
    char bytes[4096];
    ssize_t got = 1;
    while (got > 0 && std::chrono::steady_clock::now() < end && output.size() < 1 << 20) {
      if (poll(&polled, 1, 100) <= 0) continue;
      got = read(pipe_ends[0], bytes, sizeof bytes);
      if (got > 0) output.append(bytes, static_cast<size_t>(got));
    }
    if (got > 0) kill(child, SIGKILL);
  }
  close(pipe_ends[0]);
  if (error != 0) return absl::ErrnoToStatus(error, absl::StrCat(plugin.command, ": cannot be run"));
  int status = 0;
  waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return absl::UnavailableError(absl::StrCat(plugin.command, ": failed"));
  return output;
}

}  // namespace

absl::StatusOr<ApiAccess> ReadKubeConfig(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash + 1);
  try {
    absl::StatusOr<ApiAccess> access = AccessOf(YAML::LoadFile(path), folder);
    if (access.ok()) return access;
    return absl::Status(access.status().code(), absl::StrCat(path, ": ", access.status().message()));
  } catch (const YAML::Exception& fault) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", fault.what()));
  }
}

absl::StatusOr<ApiAccess> InCluster() {
  const char* const host = std::getenv("KUBERNETES_SERVICE_HOST");
  const char* const port = std::getenv("KUBERNETES_SERVICE_PORT");
  if (host == nullptr || port == nullptr)
    return absl::FailedPreconditionError(
        "this is no pod (KUBERNETES_SERVICE_HOST and _PORT are not set): use --kubeconfig FILE");
  ApiAccess access;
  const std::string address = host;
  const bool is_v6 = address.find(':') != std::string::npos;
  access.servers = {absl::StrCat("https://", is_v6 ? "[" : "", address, is_v6 ? "]" : "", ":", port)};
  access.ca_file = absl::StrCat(kPodFiles, "ca.crt");
  access.token_file = absl::StrCat(kPodFiles, "token");
  return access;
}

absl::StatusOr<Credentials> CredentialSource::Get() {
  if (Clock::now() < valid_until_) return known_;
  const absl::Status got = access_.plugin.command.empty() ? ReadFiles() : AskPlugin();
  // What was right a minute ago may still be.
  if (!got.ok() && !has_any_) return got;
  has_any_ = true;
  return known_;
}

absl::Status CredentialSource::ReadFiles() {
  Credentials fresh;
  fresh.token = access_.token;
  const auto read = [](const std::string& path, std::string& to) {
    if (path.empty()) return absl::OkStatus();
    absl::StatusOr<std::string> text = ReadFile(path);
    if (text.ok()) to = *std::move(text);
    return text.status();
  };
  if (const auto status = read(access_.token_file, fresh.token); !status.ok()) return status;
  if (const auto status = read(access_.certificate_file, fresh.certificate); !status.ok()) return status;
  if (const auto status = read(access_.key_file, fresh.key); !status.ok()) return status;
  if (!access_.certificate_data.empty()) fresh.certificate = access_.certificate_data;
  if (!access_.key_data.empty()) fresh.key = access_.key_data;
  fresh.token = std::string(absl::StripAsciiWhitespace(fresh.token));
  known_ = std::move(fresh);
  valid_until_ = Clock::now() + kTokenFor;
  return absl::OkStatus();
}

absl::Status CredentialSource::AskPlugin() {
  std::vector<std::string> environment;
  for (char** each = environ; *each != nullptr; ++each) environment.emplace_back(*each);
  for (const auto& [name, value] : access_.plugin.environment) environment.push_back(name + "=" + value);
  environment.push_back(absl::StrCat("KUBERNETES_EXEC_INFO={\"kind\":\"ExecCredential\",\"apiVersion\":\"",
                                     access_.plugin.api_version, "\",\"spec\":{\"interactive\":false}}"));
  const absl::StatusOr<std::string> output = OutputOf(access_.plugin, std::move(environment));
  if (!output.ok()) return output.status();
  Credentials fresh;
  std::string expires;
  JsonReader json(*output);
  json.Object([&](std::string_view key) {
    if (key != "status") return json.Skip();
    json.Object([&](std::string_view field) {
      if (field == "token") {
        fresh.token = json.String();
      } else if (field == "clientCertificateData") {
        fresh.certificate = json.String();
      } else if (field == "clientKeyData") {
        fresh.key = json.String();
      } else if (field == "expirationTimestamp") {
        expires = json.String();
      } else {
        json.Skip();
      }
    });
  });
  if (!json.ok() || (fresh.token.empty() && fresh.certificate.empty()))
    return absl::DataLossError(
        absl::StrCat(access_.plugin.command, ": printed no ExecCredential: ", json.error()));
  known_ = std::move(fresh);
  absl::Time until = absl::InfiniteFuture();
  std::string ignored;
  if (!expires.empty() && !absl::ParseTime(absl::RFC3339_full, expires, &until, &ignored))
    until = absl::Now();
  valid_until_ = expires.empty() ? Clock::time_point::max() : absl::ToChronoTime(until);
  return absl::OkStatus();
}

}  // namespace sluice::kubernetes
