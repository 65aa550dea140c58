// SPDX-License-Identifier: Apache-2.0
#include "control/ipvs/sync_message.h"

namespace sluice {
namespace {

constexpr size_t kHeaderBytes = 8;
constexpr size_t kFixedBytes = 24;  // of a record, before its addresses
constexpr uint8_t kVersion = 1;
constexpr uint8_t kIpv6 = 1;

void Put16(std::vector<uint8_t>& bytes, uint16_t value) {
  bytes.push_back(static_cast<uint8_t>(value >> 8));
  bytes.push_back(static_cast<uint8_t>(value));
}
void Put32(std::vector<uint8_t>& bytes, uint32_t value) {
  Put16(bytes, static_cast<uint16_t>(value >> 16));
  Put16(bytes, static_cast<uint16_t>(value));
}
void PutAddress(std::vector<uint8_t>& bytes, const IpAddress& address, bool is_v6) {
  bytes.insert(bytes.end(), address.bytes.begin() + (is_v6 ? 0 : 12), address.bytes.end());
}

}  // namespace

SyncMessage::SyncMessage(uint8_t sync_id) : sync_id_(sync_id) { Clear(); }

void SyncMessage::Clear() {
  bytes_.assign(kHeaderBytes, 0);
  records_ = 0;
}

bool SyncMessage::Add(const SyncUpdate& update, uint32_t fwmark) {
  // A mark that is a template's address is not of IPv4, but the client is.
  const bool is_v6 = !update.client.IsV4();
  const size_t size = kFixedBytes + 3 * (is_v6 ? 16 : 4);  // a multiple of four: records need no padding
  if (records_ == kMostRecords || bytes_.size() + size > kMostBytes) return false;
  bytes_.push_back(is_v6 ? kIpv6 : 0);
  bytes_.push_back(static_cast<uint8_t>(update.protocol));
  Put16(bytes_, static_cast<uint16_t>(size));
  Put32(bytes_, update.flags);
  Put16(bytes_, update.state);
  Put16(bytes_, update.client_port.ToHost());
  Put16(bytes_, update.virtual_port.ToHost());
  Put16(bytes_, update.destination_port.ToHost());
  Put32(bytes_, fwmark);
  Put32(bytes_, update.timeout_seconds);
  PutAddress(bytes_, update.client, is_v6);
  PutAddress(bytes_, update.virtual_address, is_v6);
  PutAddress(bytes_, update.destination, is_v6);
  ++records_;
  return true;
}

std::span<const uint8_t> SyncMessage::Bytes() {
  bytes_[1] = sync_id_;
  bytes_[2] = static_cast<uint8_t>(bytes_.size() >> 8);
  bytes_[3] = static_cast<uint8_t>(bytes_.size());
  bytes_[4] = static_cast<uint8_t>(records_);
  bytes_[5] = kVersion;
  return bytes_;
}

}  // namespace sluice
