// SPDX-License-Identifier: Apache-2.0
#include "dataplane/xdp/steering.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <unordered_map>

#include "absl/strings/str_cat.h"
#include "dataplane/xdp/attachment.h"
#include "dataplane/xdp/steer_abi.h"
#include "stub_bpf.h"

namespace sluice {
namespace {

constexpr size_t kHeartbeatBytes = SLUICE_MAX_WORKERS * sizeof(sluice_heartbeat);
// The maps that all interfaces share.
constexpr const char* kSharedMaps[] = {
    "endpoints",         "endpoints_v6", "prefixes",   "prefixes_v6", "host_addresses",
    "host_addresses_v6", "hints",        "heartbeats", "stall",       "counts"};

// A map of either family, and a key as it is in there.
struct Place {
  const char* map;
  union {
    sluice_endpoint_key endpoint;
    sluice_endpoint_key_v6 endpoint_v6;
    sluice_prefix_key prefix;
    sluice_prefix_key_v6 prefix_v6;
    uint32_t address;
    sluice_address_v6 address_v6;
  } key;
};

sluice_address_v6 V6Of(const IpAddress& address) {
  sluice_address_v6 words;
  std::memcpy(&words, address.bytes.data(), sizeof words);
  return words;
}

Place PlaceOf(const Endpoint& endpoint) {
  const auto protocol = static_cast<uint8_t>(endpoint.protocol);
  Place place{};
  if (endpoint.address.IsV4()) {
    place.map = "endpoints";
    place.key.endpoint = {endpoint.address.V4().raw, endpoint.port.raw, protocol, 0};
  } else {
    place.map = "endpoints_v6";
    place.key.endpoint_v6 = {V6Of(endpoint.address), endpoint.port.raw, protocol, 0};
  }
  return place;
}

Place PlaceOf(const PrefixChange& change) {
  Place place{};
  if (change.prefix.IsV4()) {
    place.map = "prefixes";
    place.key.prefix = {change.prefix_length, change.prefix.V4().raw};
  } else {
    place.map = "prefixes_v6";
    place.key.prefix_v6 = {change.prefix_length, V6Of(change.prefix)};
  }
  return place;
}

Place PlaceOfHost(const IpAddress& address) {
  Place place{};
  if (address.IsV4()) {
    place.map = "host_addresses";
    place.key.address = address.V4().raw;
  } else {
    place.map = "host_addresses_v6";
    place.key.address_v6 = V6Of(address);
  }
  return place;
}

uint32_t SlotOf(const IpAddress& address) {
  if (address.IsV4()) return sluice_slot(address.V4().raw);
  const sluice_address_v6 words = V6Of(address);
  return sluice_slot_v6(&words);
}

uint32_t RoleBit(EndpointRole role) {
  return role == EndpointRole::kVirtual ? SLUICE_ROLE_VIRTUAL : SLUICE_ROLE_REAL_SERVER;
}

}  // namespace

struct Steering::State {
  int Map(const char* name) const { return bpf_object__find_map_fd_by_name(maps.get(), name); }
  template <class Value>
  bool Put(const Place& place, const Value& value) const {
    return bpf_map_update_elem(Map(place.map), &place.key, &value, BPF_ANY) == 0;
  }
  void Remove(const Place& place) const { bpf_map_delete_elem(Map(place.map), &place.key); }
  using Roles = std::unordered_map<Endpoint, uint32_t, EndpointHash>;

