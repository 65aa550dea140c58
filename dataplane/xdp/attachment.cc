// SPDX-License-Identifier: Apache-2.0
#include "dataplane/xdp/attachment.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "dataplane/net/check.h"
#include "dataplane/xdp/steer_abi.h"
#include "steer_bpf.h"

namespace sluice {
namespace {

// libbpf says what went wrong through a callback only; the last of it goes into our error.
thread_local std::string last_complaint;

int KeepComplaint(libbpf_print_level level, const char* format, va_list arguments) {
  if (level != LIBBPF_WARN) return 0;
  char text[1024];
  std::vsnprintf(text, sizeof text, format, arguments);
  last_complaint = text;
  while (!last_complaint.empty() && last_complaint.back() == '\n') last_complaint.pop_back();
  return 0;
}

// A program's descriptor and what the kernel says of it; -1 and nothing if it has gone.
std::pair<int, bpf_prog_info> ProgramOf(uint32_t id) {
  bpf_prog_info info{};
  uint32_t length = sizeof info;
  const int fd = bpf_prog_get_fd_by_id(id);
  if (fd >= 0) bpf_obj_get_info_by_fd(fd, &info, &length);
  return {fd, info};
}

}  // namespace

void ObjectCloser::operator()(bpf_object* object) const { bpf_object__close(object); }

absl::Status LibbpfError(int error, const std::string& what) {
  const std::string complaint = last_complaint.empty() ? "" : absl::StrCat(" (", last_complaint, ")");
  return absl::ErrnoToStatus(std::abs(error), absl::StrCat(what, complaint));
}

absl::StatusOr<BpfObject> OpenSteerProgram(int workers) {
  libbpf_set_print(KeepComplaint);
  last_complaint.clear();
  BpfObject object(bpf_object__open_mem(steer_bpf, sizeof steer_bpf, nullptr));
  if (object == nullptr) return LibbpfError(errno, "the XDP program cannot be opened");
  const sluice_steer_settings settings{.workers = static_cast<uint32_t>(workers)};
  bpf_map* rodata = bpf_object__find_map_by_name(object.get(), ".rodata");
  SLUICE_CHECK(rodata != nullptr);
  SLUICE_CHECK(bpf_map__set_initial_value(rodata, &settings, sizeof settings) == 0);
  return object;
}

std::string ProgramName(uint32_t id) {
  const auto [fd, info] = ProgramOf(id);
  if (fd >= 0) close(fd);
  return info.name;
}

absl::Status RemoveLeftover(const InterfaceState& interface) {
  const std::pair<uint32_t, uint32_t> programs[] = {{interface.native_program, XDP_FLAGS_DRV_MODE},
                                                    {interface.generic_program, XDP_FLAGS_SKB_MODE},
                                                    {interface.hardware_program, XDP_FLAGS_HW_MODE}};
  for (const auto& [id, mode] : programs) {
    if (id == 0) continue;
    const auto [fd, info] = ProgramOf(id);
    const std::string name = info.name;
    int error = 0;
    if (name == kSteerName || name == kStubName) {
      LIBBPF_OPTS(bpf_xdp_attach_opts, this_one, .old_prog_fd = fd);
      error = bpf_xdp_detach(interface.index, mode, &this_one);
    }
    if (fd >= 0) close(fd);
    if (name != kSteerName && name != kStubName) {
      return absl::FailedPreconditionError(absl::StrCat(
          "interface ", interface.name, " has the XDP program \"", name, "\" (id ", id,
          ") of somebody else: stop its owner, or run `ip link set dev ", interface.name, " xdp off`"));
    }
    if (error != 0) {
      return LibbpfError(error, absl::StrCat("interface ", interface.name, ": the earlier program ", name,
                                             " cannot be removed"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Attachment>> Attachment::Load(
    int workers, std::span<const char* const> shared_names, const std::function<int(const char*)>& shared_map,
    std::span<const int> sockets) {
  std::unique_ptr<Attachment> attachment(new Attachment());
  absl::StatusOr<BpfObject> opened = OpenSteerProgram(workers);
  if (!opened.ok()) return opened.status();
  bpf_object* const object = (attachment->object_ = *std::move(opened)).get();
  for (const char* name : shared_names) {
    bpf_map* map = bpf_object__find_map_by_name(object, name);
    if (const int error = bpf_map__reuse_fd(map, shared_map(name)); error != 0)
      return LibbpfError(error, absl::StrCat("the map ", name, " cannot be shared"));
  }
  if (const int error = bpf_object__load(object); error != 0)
    return LibbpfError(error, "the kernel does not take the XDP program");
  const int sockets_map = bpf_object__find_map_fd_by_name(object, "xsks_map");
  for (uint32_t queue = 0; queue < sockets.size(); ++queue) {
    if (bpf_map_update_elem(sockets_map, &queue, &sockets[queue], BPF_ANY) != 0)
      return LibbpfError(errno, absl::StrCat("the socket of queue ", queue, " cannot be used"));
  }
  void* const memory = mmap(nullptr, sizeof(sluice_interface), PROT_READ | PROT_WRITE, MAP_SHARED,
                            bpf_object__find_map_fd_by_name(object, ".data.own"), 0);
  if (memory == MAP_FAILED) return absl::ErrnoToStatus(errno, "the XDP program's settings in memory");
  attachment->memory_ = static_cast<sluice_interface*>(memory);
  bpf_prog_info info{};
  uint32_t length = sizeof info;
  if (bpf_obj_get_info_by_fd(attachment->program(), &info, &length) != 0)
    return absl::ErrnoToStatus(errno, "the XDP program's id");
  attachment->program_id_ = info.id;
  return attachment;
}

Attachment::~Attachment() {
  Detach();
  if (memory_ != nullptr) munmap(memory_, sizeof(sluice_interface));
}

int Attachment::program() const {
  return bpf_program__fd(bpf_object__find_program_by_name(object_.get(), kSteerName.data()));
}

absl::StatusOr<std::string> Attachment::Attach(int interface_index) {
  int error = 0;
  for (const uint32_t mode : {XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE}) {
    error = bpf_xdp_attach(interface_index, program(), mode | XDP_FLAGS_UPDATE_IF_NOEXIST, nullptr);
    if (error != 0) continue;
    interface_index_ = interface_index;
    mode_ = mode;
    return mode == XDP_FLAGS_DRV_MODE ? "native" : "generic";
  }
  return LibbpfError(error, "the XDP program cannot be attached");
}

// Only if it is still there.
void Attachment::Detach() {
  if (interface_index_ == 0) return;
  LIBBPF_OPTS(bpf_xdp_attach_opts, ours, .old_prog_fd = program());
  bpf_xdp_detach(interface_index_, mode_, &ours);
  interface_index_ = 0;
}

void Attachment::SetMac(const MacAddress& mac) {
  uint16_t words[3];
  std::memcpy(words, mac.bytes.data(), sizeof words);
  std::atomic_ref(memory_->mac).store(sluice_mac(words[0], words[1], words[2]), std::memory_order_release);
}

void Attachment::SetVlans(std::span<const uint16_t> vlans) {
  std::array<uint64_t, std::size(decltype(sluice_interface::vlans){})> bits{};
  for (const uint16_t vlan : vlans) bits[vlan / 64 % bits.size()] |= uint64_t{1} << vlan % 64;
  for (size_t i = 0; i < bits.size(); ++i)
    std::atomic_ref(memory_->vlans[i]).store(bits[i], std::memory_order_release);
}

}  // namespace sluice
