// The state machines of IPVS: states, timeouts and transitions of TCP and UDP, as tables.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "dataplane/config/spec.h"
#include "dataplane/conn/jiffies.h"
#include "dataplane/net/flow_key.h"

namespace sluice {

// Of a packet: from the client, or from the real server.
enum class Direction : uint8_t { kIn, kOut };

// IPVS's numbers; they travel in synchronisation messages.
enum TcpState : uint8_t {
  kTcpNone,
  kTcpEstablished,
  kTcpSynSent,
  kTcpSynRecv,
  kTcpFinWait,
  kTcpTimeWait,
  kTcpClose,
  kTcpCloseWait,
  kTcpLastAck,
  kTcpListen,
  kTcpSynAck,
};
inline constexpr int kTcpStates = 11;
inline constexpr uint8_t kUdpNormal = 0;

// The state after a segment with these TCP flags.
uint8_t NextTcpState(Direction direction, uint8_t tcp_flags, uint8_t state);

// Whether a connection in this state counts as active.
bool IsActiveState(Protocol protocol, uint8_t state);

// "ESTABLISHED", "UDP": as in ipvsadm -Lc.
std::string_view StateName(Protocol protocol, uint8_t state);

// How long a connection lives without packets.
class StateTimeouts {
 public:
  explicit StateTimeouts(const TimeoutSpec& spec);
  Jiffies Of(Protocol protocol, uint8_t state) const {
    return protocol == Protocol::kUdp ? udp_ : tcp_[state];
  }

 private:
  std::array<Jiffies, kTcpStates> tcp_;
  Jiffies udp_;
};

}  // namespace sluice
