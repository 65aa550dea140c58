// An API server that answers as a test says, a thread a connection, a request a connection.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace sluice::kubernetes {

class ScriptedApi {
 public:
  class Answer {
   public:
    Answer(int fd, const std::atomic<bool>& stop) : fd_(fd), stop_(stop) {}
    // False: nobody listens any more.
    bool Write(const std::string& bytes) {
      for (size_t at = 0; at < bytes.size();) {
        const ssize_t sent = send(fd_, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
        if (sent <= 0) return false;
        at += static_cast<size_t>(sent);
      }
      return !stop_.load();
    }
    bool Begin(int code = 200, const std::string& headers = "") {
      return Write("HTTP/1.1 " + std::to_string(code) + " Said\r\nConnection: close\r\n" + headers + "\r\n");
    }
    bool Whole(int code, const std::string& body, const std::string& headers = "") {
      return Begin(code, "Content-Length: " + std::to_string(body.size()) + "\r\n" + headers) && Write(body);
    }
    // Says nothing until the client is gone, or for so long.
    void Hold(std::chrono::milliseconds time = std::chrono::hours(1)) {
      const auto end = std::chrono::steady_clock::now() + time;
      pollfd polled = {fd_, POLLIN, 0};
      while (!stop_.load() && std::chrono::steady_clock::now() < end && poll(&polled, 1, 20) == 0) {
      }
    }

   private:
    const int fd_;
    const std::atomic<bool>& stop_;
  };
  // `path` with its query.
  using Script = std::function<void(const std::string& path, Answer& answer)>;

  explicit ScriptedApi(Script script) : script_(std::move(script)), fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(fd_, reinterpret_cast<const sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(fd_, 64), 0);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    url_ = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    accepting_ = std::thread([this] { Accept(); });
  }
  ~ScriptedApi() {
    stop_.store(true);
    accepting_.join();
    for (std::thread& each : answering_) each.join();
    close(fd_);
  }
  const std::string& url() const { return url_; }
  std::vector<std::string> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void Accept() {
    pollfd polled = {fd_, POLLIN, 0};
    while (!stop_.load()) {
      if (poll(&polled, 1, 20) != 1) continue;
      const int fd = accept(fd_, nullptr, nullptr);
      if (fd >= 0) answering_.emplace_back([this, fd] { AnswerOne(fd); });
    }
  }
  void AnswerOne(int fd) {
    std::string request;
    char bytes[4096];
    pollfd polled = {fd, POLLIN, 0};
    while (!stop_.load() && request.find("\r\n\r\n") == std::string::npos) {
      if (poll(&polled, 1, 20) != 1) continue;
      const ssize_t got = recv(fd, bytes, sizeof bytes, 0);
      if (got <= 0) break;
      request.append(bytes, static_cast<size_t>(got));
    }
    const size_t begin = request.find(' ') + 1;
    const std::string path = request.substr(begin, request.find(' ', begin) - begin);
    if (request.find("\r\n\r\n") != std::string::npos) {
      {
        const std::lock_guard lock(mutex_);
        requests_.push_back(path);
      }
      Answer answer(fd, stop_);
      script_(path, answer);
    }
    close(fd);
  }

  const Script script_;
  const int fd_;
  std::string url_;
  std::atomic<bool> stop_{false};
  mutable std::mutex mutex_;
  std::vector<std::string> requests_;
  std::vector<std::thread> answering_;
  std::thread accepting_;
};

}  // namespace sluice::kubernetes
