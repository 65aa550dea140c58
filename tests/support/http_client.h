// HttpClient asks for HTTP pages on the loopback, byte by byte as a test wants it. Every wait ends after half a minute.
// Threads: one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <utility>

namespace sluice {

class HttpClient {
 public:
  explicit HttpClient(const char* from = "127.0.0.1") : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval limit{30, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    const sockaddr_in address = Address(from, 0);
    bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
  HttpClient(HttpClient&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  HttpClient& operator=(HttpClient&&) = delete;
  ~HttpClient() {
    if (fd_ >= 0) close(fd_);
  }

  bool Connect(uint16_t port) {
    const sockaddr_in address = Address("127.0.0.1", port);
    return connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  bool Send(const std::string& bytes) {
    return send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  }
  // All until the server ends the connection.
  std::string ReadAll() {
    std::string all;
    while (ReadSome(all)) {
    }
    return all;
  }
  // One answer to GET.
  std::string ReadAnswer() {
    std::string answer;
    size_t end = 0, size = 0;
    do {
      if (!ReadSome(answer, 1)) return answer;
      end = answer.find("\r\n\r\n");
    } while (end == std::string::npos);
    const size_t length = answer.find("Content-Length: ");
    if (length < end) size = std::stoul(answer.substr(length + 16));
    while (answer.size() < end + 4 + size && ReadSome(answer, end + 4 + size - answer.size())) {
    }
    return answer;
  }
  // True: the server has ended the connection, or does so now.
  bool IsOver() {
    std::string bytes;
    return !ReadSome(bytes);
  }
  int fd() const { return fd_; }

  // GET of a path, in a connection of its own; empty: nobody listens.
  static std::string Get(uint16_t port, const std::string& path = "/") {
    HttpClient client;
    if (!client.Connect(port) || !client.Send("GET " + path + " HTTP/1.0\r\n\r\n")) return "";
    return client.ReadAll();
  }

 private:
  static sockaddr_in Address(const char* host, uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    inet_pton(AF_INET, host, &address.sin_addr);
    return address;
  }
  bool ReadSome(std::string& to, size_t most = 65536) {
    std::string bytes(most < 65536 ? most : 65536, '\0');
    const ssize_t got = recv(fd_, bytes.data(), bytes.size(), 0);
    if (got <= 0) return false;
    to.append(bytes, 0, static_cast<size_t>(got));
    return true;
  }

  int fd_;
};

}  // namespace sluice
