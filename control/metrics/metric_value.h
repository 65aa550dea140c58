// MetricValue writes a sample's value in Prometheus' text format: exactly the number it was, however large.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <type_traits>

#include "absl/strings/str_cat.h"

namespace sluice {

// With as many digits as it takes to read the same number again; "+Inf", "-Inf", "NaN".
std::string ExactText(double value);

template <class Value>
std::string MetricValue(const Value& value) {
  if constexpr (std::is_floating_point_v<Value>) {
    return ExactText(value);
  } else {
    return absl::StrCat(value);
  }
}

}  // namespace sluice
