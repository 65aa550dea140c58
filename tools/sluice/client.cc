// SPDX-License-Identifier: Apache-2.0
#include "tools/sluice/client.h"

#include <grpcpp/grpcpp.h>

#include <cstdio>

namespace sluice {

SluiceClient::SluiceClient(const std::string& server) : channel_(OpenChannel(server)) {}

int SluiceClient::Check() const {
  if (channel_.stub != nullptr) return kDone;
  std::fprintf(stderr, "sluice: %s\n", channel_.wrong.c_str());
  return kWrongUse;
}

int SluiceClient::Complain(const grpc::Status& status) const {
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    std::fprintf(stderr,
                 "sluice: no sluiced answers at %s: is it running, and may you open its socket? --server and "
                 "$SLUICE_SERVER say where it listens\n",
                 channel_.server.c_str());
    return kNoAnswer;
  }
  v1::Refusals refusals;
  refusals.ParseFromString(status.error_details());
  for (const v1::Refusal& refusal : refusals.refusals())
    std::fprintf(stderr, "sluice: %s: %s\n", refusal.field().c_str(), refusal.message().c_str());
  if (refusals.left_out() > 0)
    std::fprintf(stderr, "sluice: and %llu more\n", static_cast<unsigned long long>(refusals.left_out()));
  if (refusals.refusals_size() == 0) std::fprintf(stderr, "sluice: %s\n", status.error_message().c_str());
  return kRefused;
}

int WrongUse(const std::string& what) {
  std::fprintf(stderr, "sluice: %s; see sluice --help\n", what.c_str());
  return kWrongUse;
}

}  // namespace sluice
