// Synchronisation messages, byte for byte as a Linux 6.1 kernel was seen to send them, and the kernel's list
// of connections.
#include "control/ipvs/sync_message.h"

#include <gtest/gtest.h>

#include "dataplane/conn/connection.h"

namespace sluice {
namespace {

SyncUpdate Update(const char* client, uint16_t client_port, const char* service, const char* server,
                  Protocol protocol, uint8_t state, uint16_t flags, uint32_t timeout, uint16_t port = 80) {
  return {.client = *IpAddress::Parse(client),
          .virtual_address = *IpAddress::Parse(service),
          .destination = *IpAddress::Parse(server),
          .client_port = Be16::FromHost(client_port),
          .virtual_port = Be16::FromHost(port),
          .destination_port = Be16::FromHost(port),
          .flags = flags,
          .protocol = protocol,
          .state = state,
          .timeout_seconds = timeout};
}

std::string Hex(std::span<const uint8_t> bytes) {
  std::string text;
  char digits[3];
  for (const uint8_t byte : bytes) {
    std::snprintf(digits, sizeof digits, "%02x", byte);
    text += digits;
  }
  return text;
}

std::string HexOf(SyncUpdate update, uint32_t fwmark = 0) {
  SyncMessage message(5);
  update.fwmark = fwmark;
  EXPECT_TRUE(message.Add(update));
  return Hex(message.Bytes());
}

TEST(SyncMessageTest, AsTheKernelWritesThem) {
  EXPECT_EQ(
      HexOf(Update("203.0.113.1", 40001, "10.0.99.1", "10.0.1.1", Protocol::kTcp, kTcpEstablished, 0, 900)),
      "0005002c01010000"
      "00060024000000000001"
      "9c4100500050"
      "0000000000000384"
      "cb007101"
      "0a006301"
      "0a000101");
  EXPECT_EQ(HexOf(Update("203.0.113.1", 999, "10.0.99.1", "10.0.1.1", Protocol::kUdp, 0, kConnectionInactive,
                         300, 53)),
            "0005002c01010000"
            "00110024000001000000"
            "03e700350035"
            "000000000000012c"
            "cb007101"
            "0a006301"
            "0a000101");
  // A template; of a mark, with the mark.
  EXPECT_EQ(
      HexOf(Update("203.0.113.1", 0, "10.0.99.1", "10.0.1.1", Protocol::kTcp, 1, kConnectionTemplate, 300),
            7),
      "0005002c01010000"
      "00060024000010000001"
      "000000500050"
      "000000070000012c"
      "cb007101"
      "0a006301"
      "0a000101");
  const std::string v6 =
      HexOf(Update("2001:db8::1", 7, "2001:db8::2", "2001:db8::3", Protocol::kTcp, kTcpEstablished, 0, 900));
  EXPECT_EQ(v6.substr(0, 64),
            "0005005001010000"
            "01060048000000000001"
            "000700500050"
            "0000000000000384");
  EXPECT_EQ(v6.size(), 2 * (8 + 72u));
}

TEST(SyncMessageTest, HoldsWhatFitsIntoAPacket) {
  SyncMessage message(1);
  const SyncUpdate update = Update("203.0.113.1", 1, "10.0.99.1", "10.0.1.1", Protocol::kTcp, 1, 0, 900);
  int records = 0;
  while (message.Add(update)) ++records;
  EXPECT_EQ(records, 40);
  EXPECT_LE(message.Bytes().size(), SyncMessage::kMostBytes);
  EXPECT_EQ(message.Bytes()[4], 40);
  message.Clear();
  EXPECT_TRUE(message.empty());
  EXPECT_TRUE(message.Add(update));
  EXPECT_EQ(message.Bytes().size(), 44u);
}

}  // namespace
}  // namespace sluice
