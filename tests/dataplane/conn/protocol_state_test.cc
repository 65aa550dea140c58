// SPDX-License-Identifier: Apache-2.0
#include "dataplane/conn/protocol_state.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "dataplane/net/headers.h"

namespace sluice {
namespace {

// The tables of the kernel, one state a row, as documentation has them: the state, and what comes next on
// each event. The code has them by event.
using Rows = std::vector<std::vector<std::string>>;

// On SYN, FIN, ACK, RST.
const Rows kTcpIn = {
    {"NONE", "SYN_RECV", "CLOSE", "ESTABLISHED", "CLOSE"},
    {"ESTABLISHED", "ESTABLISHED", "CLOSE_WAIT", "ESTABLISHED", "CLOSE"},
    {"SYN_SENT", "ESTABLISHED", "SYN_SENT", "SYN_SENT", "CLOSE"},
    {"SYN_RECV", "SYN_RECV", "TIME_WAIT", "ESTABLISHED", "SYN_RECV"},
    {"FIN_WAIT", "SYN_RECV", "TIME_WAIT", "FIN_WAIT", "CLOSE"},
    {"TIME_WAIT", "SYN_RECV", "TIME_WAIT", "TIME_WAIT", "CLOSE"},
    {"CLOSE", "SYN_RECV", "CLOSE", "CLOSE", "CLOSE"},
    {"CLOSE_WAIT", "SYN_RECV", "CLOSE_WAIT", "CLOSE_WAIT", "CLOSE"},
    {"LAST_ACK", "SYN_RECV", "LAST_ACK", "CLOSE", "LAST_ACK"},
    {"LISTEN", "SYN_RECV", "LISTEN", "LISTEN", "LISTEN"},
    {"SYNACK", "SYN_RECV", "TIME_WAIT", "ESTABLISHED", "SYN_RECV"},
};
const Rows kTcpOut = {
    {"NONE", "SYN_SENT", "TIME_WAIT", "ESTABLISHED", "CLOSE"},
    {"ESTABLISHED", "ESTABLISHED", "FIN_WAIT", "ESTABLISHED", "CLOSE"},
    {"SYN_SENT", "SYN_SENT", "SYN_SENT", "SYN_SENT", "SYN_SENT"},
    {"SYN_RECV", "SYN_RECV", "TIME_WAIT", "ESTABLISHED", "CLOSE"},
    {"FIN_WAIT", "SYN_SENT", "FIN_WAIT", "FIN_WAIT", "CLOSE"},
    {"TIME_WAIT", "SYN_SENT", "TIME_WAIT", "TIME_WAIT", "TIME_WAIT"},
    {"CLOSE", "SYN_SENT", "CLOSE", "CLOSE", "CLOSE"},
    {"CLOSE_WAIT", "SYN_SENT", "TIME_WAIT", "CLOSE_WAIT", "CLOSE"},
    {"LAST_ACK", "SYN_SENT", "LAST_ACK", "LAST_ACK", "CLOSE"},
    {"LISTEN", "LISTEN", "LISTEN", "ESTABLISHED", "CLOSE"},
    {"SYNACK", "SYN_RECV", "TIME_WAIT", "ESTABLISHED", "CLOSE"},
};
const Rows kTcpInOnly = {
    {"NONE", "SYN_RECV", "CLOSE", "ESTABLISHED", "CLOSE"},
    {"ESTABLISHED", "ESTABLISHED", "FIN_WAIT", "ESTABLISHED", "CLOSE"},
    {"SYN_SENT", "ESTABLISHED", "SYN_SENT", "SYN_SENT", "CLOSE"},
    {"SYN_RECV", "SYN_RECV", "TIME_WAIT", "ESTABLISHED", "SYN_RECV"},
    {"FIN_WAIT", "SYN_RECV", "FIN_WAIT", "FIN_WAIT", "CLOSE"},
    {"TIME_WAIT", "SYN_RECV", "TIME_WAIT", "TIME_WAIT", "CLOSE"},
    {"CLOSE", "SYN_RECV", "CLOSE", "CLOSE", "CLOSE"},
    {"CLOSE_WAIT", "SYN_RECV", "CLOSE_WAIT", "CLOSE_WAIT", "CLOSE"},
    {"LAST_ACK", "SYN_RECV", "LAST_ACK", "CLOSE", "LAST_ACK"},
    {"LISTEN", "SYN_RECV", "LISTEN", "LISTEN", "LISTEN"},
    {"SYNACK", "SYN_RECV", "TIME_WAIT", "ESTABLISHED", "CLOSE"},
};
const Rows kSecureIn = {
    {"NONE", "SYN_RECV", "CLOSE", "ESTABLISHED", "CLOSE"},
    {"ESTABLISHED", "ESTABLISHED", "CLOSE_WAIT", "ESTABLISHED", "CLOSE"},
    {"SYN_SENT", "ESTABLISHED", "SYN_SENT", "SYN_SENT", "CLOSE"},
    {"SYN_RECV", "SYN_RECV", "TIME_WAIT", "SYN_RECV", "SYN_RECV"},
    {"FIN_WAIT", "SYN_RECV", "TIME_WAIT", "FIN_WAIT", "CLOSE"},
    {"TIME_WAIT", "SYN_RECV", "TIME_WAIT", "TIME_WAIT", "CLOSE"},
    {"CLOSE", "SYN_RECV", "CLOSE", "CLOSE", "CLOSE"},
    {"CLOSE_WAIT", "SYN_RECV", "CLOSE_WAIT", "CLOSE_WAIT", "CLOSE"},
    {"LAST_ACK", "SYN_RECV", "LAST_ACK", "CLOSE", "LAST_ACK"},
    {"LISTEN", "SYN_RECV", "LISTEN", "LISTEN", "LISTEN"},
    {"SYNACK", "SYNACK", "SYNACK", "SYNACK", "CLOSE"},
};
const Rows kSecureOut = {
    {"NONE", "SYN_SENT", "TIME_WAIT", "ESTABLISHED", "CLOSE"},
    {"ESTABLISHED", "ESTABLISHED", "FIN_WAIT", "ESTABLISHED", "CLOSE"},
    {"SYN_SENT", "SYN_SENT", "SYN_SENT", "SYN_SENT", "SYN_SENT"},
    {"SYN_RECV", "SYNACK", "TIME_WAIT", "ESTABLISHED", "CLOSE"},
    {"FIN_WAIT", "SYN_SENT", "FIN_WAIT", "FIN_WAIT", "CLOSE"},
    {"TIME_WAIT", "SYN_SENT", "TIME_WAIT", "TIME_WAIT", "TIME_WAIT"},
    {"CLOSE", "SYN_SENT", "CLOSE", "CLOSE", "CLOSE"},
    {"CLOSE_WAIT", "SYN_SENT", "TIME_WAIT", "CLOSE_WAIT", "CLOSE"},
    {"LAST_ACK", "SYN_SENT", "LAST_ACK", "LAST_ACK", "CLOSE"},
    {"LISTEN", "LISTEN", "LISTEN", "ESTABLISHED", "CLOSE"},
    {"SYNACK", "SYNACK", "TIME_WAIT", "ESTABLISHED", "CLOSE"},
};
const Rows kSecureInOnly = {
    {"NONE", "SYNACK", "CLOSE", "ESTABLISHED", "CLOSE"},
    {"ESTABLISHED", "ESTABLISHED", "FIN_WAIT", "ESTABLISHED", "CLOSE"},
    {"SYN_SENT", "ESTABLISHED", "SYN_SENT", "SYN_SENT", "CLOSE"},
    {"SYN_RECV", "SYN_RECV", "TIME_WAIT", "ESTABLISHED", "SYN_RECV"},
    {"FIN_WAIT", "SYNACK", "FIN_WAIT", "FIN_WAIT", "CLOSE"},
    {"TIME_WAIT", "SYNACK", "TIME_WAIT", "TIME_WAIT", "CLOSE"},
    {"CLOSE", "SYNACK", "CLOSE", "CLOSE", "CLOSE"},
    {"CLOSE_WAIT", "SYNACK", "CLOSE_WAIT", "CLOSE_WAIT", "CLOSE"},
    {"LAST_ACK", "SYNACK", "LAST_ACK", "CLOSE", "LAST_ACK"},
    {"LISTEN", "SYNACK", "LISTEN", "LISTEN", "LISTEN"},
    {"SYNACK", "SYNACK", "TIME_WAIT", "ESTABLISHED", "CLOSE"},
};
// On data, INIT, INIT_ACK, COOKIE_ECHO, COOKIE_ACK, SHUTDOWN, SHUTDOWN_ACK, SHUTDOWN_COMPLETE, ERROR, ABORT.
const Rows kSctpIn = {
    {"NONE", "ESTABLISHED", "INIT1", "C-WAIT", "C-REPLIED", "ESTABLISHED", "S-RECEIVED", "CLOSED", "CLOSED",
     "CLOSED", "CLOSED"},
    {"INIT1", "INIT1", "INIT", "C-WAIT", "INIT", "INIT1", "INIT1", "INIT", "CLOSED", "INIT1", "CLOSED"},
    {"INIT", "INIT", "INIT", "C-WAIT", "INIT", "INIT", "INIT", "INIT", "CLOSED", "INIT", "CLOSED"},
    {"C-SENT", "C-SENT", "C-SENT", "C-SENT", "C-REPLIED", "C-SENT", "C-SENT", "C-SENT", "C-SENT", "C-SENT",
     "CLOSED"},
    {"C-REPLIED", "C-REPLIED", "C-REPLIED", "C-REPLIED", "C-REPLIED", "C-REPLIED", "C-REPLIED", "C-REPLIED",
     "C-REPLIED", "C-REPLIED", "CLOSED"},
    {"C-WAIT", "C-WAIT", "C-WAIT", "COOKIE", "C-WAIT", "C-WAIT", "C-WAIT", "C-WAIT", "C-WAIT", "C-WAIT",
     "REJECTED"},
    {"COOKIE", "COOKIE", "COOKIE", "COOKIE", "COOKIE", "COOKIE", "COOKIE", "COOKIE", "COOKIE", "COOKIE",
     "CLOSED"},
    {"C-ECHOED", "C-ECHOED", "C-ECHOED", "C-ECHOED", "C-ECHOED", "ESTABLISHED", "C-ECHOED", "C-ECHOED",
     "C-ECHOED", "CLOSED", "CLOSED"},
    {"ESTABLISHED", "ESTABLISHED", "ESTABLISHED", "ESTABLISHED", "ESTABLISHED", "ESTABLISHED", "S-RECEIVED",
     "ESTABLISHED", "ESTABLISHED", "ESTABLISHED", "CLOSED"},
    {"S-SENT", "S-SENT", "S-SENT", "S-SENT", "S-SENT", "S-SENT", "S-SENT", "CLOSED", "S-SENT", "S-SENT",
     "CLOSED"},
    {"S-RECEIVED", "S-RECEIVED", "S-RECEIVED", "S-RECEIVED", "S-RECEIVED", "S-RECEIVED", "S-RECEIVED",
     "S-RECEIVED", "S-RECEIVED", "S-RECEIVED", "CLOSED"},
    {"S-ACK-SENT", "S-ACK-SENT", "S-ACK-SENT", "S-ACK-SENT", "S-ACK-SENT", "S-ACK-SENT", "S-ACK-SENT",
     "CLOSED", "CLOSED", "S-ACK-SENT", "CLOSED"},
    {"REJECTED", "REJECTED", "INIT", "REJECTED", "REJECTED", "REJECTED", "REJECTED", "REJECTED", "REJECTED",
     "REJECTED", "CLOSED"},
    {"CLOSED", "CLOSED", "INIT", "CLOSED", "CLOSED", "CLOSED", "CLOSED", "CLOSED", "CLOSED", "CLOSED",
     "CLOSED"},
};
const Rows kSctpOut = {
    {"NONE", "ESTABLISHED", "C-WAIT", "C-SENT", "C-ECHOED", "ESTABLISHED", "S-SENT", "S-ACK-SENT", "CLOSED",
     "CLOSED", "CLOSED"},
    {"INIT1", "INIT1", "C-WAIT", "C-SENT", "C-ECHOED", "ESTABLISHED", "S-SENT", "S-ACK-SENT", "INIT1",
     "CLOSED", "REJECTED"},
    {"INIT", "INIT", "C-WAIT", "C-SENT", "C-ECHOED", "ESTABLISHED", "S-SENT", "S-ACK-SENT", "INIT", "CLOSED",
     "CLOSED"},
    {"C-SENT", "C-SENT", "C-WAIT", "C-SENT", "C-ECHOED", "ESTABLISHED", "S-SENT", "S-ACK-SENT", "C-SENT",
     "CLOSED", "CLOSED"},
    {"C-REPLIED", "C-REPLIED", "C-WAIT", "C-REPLIED", "C-ECHOED", "ESTABLISHED", "S-SENT", "S-ACK-SENT",
     "C-REPLIED", "CLOSED", "CLOSED"},
    {"C-WAIT", "C-WAIT", "C-WAIT", "C-WAIT", "C-ECHOED", "ESTABLISHED", "S-SENT", "C-WAIT", "C-WAIT",
     "C-WAIT", "CLOSED"},
    {"COOKIE", "COOKIE", "C-WAIT", "COOKIE", "C-ECHOED", "ESTABLISHED", "S-SENT", "COOKIE", "COOKIE",
     "COOKIE", "CLOSED"},
    {"C-ECHOED", "C-ECHOED", "C-WAIT", "C-ECHOED", "C-ECHOED", "ESTABLISHED", "S-SENT", "C-ECHOED",
     "C-ECHOED", "C-ECHOED", "CLOSED"},
    {"ESTABLISHED", "ESTABLISHED", "ESTABLISHED", "ESTABLISHED", "ESTABLISHED", "ESTABLISHED", "S-SENT",
     "ESTABLISHED", "ESTABLISHED", "ESTABLISHED", "CLOSED"},
    {"S-SENT", "S-SENT", "C-WAIT", "S-SENT", "S-SENT", "S-SENT", "S-SENT", "S-ACK-SENT", "S-SENT", "S-SENT",
     "CLOSED"},
    {"S-RECEIVED", "S-RECEIVED", "C-WAIT", "S-RECEIVED", "S-RECEIVED", "S-RECEIVED", "S-RECEIVED",
     "S-ACK-SENT", "S-RECEIVED", "S-RECEIVED", "CLOSED"},
    {"S-ACK-SENT", "S-ACK-SENT", "C-WAIT", "S-ACK-SENT", "S-ACK-SENT", "S-ACK-SENT", "S-ACK-SENT",
     "S-ACK-SENT", "S-ACK-SENT", "S-ACK-SENT", "CLOSED"},
    {"REJECTED", "REJECTED", "C-WAIT", "REJECTED", "REJECTED", "REJECTED", "REJECTED", "REJECTED", "REJECTED",
     "REJECTED", "CLOSED"},
    {"CLOSED", "CLOSED", "C-WAIT", "CLOSED", "CLOSED", "CLOSED", "CLOSED", "CLOSED", "CLOSED", "CLOSED",
     "CLOSED"},
};
const Rows kSctpInOnly = {
    {"NONE", "ESTABLISHED", "INIT1", "C-ECHOED", "ESTABLISHED", "ESTABLISHED", "S-RECEIVED", "CLOSED",
     "CLOSED", "CLOSED", "CLOSED"},
    {"INIT1", "INIT1", "INIT", "C-ECHOED", "ESTABLISHED", "INIT1", "INIT1", "INIT", "CLOSED", "INIT1",
     "CLOSED"},
    {"INIT", "INIT", "INIT", "C-ECHOED", "ESTABLISHED", "INIT", "INIT", "INIT", "CLOSED", "INIT", "CLOSED"},
    {"C-SENT", "C-SENT", "INIT", "C-ECHOED", "ESTABLISHED", "ESTABLISHED", "C-SENT", "C-SENT", "CLOSED",
     "C-SENT", "CLOSED"},
    {"C-REPLIED", "C-REPLIED", "INIT", "C-ECHOED", "ESTABLISHED", "ESTABLISHED", "C-REPLIED", "C-REPLIED",
     "CLOSED", "C-REPLIED", "CLOSED"},
    {"C-WAIT", "ESTABLISHED", "INIT", "C-ECHOED", "ESTABLISHED", "C-WAIT", "C-WAIT", "C-WAIT", "C-WAIT",
     "C-WAIT", "REJECTED"},
    {"COOKIE", "COOKIE", "COOKIE", "COOKIE", "COOKIE", "ESTABLISHED", "COOKIE", "COOKIE", "COOKIE", "COOKIE",
     "CLOSED"},
    {"C-ECHOED", "C-ECHOED", "C-ECHOED", "C-ECHOED", "C-ECHOED", "ESTABLISHED", "C-ECHOED", "C-ECHOED",
     "C-ECHOED", "C-ECHOED", "CLOSED"},
    {"ESTABLISHED", "ESTABLISHED", "ESTABLISHED", "ESTABLISHED", "ESTABLISHED", "ESTABLISHED", "S-RECEIVED",
     "CLOSED", "ESTABLISHED", "ESTABLISHED", "CLOSED"},
    {"S-SENT", "S-SENT", "S-SENT", "S-SENT", "S-SENT", "S-SENT", "S-SENT", "CLOSED", "S-SENT", "S-SENT",
     "CLOSED"},
    {"S-RECEIVED", "S-RECEIVED", "S-RECEIVED", "S-RECEIVED", "S-RECEIVED", "S-RECEIVED", "S-RECEIVED",
     "S-RECEIVED", "CLOSED", "S-RECEIVED", "CLOSED"},
    {"S-ACK-SENT", "S-ACK-SENT", "S-ACK-SENT", "S-ACK-SENT", "S-ACK-SENT", "S-ACK-SENT", "S-ACK-SENT",
     "CLOSED", "CLOSED", "S-ACK-SENT", "CLOSED"},
    {"REJECTED", "REJECTED", "INIT", "REJECTED", "REJECTED", "REJECTED", "REJECTED", "REJECTED", "REJECTED",
     "REJECTED", "CLOSED"},
    {"CLOSED", "CLOSED", "INIT", "CLOSED", "CLOSED", "CLOSED", "CLOSED", "CLOSED", "CLOSED", "CLOSED",
     "CLOSED"},
};

uint8_t StateOf(Protocol protocol, int states, const std::string& name) {
  for (int state = 0; state < states; ++state) {
    if (StateName(protocol, static_cast<uint8_t>(state)) == name) return static_cast<uint8_t>(state);
  }
  ADD_FAILURE() << "no state " << name;
  return 0;
}

void CheckTcp(Seen seen, bool secure, const Rows& rows) {
  ASSERT_EQ(rows.size(), static_cast<size_t>(kTcpStates));
  for (const std::vector<std::string>& row : rows) {
    SCOPED_TRACE(row[0]);
    const uint8_t state = StateOf(Protocol::kTcp, kTcpStates, row[0]);
    const auto next = [&](int flags) {
      return std::string(
          StateName(Protocol::kTcp, NextTcpState(seen, static_cast<uint8_t>(flags), state, secure)));
    };
    EXPECT_EQ(next(kTcpSyn), row[1]);
    EXPECT_EQ(next(kTcpSyn | kTcpAck), row[1]);
    EXPECT_EQ(next(kTcpFin | kTcpAck), row[2]);
    EXPECT_EQ(next(kTcpAck), row[3]);
    EXPECT_EQ(next(kTcpAck | 0x08), row[3]);
    EXPECT_EQ(next(kTcpRst), row[4]);
    EXPECT_EQ(next(kTcpRst | kTcpAck | kTcpSyn | kTcpFin), row[4]);
    EXPECT_EQ(next(0), "CLOSE");
    EXPECT_EQ(next(0x08), "CLOSE") << "PSH is none of the four";
  }
}

void CheckSctp(Seen seen, const Rows& rows) {
  ASSERT_EQ(rows.size(), static_cast<size_t>(kSctpStates));
  for (const std::vector<std::string>& row : rows) {
    SCOPED_TRACE(row[0]);
    const uint8_t state = StateOf(Protocol::kSctp, kSctpStates, row[0]);
    for (int event = 0; event < kSctpEvents; ++event) {
      EXPECT_EQ(StateName(Protocol::kSctp, NextSctpState(seen, static_cast<SctpEvent>(event), state)),
                row[1 + static_cast<size_t>(event)])
          << "event " << event;
    }
  }
}

TEST(TcpStateTest, TablesAreTheKernels) {
  CheckTcp(Seen::kIn, false, kTcpIn);
  CheckTcp(Seen::kOut, false, kTcpOut);
  CheckTcp(Seen::kInOnly, false, kTcpInOnly);
}

TEST(TcpStateTest, TablesOfSecureTcpAreTheKernels) {
  CheckTcp(Seen::kIn, true, kSecureIn);
  CheckTcp(Seen::kOut, true, kSecureOut);
  CheckTcp(Seen::kInOnly, true, kSecureInOnly);
}

TEST(SctpStateTest, TablesAreTheKernels) {
  CheckSctp(Seen::kIn, kSctpIn);
  CheckSctp(Seen::kOut, kSctpOut);
  CheckSctp(Seen::kInOnly, kSctpInOnly);
}

TEST(SctpStateTest, ChunksAreEvents) {
  EXPECT_EQ(SctpEventOf(kSctpChunkInit, 0), kSctpEventInit);
  EXPECT_EQ(SctpEventOf(kSctpChunkCookieEcho, kSctpChunkData), kSctpEventCookieEcho);
  EXPECT_EQ(SctpEventOf(kSctpChunkCookieEcho, kSctpChunkAbort), kSctpEventAbort);
  EXPECT_EQ(SctpEventOf(kSctpChunkCookieAck, kSctpChunkAbort), kSctpEventAbort);
  EXPECT_EQ(SctpEventOf(kSctpChunkData, kSctpChunkAbort), kSctpEventData);
  EXPECT_EQ(SctpEventOf(3, 0), kSctpEventData) << "SACK";
  EXPECT_EQ(SctpEventOf(200, 0), kSctpEventData) << "unknown";
}

TEST(TcpState, ActiveStates) {
  for (const char* name : {"ESTABLISHED", "SYN_SENT", "SYN_RECV", "SYNACK"})
    EXPECT_TRUE(IsActiveState(Protocol::kTcp, StateOf(Protocol::kTcp, kTcpStates, name))) << name;
  for (const char* name : {"NONE", "FIN_WAIT", "TIME_WAIT", "CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN"}) {
    EXPECT_FALSE(IsActiveState(Protocol::kTcp, StateOf(Protocol::kTcp, kTcpStates, name))) << name;
  }
  EXPECT_FALSE(IsActiveState(Protocol::kUdp, kUdpNormal));
}

TEST(StateTimeouts, AreTheKernels) {
  const StateTimeouts timeouts{TimeoutSpec{}};
  const auto seconds = [&](const char* state) {
    return timeouts.Of(Protocol::kTcp, StateOf(Protocol::kTcp, kTcpStates, state)) / kJiffiesPerSecond;
  };
  EXPECT_EQ(seconds("NONE"), 2u);
  EXPECT_EQ(seconds("ESTABLISHED"), 900u);
  EXPECT_EQ(seconds("SYN_SENT"), 120u);
  EXPECT_EQ(seconds("SYN_RECV"), 60u);
  EXPECT_EQ(seconds("FIN_WAIT"), 120u);
  EXPECT_EQ(seconds("TIME_WAIT"), 120u);
  EXPECT_EQ(seconds("CLOSE"), 10u);
  EXPECT_EQ(seconds("CLOSE_WAIT"), 60u);
  EXPECT_EQ(seconds("LAST_ACK"), 30u);
  EXPECT_EQ(seconds("LISTEN"), 120u);
  EXPECT_EQ(seconds("SYNACK"), 120u);
  EXPECT_EQ(timeouts.Of(Protocol::kUdp, kUdpNormal), JiffiesFromSeconds(300));
}

TEST(StateTimeouts, ThreeCanBeSet) {
  const StateTimeouts timeouts{TimeoutSpec{.tcp_seconds = 7, .tcp_fin_seconds = 8, .udp_seconds = 2678400}};
  EXPECT_EQ(timeouts.Of(Protocol::kTcp, kTcpEstablished), JiffiesFromSeconds(7));
  EXPECT_EQ(timeouts.Of(Protocol::kTcp, kTcpFinWait), JiffiesFromSeconds(8));
  EXPECT_EQ(timeouts.Of(Protocol::kUdp, kUdpNormal), JiffiesFromSeconds(2678400));
  EXPECT_EQ(timeouts.Of(Protocol::kTcp, kTcpTimeWait), JiffiesFromSeconds(120));
}

}  // namespace
}  // namespace sluice
