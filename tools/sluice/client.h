// sluiced, as the commands of `sluice` reach it.
// Threads: one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "tools/channel/channel.h"
#include "tools/channel/json.h"

namespace sluice {

// Exit statuses of all commands.
inline constexpr int kDone = 0;
inline constexpr int kDiffers = 1;   // `diff`: there are differences; `doctor`: something is bad
inline constexpr int kWrongUse = 2;  // of the command line, or a file that says nothing valid
inline constexpr int kRefused = 3;   // by sluiced
inline constexpr int kNoAnswer = 4;  // from sluiced

class SluiceClient {
 public:
  // As OpenChannel takes it.
  explicit SluiceClient(const std::string& server);

  // Before stub(): kDone, or says why there is no way to sluiced and what to exit with.
  int Check() const;
  v1::Sluice::Stub& stub() { return *channel_.stub; }
  // Says on stderr why a call failed; what to exit with.
  int Complain(const grpc::Status& status) const;

 private:
  const Channel channel_;
};

// Says on stderr what was wrong with the command line; what to exit with.
int WrongUse(const std::string& what);

}  // namespace sluice
