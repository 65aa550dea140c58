// SPDX-License-Identifier: Apache-2.0
#include "dataplane/conn/protocol_state.h"

#include <gtest/gtest.h>

#include <string>

#include "dataplane/net/headers.h"

namespace sluice {
namespace {

// The tables of the kernel, one state a row, as documentation has them; the code has them by event.
struct Row {
  std::string state, on_syn, on_fin, on_ack, on_rst;
};
const Row kFromClient[] = {
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
const Row kFromServer[] = {
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

uint8_t StateOf(const std::string& name) {
  for (uint8_t state = 0; state < kTcpStates; ++state) {
    if (StateName(Protocol::kTcp, state) == name) return state;
  }
  ADD_FAILURE() << "no state " << name;
  return 0;
}

void Check(Direction direction, const Row& row) {
  SCOPED_TRACE(row.state);
  const auto next = [&](uint8_t flags) {
    return std::string(StateName(Protocol::kTcp, NextTcpState(direction, flags, StateOf(row.state))));
  };
  EXPECT_EQ(next(kTcpSyn), row.on_syn);
  EXPECT_EQ(next(kTcpSyn | kTcpAck), row.on_syn);
  EXPECT_EQ(next(kTcpFin | kTcpAck), row.on_fin);
  EXPECT_EQ(next(kTcpAck), row.on_ack);
  EXPECT_EQ(next(kTcpAck | 0x08), row.on_ack) << "PSH does not matter";
  EXPECT_EQ(next(kTcpRst), row.on_rst);
  EXPECT_EQ(next(kTcpRst | kTcpSyn | kTcpFin | kTcpAck), row.on_rst) << "RST comes first";
  EXPECT_EQ(next(0), "CLOSE");
  EXPECT_EQ(next(0xe8), "CLOSE") << "URG, PSH and ECN alone are none of the four";
}

TEST(TcpState, FollowsTheKernelFromTheClient) {
  for (const Row& row : kFromClient) Check(Direction::kIn, row);
}
TEST(TcpState, FollowsTheKernelFromTheServer) {
  for (const Row& row : kFromServer) Check(Direction::kOut, row);
}

TEST(TcpState, ActiveStates) {
  for (const char* name : {"ESTABLISHED", "SYN_SENT", "SYN_RECV", "SYNACK"})
    EXPECT_TRUE(IsActiveState(Protocol::kTcp, StateOf(name))) << name;
  for (const char* name : {"NONE", "FIN_WAIT", "TIME_WAIT", "CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN"}) {
    EXPECT_FALSE(IsActiveState(Protocol::kTcp, StateOf(name))) << name;
  }
  EXPECT_FALSE(IsActiveState(Protocol::kUdp, kUdpNormal));
}

TEST(StateTimeouts, AreTheKernels) {
  const StateTimeouts timeouts{TimeoutSpec{}};
  const auto seconds = [&](const char* state) {
    return timeouts.Of(Protocol::kTcp, StateOf(state)) / kJiffiesPerSecond;
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
