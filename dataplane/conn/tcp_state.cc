// The TCP state machines of IPVS, as tables.
// SPDX-License-Identifier: Apache-2.0
#include <array>

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
static_assert(NO == 0 && SA == kTcpStates - 1);
using TcpTable = uint8_t[3][kTcpEvents][kTcpStates];
constexpr TcpTable kNormal = {
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
    {
        // from the client, when replies do not come by here
        //       NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
        /*syn*/ {SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR},
        /*fin*/ {CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW},
        /*ack*/ {ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES},
        /*rst*/ {CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL},
        /*---*/ {CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL},
    },
};
constexpr TcpTable kSecure = {
    {
        // from the client
        //       NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
        /*syn*/ {SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SA},
        /*fin*/ {CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, SA},
        /*ack*/ {ES, ES, SS, SR, FW, TW, CL, CW, CL, LI, SA},
        /*rst*/ {CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL},
        /*---*/ {CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL},
    },
    {
        // from the real server
        //       NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
        /*syn*/ {SS, ES, SS, SA, SS, SS, SS, SS, SS, LI, SA},
        /*fin*/ {TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW},
        /*ack*/ {ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES},
        /*rst*/ {CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL},
        /*---*/ {CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL},
    },
    {
        // from the client, when replies do not come by here
        //       NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
        /*syn*/ {SA, ES, ES, SR, SA, SA, SA, SA, SA, SA, SA},
        /*fin*/ {CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW},
        /*ack*/ {ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES},
        /*rst*/ {CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL},
        /*---*/ {CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL},
    },
};

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

}  // namespace

uint8_t NextTcpState(Seen seen, uint8_t tcp_flags, uint8_t state, bool secure) {
  const TcpTable& table = secure ? kSecure : kNormal;
  return table[static_cast<int>(seen)][kEventOfFlags[tcp_flags & 31]][state];
}

}  // namespace sluice
