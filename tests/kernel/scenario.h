// A scenario: commands in ipvsadm's words, packets, and time, read from a text file and played against kernel
// IPVS or Sluice. What happens is a transcript; the two must be equal.
//
//   ipvsadm WORDS...                    a change; prints "ok" or "refused"
//   sysctl NAME VALUE                   of net.ipv4.vs; to Sluice a setting
//   mark MARK,PROTOCOL,PREFIX[,PORTS]   packets of clients to these carry the mark; to Sluice a rule
//   new N [udp|sctp]                    N new clients, one packet each; prints the real servers that got them
//   client FROM TO tcp FLAGS            one segment of a client; FLAGS are letters of SAFRP
//   client FROM TO udp                  one datagram
//   client FROM TO sctp CHUNK[+CHUNK]   one packet: INIT, INIT_ACK, COOKIE_ECHO, COOKIE_ACK, DATA, SACK ...
//   server FROM TO ...                  the same, of a real server
//                                       behind either: payload N, df, ttl N, tos N; addresses of IPv6
//                                       as in [fd00:a::1]:1000
//   client-error FROM TO TYPE/CODE[/MTU] about FROM TO ...
//                                       an ICMP error on the clients' side, about a packet as above
//   server-error ...                    the same on the servers' side; behind either: quoted N, broken;
//                                       about ipip OUTER_FROM OUTER_TO FROM TO ...: in a tunnel
//   wait SECONDS
//   connections                         protocol, state and addresses of every connection, sorted
//   expiry                              the same, with the seconds each has left
//   servers                             for every real server: active and inactive connections, sorted
//   persistent                          for every real server: persistent, active and inactive connections
//   statistics                          for every service and real server: connections, packets, bytes
//   align                               waits for the moment when rates are estimated
//   rates                               waits for the next, and prints the rates: of connections, packets,
//   bytes # a comment
//
// Threads: one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "tests/support/packet_builder.h"

namespace sluice {

// What balances: a kernel, or Sluice.
class Balancer {
 public:
  virtual ~Balancer() = default;
  // False: it refused.
  virtual bool Configure(const std::vector<std::string>& words) = 0;
  virtual bool SetSysctl(const std::string& name, const std::string& value) = 0;
  // As sluiceadm --add-fwmark-rule has it.
  virtual bool AddMark(const std::string& rule) = 0;
  // Where a packet came out: the frame, as the client or a server sees it. Empty: nowhere. "host" in
  // `where`: the balancer's own stack has it.
  struct Arrival {
    std::string where;  // "client", "server", "host", "nowhere"
    FrameBytes frame;
  };
  virtual Arrival Send(const FrameBytes& frame, bool from_client) = 0;
  virtual void Wait(double seconds) = 0;
  // Lines in any order: "TCP ESTABLISHED 10.0.0.1:1000 10.99.0.1:80 10.1.0.1:80", and with the seconds left.
  virtual std::vector<std::string> Connections(bool with_expiry) = 0;
  // Of ipvsadm -Ln, without its titles.
  enum class TableKind { kPlain, kPersistent, kStatistics, kRates };
  virtual std::vector<std::string> Table(TableKind kind) = 0;
  virtual void Align() = 0;
};

// Plays the text of a scenario; what comes back ends with a line for every faulty line of the text.
std::string Play(const std::string& text, Balancer& balancer);

}  // namespace sluice
