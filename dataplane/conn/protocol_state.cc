// SPDX-License-Identifier: Apache-2.0
#include "dataplane/conn/protocol_state.h"

#include "dataplane/net/headers.h"

namespace sluice {
namespace {

enum TcpEvent : uint8_t { kSyn, kFin, kAck, kRst, kNoFlag };
constexpr int kTcpEvents = 5;

// Columns are present states, in the order of TcpState; a cell is the next state. A segment without any
// of the four flags closes.
constexpr uint8_t NO = kTcpNone, ES = kTcpEstablished, SS = kTcpSynSent, SR = kTcpSynRecv, FW = kTcpFinWait,
                  TW = kTcpTimeWait, CL = kTcpClose, CW = kTcpCloseWait, LA = kTcpLastAck, LI = kTcpListen,
                  SA = kTcpSynAck;
constexpr uint8_t kTransitions[2][kTcpEvents][kTcpStates] = {
    {
        // from the client
        //       NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
        /*syn*/ {SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR},
        /*fin*/ {CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, TW},
        /*ack*/ {ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES},
        /*rst*/ {CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, SR},
        /*---*/ {CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL},
    },
    {
        // from the real server
        //       NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
        /*syn*/ {SS, ES, SS, SR, SS, SS, SS, SS, SS, LI, SR},
        /*fin*/ {TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW},
        /*ack*/ {ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES},
        /*rst*/ {CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL},
        /*---*/ {CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL},
    },
};
static_assert(NO == 0 && SA == kTcpStates - 1);

// Indexed by the flags FIN, SYN, RST and, from bit 4, ACK; the kernel asks for RST, SYN, FIN, ACK in this
// order.
constexpr TcpEvent EventOf(uint8_t flags) {
  if (flags & kTcpRst) return kRst;
  if (flags & kTcpSyn) return kSyn;
  if (flags & kTcpFin) return kFin;
  if (flags & kTcpAck) return kAck;
  return kNoFlag;
}
constexpr std::array<TcpEvent, 32> kEventOfFlags = [] {
  std::array<TcpEvent, 32> events{};
  for (int flags = 0; flags < 32; ++flags) events[flags] = EventOf(static_cast<uint8_t>(flags));
  return events;
}();

constexpr std::string_view kTcpStateNames[kTcpStates] = {"NONE",     "ESTABLISHED", "SYN_SENT", "SYN_RECV",
                                                         "FIN_WAIT", "TIME_WAIT",   "CLOSE",    "CLOSE_WAIT",
                                                         "LAST_ACK", "LISTEN",      "SYNACK"};

}  // namespace

uint8_t NextTcpState(Direction direction, uint8_t tcp_flags, uint8_t state) {
  return kTransitions[static_cast<int>(direction)][kEventOfFlags[tcp_flags & 31]][state];
}

bool IsActiveState(Protocol protocol, uint8_t state) {
  if (protocol != Protocol::kTcp) return false;
  return state == kTcpEstablished || state == kTcpSynSent || state == kTcpSynRecv || state == kTcpSynAck;
}

std::string_view StateName(Protocol protocol, uint8_t state) {
  if (protocol == Protocol::kUdp) return "UDP";
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
}

}  // namespace sluice
