// SPDX-License-Identifier: Apache-2.0
#include "tools/channel/channel.h"

#include <grpcpp/grpcpp.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace sluice {
namespace {

constexpr char kDefaultServer[] = "unix:/run/sluice/sluiced.sock";

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// What is in the file that a variable names.
std::string ReadNamedBy(const char* variable, const std::string& server, std::string& wrong) {
  const std::string path = Environment(variable);
  std::stringstream text;
  if (path.empty()) {
    wrong =
        server +
        ": over TCP sluiced wants TLS: set $SLUICE_TLS_CA, $SLUICE_TLS_CERT and $SLUICE_TLS_KEY to PEM files";
  } else if (std::ifstream file(path); !file || !(text << file.rdbuf())) {
    wrong = std::string("$") + variable + " " + path + ": cannot be read, or is empty";
  } else if (text.str().find("-----BEGIN ") == std::string::npos) {
    // gRPC takes an empty authority for the system's.
    wrong = std::string("$") + variable + " " + path + ": is not PEM";
  }
  return text.str();
}

}  // namespace

Channel OpenChannel(const std::string& server) {
  Channel channel{.server = server, .stub = nullptr, .wrong = ""};
  if (channel.server.empty()) channel.server = Environment("SLUICE_SERVER");
  if (channel.server.empty()) channel.server = kDefaultServer;
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (channel.server.rfind("unix:", 0) != 0) {
    grpc::SslCredentialsOptions tls;
    tls.pem_root_certs = ReadNamedBy("SLUICE_TLS_CA", channel.server, channel.wrong);
    if (channel.wrong.empty())
      tls.pem_cert_chain = ReadNamedBy("SLUICE_TLS_CERT", channel.server, channel.wrong);
    if (channel.wrong.empty())
      tls.pem_private_key = ReadNamedBy("SLUICE_TLS_KEY", channel.server, channel.wrong);
    if (!channel.wrong.empty()) return channel;
    credentials = grpc::SslCredentials(tls);
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  // sluiced is near; gRPC would wait up to two minutes with it back.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1'000);
  channel.stub = v1::Sluice::NewStub(grpc::CreateCustomChannel(channel.server, credentials, arguments));
  return channel;
}

}  // namespace sluice
