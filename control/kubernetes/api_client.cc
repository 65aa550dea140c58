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
#include "control/printable.h"

namespace sluice::kubernetes {
namespace {

// Of an answer that nobody receives: enough to say why it was refused.
constexpr size_t kLargestBody = size_t{256} << 10;
constexpr size_t kLongestWords = 500;
// A peer that is gone is noticed within half a minute, also while it owes us nothing.
constexpr int kIdleSeconds = 15, kProbeSeconds = 5;
// API servers ask for 32 s at most.
constexpr int kLongestRetryAfter = 60;
constexpr auto kLook = std::chrono::milliseconds(500);

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
  said = Printable(said, kLongestWords);
  return absl::StrCat("HTTP ", code, said.empty() ? "" : ": ", said, error.empty() ? "" : ": ", error);
}

ApiClient::ApiClient(const ApiAccess& access)
    : access_(access), credentials_(access), curl_(curl_easy_init()), multi_(curl_multi_init()) {}

ApiClient::~ApiClient() {
  curl_easy_cleanup(curl_);
  curl_multi_cleanup(multi_);
}

void ApiClient::Stop() {
  stop_.store(true);
  if (multi_ != nullptr) curl_multi_wakeup(multi_);
}

ApiClient::Answer ApiClient::Get(const std::string& path, const Limits& limits, const Receive& receive) {
  return Do(path, limits, nullptr, receive);
}

ApiClient::Answer ApiClient::Post(const std::string& path, const std::string& body,
                                  std::chrono::seconds patience) {
  return Do(path, {patience, patience}, &body, nullptr);
}

ApiClient::Answer ApiClient::Do(const std::string& path, const Limits& limits, const std::string* body,
                                const Receive& receive) {
  Answer answer = DoOnce(path, limits, body, receive);
  if (answer.code == 401 && !is_stopped()) {
    credentials_.Forget();
    answer = DoOnce(path, limits, body, receive);
  }
  // Another server, if there is one, may be well.
  if (answer.code == 0 && !access_.servers.empty()) server_ = (server_ + 1) % access_.servers.size();
  return answer;
}

struct ApiClient::Transfer {
  ApiClient* client;
  const std::string& server;
  const char* method;
  const Receive& receive;
  Answer& answer;
  bool ended_by_us = false;
  bool is_counted = false;
  std::chrono::steady_clock::time_point heard_at = std::chrono::steady_clock::now();

