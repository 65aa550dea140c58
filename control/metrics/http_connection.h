// HttpConnection is one client of the HTTP server: it reads a request, writes its page, and so on. It never waits.
// Threads: one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "control/metrics/http_page.h"
#include "control/metrics/http_request.h"

namespace sluice {

class HttpConnection {
 public:
  using Clock = std::chrono::steady_clock;
  struct Deadlines {
    std::chrono::milliseconds request{5'000};  // until a request is complete
    std::chrono::milliseconds answer{30'000};  // until its page has been taken
    std::chrono::milliseconds idle{60'000};    // between two requests
    std::chrono::milliseconds farewell{1'000};
  };
  // The page with that path; null: the connection ends without an answer.
  using FindPage = std::function<std::shared_ptr<const HttpPage>(const std::string& path)>;
  // What is given up first when there is no room for all.
  enum class Phase { kLeaving, kIdle, kAsking, kTaking };

  // Owns `socket`, which does not block.
  HttpConnection(int socket, const Deadlines& deadlines, Clock::time_point now);
  ~HttpConnection();
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  // Reads one request at most, or writes as far as the socket goes at once. False: the connection is over.
  bool Go(Clock::time_point now, const FindPage& find_page);

  int socket() const { return socket_; }
  uint32_t Events() const;  // epoll's, that it waits for
  Phase phase() const { return phase_; }
  Clock::time_point deadline() const { return deadline_; }
  Clock::time_point since() const { return since_; }  // when its phase began
  size_t held_bytes() const { return page_ == nullptr ? 0 : page_->text.size(); }
  int TakeStatus();  // of the answer that has been prepared since the last call; 0: none

 private:
  bool Read(Clock::time_point now, const FindPage& find_page);
  void Answer(const HttpRequest& request, std::shared_ptr<const HttpPage> page, Clock::time_point now);
  bool Write(Clock::time_point now);
  bool Discard();
  void Enter(Phase phase, Clock::time_point now, std::chrono::milliseconds time);

  const int socket_;
  const Deadlines deadlines_;
  Phase phase_ = Phase::kAsking;
  Clock::time_point since_, deadline_;
  std::string input_;  // of a request that is not complete
  std::string head_;
  std::shared_ptr<const HttpPage> page_;  // that is being written; null: a head only
  size_t written_ = 0;                    // of the head and the page
  size_t discarded_ = 0;
  bool keeps_alive_ = false;
  int status_ = 0;
};

}  // namespace sluice