  // Of endpoints of one family. In one call, where the kernel can; the rest one by one.
  template <class Key>
  absl::Status PutRoles(const std::vector<const Roles::value_type*>& endpoints) const {
    if (endpoints.empty()) return absl::OkStatus();
    std::vector<Key> keys(endpoints.size());
    std::vector<uint32_t> values(endpoints.size());
    for (size_t i = 0; i < endpoints.size(); ++i) {
      const Place place = PlaceOf(endpoints[i]->first);
      std::memcpy(&keys[i], &place.key, sizeof keys[i]);
      values[i] = endpoints[i]->second;
    }
    auto done = static_cast<uint32_t>(endpoints.size());
    const int map = Map(PlaceOf(endpoints[0]->first).map);
    if (bpf_map_update_batch(map, keys.data(), values.data(), &done, nullptr) == 0) return absl::OkStatus();
    absl::Status result;
    // What it failed before it began it has not counted.
    for (size_t i = done < endpoints.size() ? done : 0; i < endpoints.size(); ++i) {
      if (bpf_map_update_elem(map, &keys[i], &values[i], BPF_ANY) == 0) continue;
      result.Update(absl::ErrnoToStatus(
          errno, absl::StrCat("no room for ", endpoints[i]->first.ToString(),
                              " in the XDP program's map of endpoints: the kernel handles its packets")));
    }
    return result;
  }

  SteeringOptions options;
  BpfObject maps;  // loaded, never attached: keeps the shared maps
  sluice_heartbeat* heartbeats = nullptr;
  sluice_hints* hints = nullptr;
  sluice_stall* stall = nullptr;
  int stub_file = -1;
  mutable std::mutex mutex;                               // of what is next
  std::map<int, std::unique_ptr<Attachment>> interfaces;  // by index
  Roles roles;
  std::vector<IpAddress> host_addresses;  // sorted
  struct Counts {
    uint32_t virtual_ones = 0;
    uint32_t real_servers = 0;

    uint32_t& of(EndpointRole role) { return role == EndpointRole::kVirtual ? virtual_ones : real_servers; }
  };
  std::vector<Counts> by_slot =
      std::vector<Counts>(SLUICE_ADDRESS_SLOTS);  // endpoints in each slot of the hints
  // How many stand for every port, or are prefixes.
  Counts any_port;
  int prefixes = 0;
};

Steering::Steering() : state_(std::make_unique<State>()) {}

absl::StatusOr<std::unique_ptr<Steering>> Steering::Create(const SteeringOptions& options) {
  std::unique_ptr<Steering> steering(new Steering());
  State& state = *steering->state_;
  state.options = options;
  absl::StatusOr<BpfObject> object = OpenSteerProgram(options.workers);
  if (!object.ok()) return object.status();
  if (const int error = bpf_object__load(object->get()); error != 0) {
    return LibbpfError(
        error, "the kernel does not take the XDP program; it needs Linux 5.11 or newer and CAP_SYS_ADMIN");
  }
  state.maps = *std::move(object);
  const auto map_memory = [&](const char* name, size_t size, auto*& memory) {
    void* mapped = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, state.Map(name), 0);
    if (mapped == MAP_FAILED) return absl::ErrnoToStatus(errno, absl::StrCat("the map ", name, " in memory"));
    memory = static_cast<std::remove_reference_t<decltype(memory)>>(mapped);
    return absl::OkStatus();
  };
  if (const absl::Status s = map_memory("heartbeats", kHeartbeatBytes, state.heartbeats); !s.ok()) return s;
  if (const absl::Status s = map_memory("hints", sizeof(sluice_hints), state.hints); !s.ok()) return s;
  if (const absl::Status s = map_memory("stall", sizeof(sluice_stall), state.stall); !s.ok()) return s;
  for (int worker = 0; worker < options.workers; ++worker) {
    state.heartbeats[worker].limit_ns = uint64_t{options.heartbeat_limit_ms} * 1'000'000;
    state.heartbeats[worker].openings = SLUICE_MOST_OPENINGS;
  }
  state.stub_file = memfd_create("sluice_stub.o", MFD_CLOEXEC);
  if (state.stub_file < 0 ||
      write(state.stub_file, stub_bpf, sizeof stub_bpf) != static_cast<ssize_t>(sizeof stub_bpf)) {
    return absl::ErrnoToStatus(errno, "no memory for the stub program");
  }
  return steering;
}

Steering::~Steering() {
  state_->interfaces.clear();
  if (state_->heartbeats != nullptr) munmap(state_->heartbeats, kHeartbeatBytes);
  if (state_->hints != nullptr) munmap(state_->hints, sizeof(sluice_hints));
  if (state_->stall != nullptr) munmap(state_->stall, sizeof(sluice_stall));
  if (state_->stub_file >= 0) close(state_->stub_file);
}

