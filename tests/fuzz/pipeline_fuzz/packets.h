// The grammar of packets: of new flows and of those that workers have, replies, errors about them and about
// what went out, fragments in any order; then most stay right, and some are bent.
// Threads: belongs to one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>

#include "tests/fuzz/pipeline_fuzz/names.h"
#include "tests/fuzz/pipeline_fuzz/packet_maker.h"

namespace sluice::fuzz {

class PacketGrammar {
 public:
  explicit PacketGrammar(Dice& dice) : dice_(dice) {}

  // One packet, or the fragments of one. `flows`: those that there are.
  std::vector<Arrival> Next(const std::vector<Flow>& flows);
  // A packet that went out may come back, quoted in an error.
  void Remember(const FrameBytes& sent);

 private:
  Names AnyNames(const std::vector<Flow>& flows);
  Names AnyNewNames();
  void Fill(PacketMaker& packet);
  void Decorate(PacketMaker& packet);
  PacketMaker ErrorAbout(const FrameBytes& ip, const Address& reporter);
  PacketMaker AnyError(const std::vector<Flow>& flows);
  PacketMaker AnyEcho();
  FrameBytes Bend(FrameBytes frame);
  Arrival Deliver(FrameBytes frame, bool from_servers);
  FrameBytes Noise(size_t length);

  static constexpr size_t kRemembered = 16;
  Dice& dice_;
  std::deque<FrameBytes> remembered_;
};

}  // namespace sluice::fuzz
