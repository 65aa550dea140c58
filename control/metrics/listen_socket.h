// ListenSocket is a socket that listens for TCP.
// Threads: a function.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace sluice {

struct ListenSocket {
  int fd;
  uint16_t port;  // another than asked for if that was 0
};

// `where`: "127.0.0.1:9909", "[::1]:9909", "9909" for all addresses of IPv4, "+9909" or "[::]:9909" of both
// families. The socket does not block, and is the caller's to close.
absl::StatusOr<ListenSocket> OpenListenSocket(const std::string& where);

}  // namespace sluice
