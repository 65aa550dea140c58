// SPDX-License-Identifier: Apache-2.0
#include "dataplane/net/memory_room.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <new>

namespace sluice {
namespace {

void Lower(MemoryRoom& room, uint64_t bytes, const std::string& limit) {
  if (bytes < room.bytes) room = {bytes, limit};
}

uint64_t LeftOf(uint64_t limit, uint64_t used) { return limit > used ? limit - used : 0; }

bool ReadNumber(const std::string& file, uint64_t& number) {
  return static_cast<bool>(std::ifstream(file) >> number);
}

// "MemAvailable:   12345 kB"
void LowerToMachine(MemoryRoom& room) {
  std::ifstream file("/proc/meminfo");
  for (std::string name; file >> name;) {
    uint64_t kilobytes = 0;
    if (name != "MemAvailable:" || !(file >> kilobytes)) continue;
    return Lower(room, kilobytes * 1024, "the machine's memory");
  }
}

void LowerToAddressSpace(MemoryRoom& room) {
  rlimit limit{};
  uint64_t pages = 0;
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
      !ReadNumber("/proc/self/statm", pages))
    return;
  const uint64_t used = pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  Lower(room, LeftOf(limit.rlim_cur, used), "the limit of the address space (ulimit -v)");
}

// Limits of version 2, up to the root: every group above has a say. "0::/system.slice/sluiced.service"
void LowerToControlGroups(MemoryRoom& room) {
  std::ifstream file("/proc/self/cgroup");
  std::string line;
  while (std::getline(file, line) && line.rfind("0::", 0) != 0) {
  }
  if (line.rfind("0::", 0) != 0) return;
  for (std::string group = line.substr(3); !group.empty() && group != "/"; group.erase(group.rfind('/'))) {
    const std::string folder = "/sys/fs/cgroup" + group;
    uint64_t most = 0;
    uint64_t used = 0;
    if (ReadNumber(folder + "/memory.max", most) && ReadNumber(folder + "/memory.current", used))
      Lower(room, LeftOf(most, used), "memory.max of the control group " + group);
  }
}

size_t reserve_bytes = 0;
std::atomic<void*> reserve{nullptr};

// Called by operator new when there is no memory; when it returns, that tries again.
void UseReserve() {
  if (void* held = reserve.exchange(nullptr); held != nullptr) {
    munmap(held, reserve_bytes);
    return;
  }
  std::fputs("sluiced: out of memory, and the reserve is used up; the kernel has the packets from now on\n",
             stderr);
  std::abort();
}

bool TakeReserve() {
  void* taken =
      mmap(nullptr, reserve_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (taken == MAP_FAILED) return false;
  void* none = nullptr;
  if (!reserve.compare_exchange_strong(none, taken)) munmap(taken, reserve_bytes);
  return true;
}

}  // namespace

MemoryRoom RoomForMemory() {
  MemoryRoom room;
  LowerToMachine(room);
  LowerToAddressSpace(room);
  LowerToControlGroups(room);
  return room;
}

void MemoryReserve::Hold(size_t bytes) {
  reserve_bytes = bytes;
  TakeReserve();
  std::set_new_handler(UseReserve);
}

bool MemoryReserve::IsHeld() {
  if (reserve.load() != nullptr || reserve_bytes == 0) return true;
  return RoomForMemory().bytes > 2 * reserve_bytes && TakeReserve();
}

}  // namespace sluice
