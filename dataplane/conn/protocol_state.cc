// SPDX-License-Identifier: Apache-2.0
#include "dataplane/conn/protocol_state.h"

namespace sluice {
namespace {

constexpr std::string_view kTcpStateNames[kTcpStates] = {"NONE",     "ESTABLISHED", "SYN_SENT", "SYN_RECV",
                                                         "FIN_WAIT", "TIME_WAIT",   "CLOSE",    "CLOSE_WAIT",
                                                         "LAST_ACK", "LISTEN",      "SYNACK"};
constexpr std::string_view kSctpStateNames[kSctpStates] = {
    "NONE",     "INIT1",       "INIT",   "C-SENT",     "C-REPLIED",  "C-WAIT",   "COOKIE",
    "C-ECHOED", "ESTABLISHED", "S-SENT", "S-RECEIVED", "S-ACK-SENT", "REJECTED", "CLOSED"};

constexpr uint32_t kSctpSeconds[kSctpStates] = {2, 4, 61, 61, 61, 61, 61, 61, 900, 61, 61, 61, 4, 61};

}  // namespace

bool IsActiveState(Protocol protocol, uint8_t state) {
  if (protocol == Protocol::kSctp) return state == kSctpEstablished;
  if (protocol != Protocol::kTcp) return false;
  return state == kTcpEstablished || state == kTcpSynSent || state == kTcpSynRecv || state == kTcpSynAck;
}

bool IsOpeningState(Protocol protocol, uint8_t state) {
  if (protocol == Protocol::kSctp) return state < kSctpEstablished;
  if (protocol != Protocol::kTcp) return false;
  return state == kTcpNone || state == kTcpSynSent || state == kTcpSynRecv || state == kTcpSynAck;
}

bool IsClosedState(Protocol protocol, uint8_t state) {
  if (protocol == Protocol::kSctp) return state == kSctpClosed;
  return protocol == Protocol::kTcp && (state == kTcpTimeWait || state == kTcpClose);
}

bool IsEstablishedState(Protocol protocol, uint8_t state) {
  if (protocol == Protocol::kSctp) return state == kSctpEstablished;
  return protocol == Protocol::kTcp && state == kTcpEstablished;
}

std::string_view StateName(Protocol protocol, uint8_t state) {
  if (protocol == Protocol::kUdp) return "UDP";
  if (protocol == Protocol::kSctp) return state < kSctpStates ? kSctpStateNames[state] : "?";
  return state < kTcpStates ? kTcpStateNames[state] : "ERR!";
}

StateTimeouts::StateTimeouts(const TimeoutSpec& spec) : udp_(JiffiesFromSeconds(spec.udp_seconds)) {
  tcp_[kTcpNone] = JiffiesFromSeconds(2);
  tcp_[kTcpEstablished] = JiffiesFromSeconds(spec.tcp_seconds);
  tcp_[kTcpSynSent] = JiffiesFromSeconds(120);
  tcp_[kTcpSynRecv] = JiffiesFromSeconds(60);
  tcp_[kTcpFinWait] = JiffiesFromSeconds(spec.tcp_fin_seconds);
  tcp_[kTcpTimeWait] = JiffiesFromSeconds(120);
  tcp_[kTcpClose] = JiffiesFromSeconds(10);
  tcp_[kTcpCloseWait] = JiffiesFromSeconds(60);
  tcp_[kTcpLastAck] = JiffiesFromSeconds(30);
  tcp_[kTcpListen] = JiffiesFromSeconds(120);
  tcp_[kTcpSynAck] = JiffiesFromSeconds(120);
  for (int state = 0; state < kSctpStates; ++state) sctp_[state] = JiffiesFromSeconds(kSctpSeconds[state]);
}

}  // namespace sluice
