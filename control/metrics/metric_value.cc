// SPDX-License-Identifier: Apache-2.0
#include "control/metrics/metric_value.h"

#include <array>
#include <charconv>
#include <cmath>

namespace sluice {

std::string ExactText(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  const double size = std::abs(value);
  const bool is_plain = size == 0 || (size >= 1e-4 && size < 1e15);
  std::array<char, 32> text;  // -2.2250738585072014e-308 has 24
  const auto written = std::to_chars(text.data(), text.data() + text.size(), value,
                                     is_plain ? std::chars_format::fixed : std::chars_format::scientific);
  return {text.data(), written.ptr};
}

}  // namespace sluice
