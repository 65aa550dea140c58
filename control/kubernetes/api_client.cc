// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/api_client.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "control/kubernetes/objects.h"

namespace sluice::kubernetes {
namespace {

constexpr size_t kLargestAnswer = size_t{512} << 20;
// A watch may be silent for minutes: only the connection itself tells that its other end is gone.
constexpr int kIdleSeconds = 30, kProbeSeconds = 5;

int KeepAlive(void*, curl_socket_t socket, curlsocktype) {
  const int on = 1, gone_ms = (kIdleSeconds + 3 * kProbeSeconds) * 1000;
  setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &kIdleSeconds, sizeof kIdleSeconds);
  setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &kProbeSeconds, sizeof kProbeSeconds);
  setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &gone_ms, sizeof gone_ms);
  return CURL_SOCKOPT_OK;
}

curl_blob BlobOf(const std::string& text) {
  return {const_cast<char*>(text.data()), text.size(), CURL_BLOB_COPY};
}

std::string FileText(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

std::string Query(std::string_view name, std::string_view value) {
  std::string query = absl::StrCat(absl::string_view(name.data(), name.size()), "=");
  for (const char each : value) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(each)) || each == '-' || each == '.' || each == '_') {
      query.push_back(each);
    } else {
      absl::StrAppend(&query, "%", absl::Hex(static_cast<uint8_t>(each), absl::kZeroPad2));
    }
  }
  return query;
}

std::string ApiClient::Answer::Describe() const {
  if (code == 0) return error;
  ApiStatus status;
  JsonReader json(body);
  if (!body.empty() && body.front() == '{') Read(json, status);
  std::string said =
      status.message.empty() ? body.substr(0, std::min<size_t>(body.find('\n'), 200)) : status.message;
  return absl::StrCat("HTTP ", code, said.empty() ? "" : ": ", said, error.empty() ? "" : ": ", error);
}

ApiClient::ApiClient(const ApiAccess& access)
    : access_(access), credentials_(access), curl_(curl_easy_init()) {}

ApiClient::~ApiClient() { curl_easy_cleanup(curl_); }

ApiClient::Answer ApiClient::Get(const std::string& path, std::chrono::seconds patience) {
  return Do(path, patience, nullptr, nullptr);
}

ApiClient::Answer ApiClient::Post(const std::string& path, const std::string& body,
                                  std::chrono::seconds patience) {
  return Do(path, patience, &body, nullptr);
}

ApiClient::Answer ApiClient::Watch(const std::string& path,
                                   const std::function<bool(std::string_view)>& receive) {
  return Do(path, std::chrono::seconds(0), nullptr, receive);
}

ApiClient::Answer ApiClient::Do(const std::string& path, std::chrono::seconds patience,
                                const std::string* body,
                                const std::function<bool(std::string_view)>& receive) {
  Answer answer = DoOnce(path, patience, body, receive);
  if (answer.code == 401) {
    credentials_.Forget();
    answer = DoOnce(path, patience, body, receive);
  }
  // Another server, if there is one, may be well.
  if (answer.code == 0 && !access_.servers.empty()) server_ = (server_ + 1) % access_.servers.size();
  return answer;
}

struct ApiClient::Transfer {
  ApiClient* client;
  const std::string& server;
  const char* method;
  const std::function<bool(std::string_view)>& receive;
  Answer& answer;
  bool ended_by_us = false;
  bool is_counted = false;

  // A watch is answered long before it ends.
  void Count(long code) {
    if (!std::exchange(is_counted, true)) client->access_.counts->Add(method, server, code);
  }
  static size_t Body(char* bytes, size_t, size_t count, void* self) {
    auto& transfer = *static_cast<Transfer*>(self);
    curl_easy_getinfo(transfer.client->curl_, CURLINFO_RESPONSE_CODE, &transfer.answer.code);
    if (transfer.receive && transfer.answer.code == 200) {
      if (transfer.receive({bytes, count})) return count;
      transfer.ended_by_us = true;
      return 0;
    }
    if (transfer.answer.body.size() + count > kLargestAnswer) return 0;
    transfer.answer.body.append(bytes, count);
    return count;
  }
  static size_t Header(char* bytes, size_t, size_t count, void* self) {
    const absl::string_view line(bytes, count);
    auto& transfer = *static_cast<Transfer*>(self);
    if (line == "\r\n") {
      long code = 0;
      curl_easy_getinfo(transfer.client->curl_, CURLINFO_RESPONSE_CODE, &code);
      transfer.Count(code);
    }
    constexpr absl::string_view kName = "retry-after:";
    int seconds = 0;
    if (line.size() > kName.size() && absl::AsciiStrToLower(line.substr(0, kName.size())) == kName &&
        absl::SimpleAtoi(absl::StripAsciiWhitespace(line.substr(kName.size())), &seconds))
      transfer.answer.retry_after_seconds = std::clamp(seconds, 0, 300);
    return count;
  }
  static int Progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return static_cast<Transfer*>(self)->client->is_stopped() ? 1 : 0;
  }
};

