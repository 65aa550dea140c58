// HttpRequest is a request for a page, read strictly: GET or HEAD of HTTP/1.0 or 1.1, without a body. Bytes are a
// stranger's.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace sluice {

constexpr size_t kLongestHttpRequest = 8192;  // bytes of its line and headers

struct HttpRequest {
  std::string path;  // without a query
  bool is_head = false;
  bool keeps_alive = false;  // the client may send another over the same connection
  int refusal = 0;           // HTTP's status where the request is wrong; 0: it is right
  const char* why = "";      // in words, where it is wrong
  size_t size = 0;           // bytes it took; what follows is the next request
};

// Nothing: more bytes must come first. Never so for kLongestHttpRequest bytes or more.
std::optional<HttpRequest> ReadHttpRequest(absl::string_view bytes);

}  // namespace sluice
