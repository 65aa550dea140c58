// SPDX-License-Identifier: Apache-2.0
#include "tests/kernel/hash_cases.h"

namespace sluice {
namespace {

// A number that follows from `i` and `salt` alone (the finaliser of MurmurHash3).
uint64_t Scramble(uint64_t i, uint64_t salt) {
  uint64_t x = i * 0x9e3779b97f4a7c15u + salt;
  x = (x ^ x >> 33) * 0xff51afd7ed558ccdu;
  x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53u;
  return x ^ x >> 33;
}

IpAddress V4(uint32_t address) { return IpAddress::FromV4(Be32::FromHost(address)); }

}  // namespace

const std::vector<int>& HashCase::Weights() {
  static const std::vector<int> kWeights = {1, 2, 3, 5, 0, 8, 1, 40};
  return kWeights;
}

std::string HashCase::Server(int i) const { return (is_v6 ? "fd01::" : "10.1.0.") + std::to_string(i); }

std::vector<HashCase> HashCases() {
  std::vector<HashCase> cases;
  for (const bool is_v6 : {false, true}) {
    const std::string family = is_v6 ? " of IPv6" : " of IPv4";
    cases.push_back({"dh" + family, "dh", false, false, is_v6});
    for (const char* scheduler : {"sh", "mh"}) {
      const std::string name = scheduler;
      cases.push_back({name + family, name, false, false, is_v6});
      cases.push_back({name + "-port" + family, name, true, false, is_v6});
      cases.push_back({name + "-port,fallback" + family, name, true, true, is_v6});
    }
  }
  return cases;
}

FlowKey HashPacket(const HashCase& hash_case, uint32_t i) {
  FlowKey flow;
  flow.protocol = Protocol::kUdp;
  // Not 20, which IPVS never schedules.
  flow.source_port = Be16::FromHost(static_cast<uint16_t>(1024 + Scramble(i, 1) % 64000));
  flow.destination_port = Be16::FromHost(static_cast<uint16_t>(1 + Scramble(i, 2) % 65535));
  if (!hash_case.is_v6) {
    flow.source = V4(0x0b000001 + static_cast<uint32_t>(Scramble(i, 3) % 0x60000000));  // 11/8 to 106/8
    flow.destination = V4(0x0a630001 + static_cast<uint32_t>(Scramble(i, 4) % 0xfffe));
    return flow;
  }
  flow.source = IpAddress::Unspecified(AddressFamily::kIpv6);
  for (int byte = 0; byte < 16; ++byte)
    flow.source.bytes[static_cast<size_t>(byte)] =
        static_cast<uint8_t>(Scramble(i, 5 + static_cast<uint64_t>(byte)));
  flow.source.bytes[0] = 0x20;
  flow.source.bytes[1] = 0x02;
  flow.destination = *IpAddress::Parse("fd99::");
  flow.destination.bytes[14] = static_cast<uint8_t>(Scramble(i, 30));
  flow.destination.bytes[15] = static_cast<uint8_t>(1 + Scramble(i, 31) % 255);
  return flow;
}

}  // namespace sluice
