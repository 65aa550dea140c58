// SPDX-License-Identifier: Apache-2.0
#include "tests/kernel/scenario.h"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>
#include <sstream>

namespace sluice {
namespace {

using Words = std::vector<std::string>;

Words Split(const std::string& line) {
  std::istringstream stream(line.substr(0, line.find('#')));
  Words words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

std::pair<std::string, uint16_t> AddressOf(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (text[0] == '[')
    return {text.substr(1, colon - 2), static_cast<uint16_t>(std::atoi(text.c_str() + colon + 1))};
  return {text.substr(0, colon), static_cast<uint16_t>(std::atoi(text.c_str() + colon + 1))};
}

uint8_t FlagsOf(const std::string& letters) {
  static const std::map<char, uint8_t> kFlags = {{'F', 1}, {'S', 2}, {'R', 4}, {'P', 8}, {'A', 16}};
  uint8_t flags = 0;
  for (const char letter : letters) flags |= kFlags.at(letter);
  return flags;
}

std::vector<uint8_t> ChunksOf(const std::string& names) {
  static const std::map<std::string, uint8_t> kTypes = {
      {"DATA", 0},      {"INIT", 1},         {"INIT_ACK", 2},    {"SACK", 3},
      {"HEARTBEAT", 4}, {"ABORT", 6},        {"SHUTDOWN", 7},    {"SHUTDOWN_ACK", 8},
      {"ERROR", 9},     {"COOKIE_ECHO", 10}, {"COOKIE_ACK", 11}, {"SHUTDOWN_COMPLETE", 14}};
  std::vector<uint8_t> types;
  std::istringstream stream(names);
  for (std::string name; std::getline(stream, name, '+');) types.push_back(kTypes.at(name));
  return types;
}

const std::map<std::string, Balancer::TableKind> kTables = {{"servers", Balancer::TableKind::kPlain},
                                                            {"persistent", Balancer::TableKind::kPersistent},
                                                            {"statistics", Balancer::TableKind::kStatistics},
                                                            {"rates", Balancer::TableKind::kRates}};

class Player {
 public:
  explicit Player(Balancer& balancer) : balancer_(balancer) {}

  std::string Play(const std::string& text) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      const Words words = Split(line);
      if (words.empty()) continue;
      out_ << line.substr(0, line.find_last_not_of(' ') + 1) << '\n';
      if (!Do(words)) out_ << "  ?? not a line of a scenario\n";
    }
    return out_.str();
  }

 private:
  bool Do(const Words& words) {
    const std::string& verb = words[0];
    if (verb == "ipvsadm") {
      out_ << "  " << (balancer_.Configure({words.begin() + 1, words.end()}) ? "ok" : "refused") << '\n';
    } else if (verb == "sysctl" && words.size() == 3) {
      out_ << "  " << (balancer_.SetSysctl(words[1], words[2]) ? "ok" : "refused") << '\n';
    } else if (verb == "mark" && words.size() == 2) {
      return balancer_.AddMark(words[1]);
    } else if (verb == "new" && words.size() >= 2) {
      New(std::atoi(words[1].c_str()), words.size() > 2 ? words[2] : "tcp");
    } else if ((verb == "client" || verb == "server") && words.size() >= 4) {
      Balancer::Arrival arrival = balancer_.Send(PacketOf(words).Bytes(), verb == "client");
      // A host answers TCP in a way that tells, unless it is a reset.
      const bool tells = words[3] == "tcp" && words.at(4).find('R') == std::string::npos;
      if (!tells && arrival.where == "host") arrival.where = "nowhere";
      // An ICMP error that answers other than TCP may be IPVS's or the host's.
      if (words[3] != "tcp" && verb == "client" && arrival.where == "client") arrival = {"nowhere", {}};
      Tell(arrival);
    } else if ((verb == "client-error" || verb == "server-error") && words.size() >= 8 &&
               words[4] == "about") {
      Balancer::Arrival arrival = balancer_.Send(ErrorOf(words).Bytes(), verb == "client-error");
      if (arrival.where == "host") arrival.where = "nowhere";
      Tell(arrival);
    } else if (verb == "wait" && words.size() == 2) {
      balancer_.Wait(std::atof(words[1].c_str()));
    } else if (verb == "connections" || verb == "expiry") {
      TellSorted(balancer_.Connections(verb == "expiry"));
    } else if (verb == "align") {
      balancer_.Align();
    } else if (kTables.contains(verb)) {
      TellSorted(balancer_.Table(kTables.at(verb)));
    } else {
      return false;
    }
    return true;
  }

