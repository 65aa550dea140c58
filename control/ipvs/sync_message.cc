// SPDX-License-Identifier: Apache-2.0
#include "control/ipvs/sync_message.h"

namespace sluice {
namespace {

constexpr size_t kHeaderBytes = 8;
constexpr size_t kFixedBytes = 24;  // of a record, before its addresses
constexpr uint8_t kVersion = 1;
constexpr uint8_t kIpv6 = 1;

}  // namespace

SyncMessage::SyncMessage(uint8_t sync_id) : sync_id_(sync_id) { Clear(); }

void SyncMessage::Clear() {
  bytes_[0] = bytes_[6] = bytes_[7] = 0;
  size_ = kHeaderBytes;
  records_ = 0;
}

void SyncMessage::Put16(uint16_t value) {
  Put8(static_cast<uint8_t>(value >> 8));
  Put8(static_cast<uint8_t>(value));
}

void SyncMessage::Put32(uint32_t value) {
  Put16(static_cast<uint16_t>(value >> 16));
  Put16(static_cast<uint16_t>(value));
}

void SyncMessage::PutAddress(const IpAddress& address, bool is_v6) {
  for (size_t i = is_v6 ? 0 : 12; i < address.bytes.size(); ++i) Put8(address.bytes[i]);
}

bool SyncMessage::Add(const SyncUpdate& update) {
  // A mark that is a template's address is not of IPv4, but the client is.
  const bool is_v6 = !update.client.IsV4();
  const size_t size = kFixedBytes + 3 * (is_v6 ? 16 : 4);  // a multiple of four: records need no padding
  if (records_ == kMostRecords || size_ + size > kMostBytes) return false;
  Put8(is_v6 ? kIpv6 : 0);
  Put8(static_cast<uint8_t>(update.protocol));
  Put16(static_cast<uint16_t>(size));
  Put32(update.flags);
  Put16(update.state);
  Put16(update.client_port.ToHost());
  Put16(update.virtual_port.ToHost());
  Put16(update.destination_port.ToHost());
  Put32(update.fwmark);
  Put32(update.timeout_seconds);
  PutAddress(update.client, is_v6);
  PutAddress(update.virtual_address, is_v6);
  PutAddress(update.destination, is_v6);
  ++records_;
  return true;
}

std::span<const uint8_t> SyncMessage::Bytes() {
  bytes_[1] = sync_id_;
  bytes_[2] = static_cast<uint8_t>(size_ >> 8);
  bytes_[3] = static_cast<uint8_t>(size_);
  bytes_[4] = static_cast<uint8_t>(records_);
  bytes_[5] = kVersion;
  return {bytes_.data(), size_};
}

}  // namespace sluice
