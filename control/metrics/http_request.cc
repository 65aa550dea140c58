// SPDX-License-Identifier: Apache-2.0
#include "control/metrics/http_request.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace sluice {
namespace {

constexpr absl::string_view kEndOfLine = "\r\n";
constexpr absl::string_view kEndOfHeaders = "\r\n\r\n";

struct Headers {
  int hosts = 0;
  int lengths = 0;
  uint64_t length = 0;
  bool is_encoded = false;
  bool wants_close = false;
  bool wants_keep_alive = false;
};

void Refuse(HttpRequest& request, int status, const char* why) {
  request.refusal = status;
  request.why = why;
}

// RFC 9110, 5.6.2.
bool IsToken(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char each) {
    const auto byte = static_cast<unsigned char>(each);
    return absl::ascii_isalnum(byte) ||
           absl::string_view("!#$%&'*+-.^_`|~").find(each) != absl::string_view::npos;
  });
}

// Control characters have no place in a request, and every line ends with both of CR LF.
bool IsText(absl::string_view bytes) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    const char each = bytes[i];
    if (each == '\n' && (i == 0 || bytes[i - 1] != '\r')) return false;
    if (each == '\r' && i + 1 < bytes.size() && bytes[i + 1] != '\n') return false;
    if (absl::ascii_iscntrl(static_cast<unsigned char>(each)) && each != '\r' && each != '\n' && each != '\t')
      return false;
  }
  return true;
}

// "/path?query", or "http://host/path" as proxies get it (RFC 9112, 3.2.2).
bool ReadTarget(absl::string_view target, std::string& path) {
  if (!absl::StartsWith(target, "/")) {
    if (!absl::StartsWithIgnoreCase(target, "http://")) return false;
    target.remove_prefix(sizeof "http://" - 1);
    target.remove_prefix(std::min(target.find('/'), target.size()));
  }
  path = std::string(target.substr(0, target.find('?')));
  if (path.empty()) path = "/";
  return true;
}

bool ReadVersion(absl::string_view version) {
  return version.size() == sizeof "HTTP/1.1" - 1 && absl::ConsumePrefix(&version, "HTTP/") &&
         absl::ascii_isdigit(static_cast<unsigned char>(version[0])) && version[1] == '.' &&
         absl::ascii_isdigit(static_cast<unsigned char>(version[2]));
}

void ReadRequestLine(absl::string_view line, HttpRequest& request) {
  const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
  if (words.size() != 3 || !IsToken(words[0]) || !ReadVersion(words[2]) || absl::StrContains(line, '\t'))
    return Refuse(request, 400, "the first line must be METHOD PATH HTTP/1.1");
  if (!absl::StartsWith(words[2], "HTTP/1.")) return Refuse(request, 505, "only HTTP/1.0 and HTTP/1.1");
  if (words[0] != "GET" && words[0] != "HEAD") return Refuse(request, 405, "only GET and HEAD");
  if (!ReadTarget(words[1], request.path)) return Refuse(request, 400, "a path begins with /");
  request.is_head = words[0] == "HEAD";
  request.keeps_alive = words[2] != "HTTP/1.0";
}

// False: it is no header.
bool ReadHeader(absl::string_view line, Headers& headers) {
  const size_t colon = line.find(':');
  if (colon == absl::string_view::npos || !IsToken(line.substr(0, colon))) return false;
  const absl::string_view name = line.substr(0, colon);
  const absl::string_view value = absl::StripAsciiWhitespace(line.substr(colon + 1));
  if (absl::EqualsIgnoreCase(name, "host")) ++headers.hosts;
  if (absl::EqualsIgnoreCase(name, "transfer-encoding")) headers.is_encoded = true;
  if (absl::EqualsIgnoreCase(name, "content-length")) {
    ++headers.lengths;
    const bool is_number = !value.empty() && std::all_of(value.begin(), value.end(), [](char each) {
      return absl::ascii_isdigit(static_cast<unsigned char>(each));
    });
    if (!is_number || !absl::SimpleAtoi(value, &headers.length)) return false;
  }
  if (absl::EqualsIgnoreCase(name, "connection")) {
    for (const absl::string_view each : absl::StrSplit(value, ',')) {
      const absl::string_view option = absl::StripAsciiWhitespace(each);
      headers.wants_close |= absl::EqualsIgnoreCase(option, "close");
      headers.wants_keep_alive |= absl::EqualsIgnoreCase(option, "keep-alive");
    }
  }
  return true;
}

void ReadHeaders(absl::string_view lines, HttpRequest& request) {
  const bool needs_host = request.keeps_alive;  // HTTP/1.1
  Headers headers;
  if (!lines.empty()) {
    for (const absl::string_view line : absl::StrSplit(lines, kEndOfLine)) {
      if (!ReadHeader(line, headers)) return Refuse(request, 400, "a header must be NAME: VALUE");
    }
  }
  if (headers.hosts > 1 || (needs_host && headers.hosts == 0))
    return Refuse(request, 400, "HTTP/1.1 needs one header Host");
  if (headers.is_encoded || headers.length > 0 || headers.lengths > 1)
    return Refuse(request, 400, "a request for a page has no body");
  request.keeps_alive = !headers.wants_close && (needs_host || headers.wants_keep_alive);
}

}  // namespace

std::optional<HttpRequest> ReadHttpRequest(absl::string_view bytes) {
  HttpRequest request;
  request.size = bytes.size();
  // One empty line may come first (RFC 9112, 2.2).
  const size_t begin = absl::StartsWith(bytes, kEndOfLine) ? kEndOfLine.size() : 0;
  const size_t end = bytes.find(kEndOfHeaders, begin);
  const bool is_whole = end != absl::string_view::npos && end + kEndOfHeaders.size() <= kLongestHttpRequest;
  if (!IsText(is_whole ? bytes.substr(0, end + kEndOfHeaders.size()) : bytes)) {
    Refuse(request, 400, "this is not HTTP/1.1");
    return request;
  }
  if (!is_whole) {
    if (bytes.size() < kLongestHttpRequest) return std::nullopt;
    Refuse(request, 431, "a request may have 8192 bytes");
    return request;
  }
  const absl::string_view text = bytes.substr(begin, end - begin);
  const size_t end_of_line = text.find(kEndOfLine);
  ReadRequestLine(text.substr(0, end_of_line), request);
  if (request.refusal == 0)
    ReadHeaders(end_of_line == absl::string_view::npos ? "" : text.substr(end_of_line + kEndOfLine.size()),
                request);
  if (request.refusal == 0) {
    request.size = end + kEndOfHeaders.size();
  } else {
    request.keeps_alive = false;
  }
  return request;
}

}  // namespace sluice
