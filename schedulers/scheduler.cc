// SPDX-License-Identifier: Apache-2.0
#include "schedulers/scheduler.h"

#include <map>

#include "dataplane/net/check.h"

namespace sluice {
namespace {

// Filled by static objects of other files, in any order: hence a function, not an object.
std::map<std::string_view, SchedulerFactory>& Registry() {
  static std::map<std::string_view, SchedulerFactory> registry;
  return registry;
}

}  // namespace

SchedulerEntry::SchedulerEntry(std::string_view name, SchedulerFactory factory) {
  SLUICE_CHECK(Registry().emplace(name, factory).second);
}

SchedulerFactory FindScheduler(std::string_view name) {
  const auto found = Registry().find(name);
  return found == Registry().end() ? nullptr : found->second;
}

std::vector<std::string_view> SchedulerNames() {
  std::vector<std::string_view> names;
  for (const auto& [name, factory] : Registry()) names.push_back(name);
  return names;
}

}  // namespace sluice
