// How the tools reach sluiced: over its Unix socket, or over TCP with TLS.
// Threads: one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "sluice/v1/sluice.grpc.pb.h"

namespace sluice {

struct Channel {
  std::string server;  // where sluiced is thought to listen
  std::unique_ptr<v1::Sluice::Stub> stub;
  std::string wrong;  // why there is none, in words
};

// `server`: unix:PATH or ADDRESS:PORT; empty: $SLUICE_SERVER, or where sluiced listens by default. Over TCP
// $SLUICE_TLS_CA, $SLUICE_TLS_CERT and $SLUICE_TLS_KEY name the files to trust and to show.
Channel OpenChannel(const std::string& server);

}  // namespace sluice
