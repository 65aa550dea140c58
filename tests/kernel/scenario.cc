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
  return {text.substr(0, colon), static_cast<uint16_t>(std::atoi(text.c_str() + colon + 1))};
}

uint8_t FlagsOf(const std::string& letters) {
  static const std::map<char, uint8_t> kFlags = {{'F', 1}, {'S', 2}, {'R', 4}, {'P', 8}, {'A', 16}};
  uint8_t flags = 0;
  for (const char letter : letters) flags |= kFlags.at(letter);
  return flags;
}

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
    } else if (verb == "new" && words.size() >= 2) {
      New(std::atoi(words[1].c_str()), words.size() > 2 && words[2] == "udp");
    } else if ((verb == "client" || verb == "server") && words.size() >= 4) {
      Packet packet = PacketOf(words);
      Tell(balancer_.Send(packet.Bytes(), verb == "client"));
    } else if (verb == "wait" && words.size() == 2) {
      balancer_.Wait(std::atof(words[1].c_str()));
    } else if (verb == "connections") {
      TellSorted(balancer_.Connections());
    } else if (verb == "servers" || verb == "statistics") {
      TellSorted(balancer_.Table(verb == "statistics"));
    } else {
      return false;
    }
    return true;
  }

  static Packet PacketOf(const Words& words) {
    const auto [from, from_port] = AddressOf(words[1]);
    const auto [to, to_port] = AddressOf(words[2]);
    Packet packet = Packet().From(from, from_port).To(to, to_port);
    return words[3] == "udp" ? packet.Udp().Payload("payload") : packet.Tcp(FlagsOf(words.at(4)));
  }

  // To the service whose address and port was configured first.
  void New(int count, bool udp) {
    out_ << " ";
    for (int i = 0; i < count; ++i, ++clients_) {
      const std::string client =
          "10.0." + std::to_string(1 + clients_ / 250) + "." + std::to_string(1 + clients_ % 250);
      Packet packet =
          Packet().From(client, static_cast<uint16_t>(5000 + clients_)).To("10.99.0.1", udp ? 53 : 80);
      const Balancer::Arrival arrival = balancer_.Send((udp ? packet.Udp() : packet.Tcp(2)).Bytes(), true);
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
