// Sizes that ports and the buffers of their packets have in common.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace sluice {

inline constexpr uint16_t kQueueSize = 2048;          // what the AF_XDP driver has as its default
inline constexpr int kFrameHeaders = 14 + 2 * 4 + 4;  // Ethernet with two tags, and its check sequence

}  // namespace sluice