  static Packet ErrorOf(const Words& words) {
    int type = 0;
    int code = 0;
    int mtu = 0;
    std::sscanf(words[3].c_str(), "%d/%d/%d", &type, &code, &mtu);
    FrameBytes about;
    if (words[5] == "ipip") {
      const FrameBytes inner = PacketOf({words.begin() + 7, words.end()}).Bytes();
      about = Packet()
                  .From(words[6], 0)
                  .To(words[7], 0)
                  .DontFragment()
                  .IpProtocol(4)
                  .Payload(std::string(inner.begin() + 14, inner.end()))
                  .Bytes();
    } else {
      about = PacketOf({words.begin() + 4, words.end()}).Bytes();
    }
    size_t quoted = 0;
    bool broken = false;
    for (size_t at = 5; at < words.size(); ++at) {
      if (words[at] == "quoted") quoted = std::stoul(words.at(at + 1));
      if (words[at] == "broken") broken = true;
    }
    Packet packet = Packet()
                        .From(words[1], 0)
                        .To(words[2], 0)
                        .IcmpErrorAbout(static_cast<uint8_t>(type), static_cast<uint8_t>(code),
                                        static_cast<uint16_t>(mtu), about, quoted);
    return broken ? packet.BreakTransportChecksum() : packet;
  }

  static Packet PacketOf(const Words& words) {
    const auto [from, from_port] = AddressOf(words[1]);
    const auto [to, to_port] = AddressOf(words[2]);
    Packet packet = Packet().From(from, from_port).To(to, to_port);
    size_t at = 5;
    if (words[3] == "udp") {
      packet.Udp().Payload("payload");
      at = 4;
    } else if (words[3] == "sctp") {
      packet.Sctp(ChunksOf(words.at(4)));
    } else {
      packet.Tcp(FlagsOf(words.at(4)));
    }
    for (; at < words.size(); ++at) {
      const std::string& word = words[at];
      if (word == "df") packet.DontFragment();
      if (word == "payload") packet.Payload(std::string(std::stoul(words.at(++at)), 'x'));
      if (word == "ttl") packet.Ttl(static_cast<uint8_t>(std::stoul(words.at(++at))));
      if (word == "tos") packet.TypeOfService(static_cast<uint8_t>(std::stoul(words.at(++at), nullptr, 16)));
    }
    return packet;
  }

  // To the service whose address and port was configured first.
  void New(int count, const std::string& protocol) {
    out_ << " ";
    for (int i = 0; i < count; ++i, ++clients_) {
      const std::string client =
          "10.0." + std::to_string(1 + clients_ / 250) + "." + std::to_string(1 + clients_ % 250);
      Packet packet = Packet()
                          .From(client, static_cast<uint16_t>(5000 + clients_))
                          .To("10.99.0.1", protocol == "udp" ? 53 : 80);
      if (protocol == "udp") {
        packet.Udp();
      } else if (protocol == "sctp") {
        packet.Sctp(ChunksOf("INIT"));
      } else {
        packet.Tcp(FlagsOf("S"));
      }
      const Balancer::Arrival arrival = balancer_.Send(packet.Bytes(), true);
      out_ << ' ' << (arrival.where == "server" ? std::to_string(arrival.frame[33]) : "-");
    }
    out_ << '\n';
  }

  void Tell(const Balancer::Arrival& arrival) {
    out_ << "  " << arrival.where;
    if (!arrival.frame.empty()) {
      const std::string faults = ChecksumFaults(arrival.frame);
      out_ << ": " << Describe(arrival.frame) << (faults.empty() ? "" : ", " + faults);
    }
    out_ << '\n';
  }
  void TellSorted(std::vector<std::string> lines) {
    std::sort(lines.begin(), lines.end());
    for (const std::string& line : lines) out_ << "  " << line << '\n';
  }

  Balancer& balancer_;
  std::ostringstream out_;
  int clients_ = 0;
};

}  // namespace

std::string Play(const std::string& text, Balancer& balancer) { return Player(balancer).Play(text); }

}  // namespace sluice