std::string Steering::StubProgramPath() const { return absl::StrCat("/proc/self/fd/", state_->stub_file); }

absl::StatusOr<std::string> Steering::Attach(int interface_index, const MacAddress& mac,
                                             std::span<const int> sockets) {
  if (sockets.size() > SLUICE_MAX_QUEUES) {
    return absl::InvalidArgumentError(absl::StrCat(sockets.size(), " receive queues, ", SLUICE_MAX_QUEUES,
                                                   " are the most: reduce them with `ethtool -L`"));
  }
  Detach(interface_index);
  absl::StatusOr<std::unique_ptr<Attachment>> loaded = Attachment::Load(
      state_->options.workers, kSharedMaps, [&](const char* name) { return state_->Map(name); }, sockets);
  if (!loaded.ok()) return loaded.status();
  (*loaded)->SetMac(mac);
  absl::StatusOr<std::string> mode = (*loaded)->Attach(interface_index);
  if (!mode.ok()) return mode.status();
  const std::lock_guard lock(state_->mutex);
  state_->interfaces[interface_index] = *std::move(loaded);
  return mode;
}

absl::StatusOr<std::string> Steering::Reattach(int interface_index) {
  const std::lock_guard lock(state_->mutex);
  const auto found = state_->interfaces.find(interface_index);
  if (found == state_->interfaces.end()) return absl::NotFoundError("no program was loaded for it");
  return found->second->Attach(interface_index);
}

void Steering::Detach(int interface_index) {
  const std::lock_guard lock(state_->mutex);
  state_->interfaces.erase(interface_index);
}

uint32_t Steering::ProgramId(int interface_index) const {
  const std::lock_guard lock(state_->mutex);
  const auto found = state_->interfaces.find(interface_index);
  return found == state_->interfaces.end() ? 0 : found->second->program_id();
}

void Steering::SetMac(int interface_index, const MacAddress& mac) {
  const std::lock_guard lock(state_->mutex);
  const auto found = state_->interfaces.find(interface_index);
  if (found != state_->interfaces.end()) found->second->SetMac(mac);
}

void Steering::SetVlans(int interface_index, std::span<const uint16_t> vlans) {
  const std::lock_guard lock(state_->mutex);
  const auto found = state_->interfaces.find(interface_index);
  if (found != state_->interfaces.end()) found->second->SetVlans(vlans);
}

absl::Status Steering::Apply(std::span<const EndpointChange> endpoints,
                             std::span<const PrefixChange> prefixes) {
  // Each once; they stay where they are in memory.
  std::vector<const State::Roles::value_type*> changed;
  changed.reserve(endpoints.size());
  for (const EndpointChange& change : endpoints) {
    const auto role = state_->roles.try_emplace(change.endpoint).first;
    NoteRole(change, role->second);
    changed.push_back(&*role);
  }
  std::sort(changed.begin(), changed.end());
  changed.erase(std::unique(changed.begin(), changed.end()), changed.end());
  // Before the maps know what is new.
  for (const auto* each : changed) WriteHint(SlotOf(each->first.address));
  absl::Status result;
  std::vector<const State::Roles::value_type*> v4, v6;
  for (const auto* each : changed) {
    if (each->second != 0) {
      (each->first.address.IsV4() ? v4 : v6).push_back(each);
    } else {
      const Endpoint gone = each->first;
      state_->Remove(PlaceOf(gone));
      state_->roles.erase(gone);
    }
  }
  result.Update(state_->PutRoles<sluice_endpoint_key>(v4));
  result.Update(state_->PutRoles<sluice_endpoint_key_v6>(v6));
  for (const PrefixChange& change : prefixes) result.Update(ApplyPrefix(change));
  LookFor();
  return result;
}

void Steering::NoteRole(const EndpointChange& change, uint32_t& roles) {
  const uint32_t before = roles;
  roles = change.added ? roles | RoleBit(change.role) : roles & ~RoleBit(change.role);
  if (roles == before) return;
  const uint32_t by = change.added ? 1 : -1;
  state_->by_slot[SlotOf(change.endpoint.address)].of(change.role) += by;
  if (change.endpoint.port == Be16{} && change.endpoint.protocol != kAnyProtocol)
    state_->any_port.of(change.role) += by;
}

