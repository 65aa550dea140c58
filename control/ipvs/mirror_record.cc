// SPDX-License-Identifier: Apache-2.0
#include "control/ipvs/mirror_record.h"

#include <cerrno>
#include <cstdio>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "control/refusals.h"
#include "control/translate.h"
#include "control/validate.h"
#include "sluice/v1/sluice.pb.h"

namespace sluice {

absl::StatusOr<std::set<ServiceKey>> ReadMirrorRecord(const std::string& path) {
  std::set<ServiceKey> keys;
  std::ifstream file(path, std::ios::binary);
  if (!file) return keys;
  v1::Config config;
  if (!config.ParseFromIstream(&file))
    return absl::DataLossError(
        absl::StrCat(path, ": is damaged; remove it, and the kernel's services with ipvsadm -C"));
  for (const v1::Service& service : config.services()) {
    Problems problems;
    if (const auto key = ValidateKey(service.key(), "key", problems); key) keys.insert(*key);
  }
  return keys;
}

absl::Status WriteMirrorRecord(const std::string& path, const std::set<ServiceKey>& keys) {
  v1::Config config;
  for (const ServiceKey& key : keys) *config.add_services()->mutable_key() = ToMessage(key);
  const std::string next = path + ".new";
  std::ofstream file(next, std::ios::binary | std::ios::trunc);
  if (!config.SerializeToOstream(&file) || !file.flush())
    return absl::ErrnoToStatus(errno, absl::StrCat(next, ": cannot be written"));
  file.close();
  if (std::rename(next.c_str(), path.c_str()) != 0)
    return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot be replaced"));
  return absl::OkStatus();
}

}  // namespace sluice
