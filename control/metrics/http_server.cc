// SPDX-License-Identifier: Apache-2.0
#include "control/metrics/http_server.h"

#include <civetweb.h>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

int NoteComplaint(const mg_connection* connection, const char* message) {
  *static_cast<std::string*>(mg_get_user_data(mg_get_context(connection))) = message;
  return 1;
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const std::string& listen, Pages pages) {
  std::unique_ptr<HttpServer> server(new HttpServer(std::move(pages)));
  // A client that says nothing, or too much, is cut off; more than a few at once wait.
  const char* options[] = {"listening_ports",
                           listen.c_str(),
                           "num_threads",
                           "8",
                           "request_timeout_ms",
                           "2000",
                           "max_request_size",
                           "8192",
                           "enable_directory_listing",
                           "no",
                           nullptr};
  mg_callbacks callbacks{};
  callbacks.log_message = NoteComplaint;
  server->context_ = mg_start(&callbacks, &server->complaint_, options);
  if (server->context_ == nullptr) {
    return absl::UnavailableError(
        absl::StrCat(listen, ": cannot listen there",
                     server->complaint_.empty() ? "" : absl::StrCat(" (", server->complaint_, ")")));
  }
  mg_set_request_handler(server->context_, "/", Answer, server.get());
  return server;
}

HttpServer::~HttpServer() {
  if (context_ != nullptr) mg_stop(context_);
}

int HttpServer::Answer(mg_connection* connection, void* self) {
  const mg_request_info& request = *mg_get_request_info(connection);
  const Pages& pages = static_cast<HttpServer*>(self)->pages_;
  const std::string method = request.request_method;
  auto found = pages.find(request.local_uri);
  if (found == pages.end()) found = pages.find("*");
  Page page{.status = 404, .text = "there is no such page\n"};
  if (method != "GET" && method != "HEAD") {
    page = {.status = 405, .text = "only GET and HEAD\n"};
  } else if (found != pages.end()) {
    page = found->second();
  }
  mg_printf(connection,
            "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s"
            "Cache-Control: no-store\r\nConnection: close\r\n\r\n",
            page.status, mg_get_response_code_text(connection, page.status), page.type.c_str(),
            page.text.size(), page.headers.c_str());
  if (method != "HEAD") mg_write(connection, page.text.data(), page.text.size());
  return page.status;
}

}  // namespace sluice
