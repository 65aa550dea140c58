// A small HTTP server for pages that are made when they are asked for: metrics and health.
// Threads: made and ended by one; pages are made by threads of its own.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

struct mg_context;
struct mg_connection;

namespace sluice {

class HttpServer {
 public:
  struct Page {
    int status = 200;
    std::string text;
    std::string type = "text/plain; version=0.0.4; charset=utf-8";
    std::string headers;  // more of them, each with its end of line
  };
  using Pages = std::map<std::string, std::function<Page()>>;  // by path; "*": any other

  // `listen`: "127.0.0.1:9909", "[::1]:9909", "9909" for all addresses of IPv4, "+9909" of both families.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const std::string& listen, Pages pages);
  ~HttpServer();

 private:
  explicit HttpServer(Pages pages) : pages_(std::move(pages)) {}
  static int Answer(mg_connection* connection, void* self);

  const Pages pages_;
  std::string complaint_;  // of the library, while it starts
  mg_context* context_ = nullptr;
};

}  // namespace sluice