  // A watch is answered long before it ends.
  void Count(long code) {
    if (!std::exchange(is_counted, true)) client->access_.counts->Add(method, server, code);
  }
  static size_t Body(char* bytes, size_t, size_t count, void* self) {
    auto& transfer = *static_cast<Transfer*>(self);
    transfer.heard_at = std::chrono::steady_clock::now();
    curl_easy_getinfo(transfer.client->curl_, CURLINFO_RESPONSE_CODE, &transfer.answer.code);
    std::string& body = transfer.answer.body;
    bool goes_on = true;
    if (transfer.receive && transfer.answer.code == 200) {
      goes_on = transfer.receive({bytes, count});
    } else {
      body.append(bytes, std::min(count, kLargestBody - body.size()));
      goes_on = body.size() < kLargestBody;
    }
    if (goes_on) return count;
    transfer.ended_by_us = true;
    return 0;
  }
  static size_t Header(char* bytes, size_t, size_t count, void* self) {
    const absl::string_view line(bytes, count);
    auto& transfer = *static_cast<Transfer*>(self);
    transfer.heard_at = std::chrono::steady_clock::now();
    if (line == "\r\n") {
      long code = 0;
      curl_easy_getinfo(transfer.client->curl_, CURLINFO_RESPONSE_CODE, &code);
      transfer.Count(code);
    }
    constexpr absl::string_view kName = "retry-after:";
    int seconds = 0;
    if (line.size() > kName.size() && absl::AsciiStrToLower(line.substr(0, kName.size())) == kName &&
        absl::SimpleAtoi(absl::StripAsciiWhitespace(line.substr(kName.size())), &seconds))
      transfer.answer.retry_after_seconds = std::clamp(seconds, 0, kLongestRetryAfter);
    return count;
  }
};

// Runs one request until it is over, it is silent or long for too long, or we are stopped.
void ApiClient::Perform(Transfer& transfer, const Limits& limits) {
  const auto end = std::chrono::steady_clock::now() + limits.in_all;
  char reason[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(curl_, CURLOPT_ERRORBUFFER, reason);
  curl_multi_add_handle(multi_, curl_);
  std::string& error = transfer.answer.error;
  for (int running = 1; error.empty();) {
    if (curl_multi_perform(multi_, &running) != CURLM_OK || running == 0) break;
    const auto now = std::chrono::steady_clock::now();
    if (is_stopped()) {
      error = "it was stopped";
    } else if (now - transfer.heard_at > limits.silence) {
      error = absl::StrCat(transfer.server, ": silent for ", limits.silence.count(), " s");
      transfer.answer.is_silent = true;
    } else if (now > end) {
      error = absl::StrCat(transfer.server, ": the answer is not over after ", limits.in_all.count(), " s");
    } else {
      curl_multi_poll(multi_, nullptr, 0, static_cast<int>(kLook.count()), nullptr);
    }
  }
  int left = 0;
  const CURLMsg* const message = curl_multi_info_read(multi_, &left);
  if (message != nullptr && message->data.result != CURLE_OK && !transfer.ended_by_us)
    error = absl::StrCat(transfer.server, ": ",
                         reason[0] != '\0' ? reason : curl_easy_strerror(message->data.result));
  curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &transfer.answer.code);
  curl_multi_remove_handle(multi_, curl_);
  curl_easy_setopt(curl_, CURLOPT_ERRORBUFFER, nullptr);
}

absl::Status ApiClient::Secure(const Credentials& credentials) {
  // Only who the cluster's own authority vouches for; its file may have changed since.
  const std::string ca = access_.ca_data.empty() ? FileText(access_.ca_file) : access_.ca_data;
  if (ca.empty() && !access_.ca_file.empty() && !access_.skips_verification)
    return absl::NotFoundError(
        absl::StrCat(access_.ca_file, ": is empty or cannot be read: must be the cluster's CA, as PEM"));
  const curl_blob ca_blob = BlobOf(ca);
  if (!ca.empty()) curl_easy_setopt(curl_, CURLOPT_CAINFO_BLOB, &ca_blob);
  if (access_.skips_verification) {
    curl_easy_setopt(curl_, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(curl_, CURLOPT_SSL_VERIFYHOST, 0L);
  }
  const curl_blob certificate = BlobOf(credentials.certificate), key = BlobOf(credentials.key);
  if (!credentials.certificate.empty()) {
    curl_easy_setopt(curl_, CURLOPT_SSLCERT_BLOB, &certificate);
    curl_easy_setopt(curl_, CURLOPT_SSLKEY_BLOB, &key);
  }
  return absl::OkStatus();
}

ApiClient::Answer ApiClient::DoOnce(const std::string& path, const Limits& limits, const std::string* body,
                                    const Receive& receive) {
  Answer answer;
  if (access_.servers.empty() || curl_ == nullptr || multi_ == nullptr)
    return answer.error = "no API server is known", answer;
  const absl::StatusOr<Credentials> credentials = credentials_.Get();
  if (!credentials.ok()) return answer.error = std::string(credentials.status().message()), answer;
  std::string server = access_.servers[server_];
  while (server.ends_with('/')) server.pop_back();
  Transfer transfer{this, server, body == nullptr ? "GET" : "POST", receive, answer};
  CURL* const curl = curl_;
  curl_easy_reset(curl);
  curl_easy_setopt(curl, CURLOPT_URL, (server + path).c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 10L);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "sluice-kube");
  curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "gzip");
  curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 256L * 1024);
  curl_easy_setopt(curl, CURLOPT_SOCKOPTFUNCTION, KeepAlive);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, Transfer::Body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, Transfer::Header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  if (!access_.proxy_url.empty()) curl_easy_setopt(curl, CURLOPT_PROXY, access_.proxy_url.c_str());
  curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);  // a proxy's answer is not the server's
  if (const absl::Status secure = Secure(*credentials); !secure.ok())
    return answer.error = std::string(secure.message()), answer;
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
  Perform(transfer, limits);
  curl_slist_free_all(headers);
  curl_slist_free_all(connect_to);
  if (!answer.error.empty() && answer.code != 200 && answer.body.empty()) answer.code = 0;
  transfer.Count(answer.code);
  return answer;
}

}  // namespace sluice::kubernetes
