// A configuration's store with everything around it but the data path.
// Threads: one, but for what ConfigStore allows.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "control/config_store.h"

namespace sluice {

struct StoreRig {
  DestinationTable destinations;
  Publisher publisher{{.destinations = &destinations,
                       .publish = [](std::shared_ptr<const Snapshot>) { return absl::OkStatus(); },
                       .statistics = [](DestinationId) { return DestinationStatistics(); },
                       .keep_resolved = [](const std::map<IpAddress, bool>&) {}}};
  ConfigStore store{publisher};

  // What sluiced does with its state file when it starts.
  absl::Status TakeUp(const std::string& path) {
    StateFile::Loaded loaded;
    auto file = StateFile::Open(path, loaded);
    if (!file.ok()) return file.status();
    if (!loaded.damage.empty()) return absl::DataLossError(loaded.damage);
    if (loaded.whole.generation() > 0) {
      if (const absl::Status restored = store.Restore(loaded.whole); !restored.ok()) return restored;
    }
    store.KeepIn(*std::move(file));
    return absl::OkStatus();
  }
};

}  // namespace sluice