void Steering::WriteHint(uint32_t slot) {
  const State::Counts& counts = state_->by_slot[slot];
  const uint32_t roles = (counts.virtual_ones > 0 ? SLUICE_ROLE_VIRTUAL : 0) |
                         (counts.real_servers > 0 ? SLUICE_ROLE_REAL_SERVER : 0);
  std::atomic_ref(state_->hints->roles[slot]).store(static_cast<uint8_t>(roles), std::memory_order_release);
}

absl::Status Steering::ApplyPrefix(const PrefixChange& change) {
  const Place place = PlaceOf(change);
  state_->prefixes += change.added ? 1 : -1;
  if (!change.added) {
    state_->Remove(place);
  } else if (!state_->Put(place, uint8_t{1})) {
    return absl::ErrnoToStatus(
        errno, absl::StrCat("no room for ", change.prefix.ToString(), "/", int{change.prefix_length},
                            " in the XDP program's map of prefixes"));
  }
  return absl::OkStatus();
}

void Steering::LookFor() {
  const uint32_t bits = (state_->any_port.virtual_ones > 0 ? SLUICE_WIDER_VIRTUAL : 0) |
                        (state_->any_port.real_servers > 0 ? SLUICE_WIDER_REAL_SERVER : 0) |
                        (state_->prefixes > 0 ? SLUICE_WIDER_PREFIX : 0);
  std::atomic_ref(state_->hints->wider).store(bits, std::memory_order_release);
}

absl::Status Steering::SetHostAddresses(std::span<const IpAddress> addresses) {
  std::vector<IpAddress> wanted(addresses.begin(), addresses.end());
  std::sort(wanted.begin(), wanted.end());
  absl::Status result;
  std::vector<IpAddress>& present = state_->host_addresses;
  for (const IpAddress& address : wanted) {
    if (std::binary_search(present.begin(), present.end(), address)) continue;
    if (!state_->Put(PlaceOfHost(address), uint8_t{1})) {
      result = absl::ErrnoToStatus(errno, absl::StrCat("no room for ", address.ToString(),
                                                       " in the XDP program's map of host addresses"));
    }
  }
  for (const IpAddress& address : present) {
    if (!std::binary_search(wanted.begin(), wanted.end(), address)) state_->Remove(PlaceOfHost(address));
  }
  present = std::move(wanted);
  return result;
}

sluice_heartbeat* Steering::heartbeat(int worker) { return &state_->heartbeats[worker]; }

uint64_t Steering::HeartbeatLimitNs(int worker) const {
  return __atomic_load_n(&state_->heartbeats[worker].limit_ns, __ATOMIC_RELAXED);
}

void Steering::SetPassesStalled(bool passes) {
  std::atomic_ref(state_->stall->passes).store(passes ? 1 : 0, std::memory_order_release);
}

bool Steering::passes_stalled() const {
  return std::atomic_ref(state_->stall->passes).load(std::memory_order_acquire) != 0;
}

SteeringCounts Steering::Counts() const {
  std::vector<uint64_t> by_cpu(static_cast<size_t>(libbpf_num_possible_cpus()));
  const auto total = [&](uint32_t what) {
    uint64_t sum = 0;
    if (bpf_map_lookup_elem(state_->Map("counts"), &what, by_cpu.data()) != 0) return sum;
    for (const uint64_t value : by_cpu) sum += value;
    return sum;
  };
  return {.steered = total(SLUICE_COUNT_STEERED),
          .stale = total(SLUICE_COUNT_STALE),
          .stale_dropped = total(SLUICE_COUNT_STALE_DROPPED),
          .openings_dropped = total(SLUICE_COUNT_OPENINGS),
          .released = total(SLUICE_COUNT_RELEASED),
          .no_socket = total(SLUICE_COUNT_NO_SOCKET)};
}

}  // namespace sluice
