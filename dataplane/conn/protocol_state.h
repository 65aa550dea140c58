// The state machines of IPVS: states, timeouts and transitions of TCP, SCTP and UDP.
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

// The same, as state machines see it: kInOnly is from the client, when replies do not come by here.
enum class Seen : uint8_t { kIn, kOut, kInOnly };

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

enum SctpState : uint8_t {
  kSctpNone,
  kSctpInit1,
  kSctpInit,
  kSctpCookieSent,
  kSctpCookieReplied,
  kSctpCookieWait,
  kSctpCookie,
  kSctpCookieEchoed,
  kSctpEstablished,
  kSctpShutdownSent,
  kSctpShutdownReceived,
  kSctpShutdownAckSent,
  kSctpRejected,
  kSctpClosed,
};
inline constexpr int kSctpStates = 14;

inline constexpr uint8_t kUdpNormal = 0;

// What the chunks of an SCTP packet mean to the state machine.
enum SctpEvent : uint8_t {
  kSctpEventData,
  kSctpEventInit,
  kSctpEventInitAck,
  kSctpEventCookieEcho,
  kSctpEventCookieAck,
  kSctpEventShutdown,
  kSctpEventShutdownAck,
  kSctpEventShutdownComplete,
  kSctpEventError,
  kSctpEventAbort,
};
inline constexpr int kSctpEvents = 10;

// Chunk types on the wire (RFC 9260, 3.2).
enum SctpChunk : uint8_t {
  kSctpChunkData = 0,
  kSctpChunkInit = 1,
  kSctpChunkInitAck = 2,
  kSctpChunkAbort = 6,
  kSctpChunkShutdown = 7,
  kSctpChunkShutdownAck = 8,
  kSctpChunkError = 9,
  kSctpChunkCookieEcho = 10,
  kSctpChunkCookieAck = 11,
  kSctpChunkShutdownComplete = 14,
};

// By the first chunk, and the second if there is one (otherwise 0).
SctpEvent SctpEventOf(uint8_t chunk_type, uint8_t next_chunk_type);

// The state after a segment with these TCP flags. `secure`: by the table of secure_tcp, in which only the
// real server's answer establishes.
uint8_t NextTcpState(Seen seen, uint8_t tcp_flags, uint8_t state, bool secure);
uint8_t NextSctpState(Seen seen, SctpEvent event, uint8_t state);

// Whether a connection in this state counts as active.
bool IsActiveState(Protocol protocol, uint8_t state);
// Whether the two sides have yet to agree that there is a connection.
bool IsOpeningState(Protocol protocol, uint8_t state);
// Whether both sides are done with it.
bool IsClosedState(Protocol protocol, uint8_t state);
bool IsEstablishedState(Protocol protocol, uint8_t state);

// "ESTABLISHED", "UDP": as in ipvsadm -Lc.
std::string_view StateName(Protocol protocol, uint8_t state);

// How long a connection lives without packets.
class StateTimeouts {
 public:
  explicit StateTimeouts(const TimeoutSpec& spec);
  Jiffies Of(Protocol protocol, uint8_t state) const {
    if (protocol == Protocol::kTcp) return tcp_[state];
    return protocol == Protocol::kUdp ? udp_ : sctp_[state];
  }

 private:
  std::array<Jiffies, kTcpStates> tcp_;
  std::array<Jiffies, kSctpStates> sctp_;
  Jiffies udp_;
};

}  // namespace sluice