ApiClient::Answer ApiClient::DoOnce(const std::string& path, std::chrono::seconds patience,
                                    const std::string* body,
                                    const std::function<bool(std::string_view)>& receive) {
  Answer answer;
  if (access_.servers.empty() || curl_ == nullptr) return answer.error = "no API server is known", answer;
  const absl::StatusOr<Credentials> credentials = credentials_.Get();
  if (!credentials.ok()) return answer.error = std::string(credentials.status().message()), answer;
  std::string server = access_.servers[server_];
  while (server.ends_with('/')) server.pop_back();
  Transfer transfer{this, server, body == nullptr ? "GET" : "POST", receive, answer};
  char reason[CURL_ERROR_SIZE] = "";
  CURL* const curl = curl_;
  curl_easy_reset(curl);
  curl_easy_setopt(curl, CURLOPT_URL, (server + path).c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 10L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT, static_cast<long>(patience.count()));
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "sluice-kube");
  curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "gzip");
  curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 256L * 1024);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
  curl_easy_setopt(curl, CURLOPT_SOCKOPTFUNCTION, KeepAlive);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, Transfer::Body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, Transfer::Header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, Transfer::Progress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);
  if (!access_.proxy_url.empty()) curl_easy_setopt(curl, CURLOPT_PROXY, access_.proxy_url.c_str());
  curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);  // a proxy's answer is not the server's
  // Only who the cluster's own authority vouches for; its file may have changed since.
  const std::string ca = access_.ca_data.empty() ? FileText(access_.ca_file) : access_.ca_data;
  const curl_blob ca_blob = BlobOf(ca);
  if (!ca.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &ca_blob);
  if (access_.skips_verification) {
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
  }
  const curl_blob certificate = BlobOf(credentials->certificate), key = BlobOf(credentials->key);
  if (!credentials->certificate.empty()) {
    curl_easy_setopt(curl, CURLOPT_SSLCERT_BLOB, &certificate);
    curl_easy_setopt(curl, CURLOPT_SSLKEY_BLOB, &key);
  }
  curl_slist* headers = curl_slist_append(nullptr, "Accept: application/json");
  if (!credentials->token.empty())
    headers = curl_slist_append(headers, absl::StrCat("Authorization: Bearer ", credentials->token).c_str());
  if (body != nullptr) {
    headers = curl_slist_append(headers, "Content-Type: application/json");
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body->size()));
    curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, body->c_str());
  }
  // A server that is known by another name than its URL's.
  curl_slist* connect_to = nullptr;
  std::string url_with_name;
  if (!access_.server_name.empty() && server.starts_with("https://")) {
    const std::string host_port = server.substr(8, server.find('/', 8) - 8);
    const size_t colon = host_port.rfind(':');
    const bool has_port = colon != std::string::npos && host_port.find(']', colon) == std::string::npos;
    const std::string port = has_port ? host_port.substr(colon + 1) : "443";
    const std::string host = has_port ? host_port.substr(0, colon) : host_port;
    connect_to = curl_slist_append(
        nullptr, absl::StrCat(access_.server_name, ":", port, ":", host, ":", port).c_str());
    const std::string rest = server.substr(std::min(server.size(), 8 + host_port.size()));
    url_with_name = absl::StrCat("https://", access_.server_name, ":", port, rest, path);
    curl_easy_setopt(curl, CURLOPT_CONNECT_TO, connect_to);
    curl_easy_setopt(curl, CURLOPT_URL, url_with_name.c_str());
  }
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  const CURLcode result = curl_easy_perform(curl);
  curl_slist_free_all(headers);
  curl_slist_free_all(connect_to);
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.code);
  if (result != CURLE_OK && !transfer.ended_by_us)
    answer.error = absl::StrCat(server, ": ", reason[0] != '\0' ? reason : curl_easy_strerror(result));
  if (result != CURLE_OK && answer.code != 200 && answer.body.empty()) answer.code = 0;
  transfer.Count(answer.code);
  return answer;
}

}  // namespace sluice::kubernetes
