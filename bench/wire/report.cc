// SPDX-License-Identifier: Apache-2.0
#include "bench/wire/report.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace sluice {

void Report::Add(const std::string& name, uint64_t value) { values_.emplace_back(name, absl::StrCat(value)); }

void Report::Add(const std::string& name, double value) {
  values_.emplace_back(name, absl::StrFormat("%.3f", value));
}

void Report::AddLatency(const Histogram& histogram) {
  if (histogram.Count() == 0) return;
  const std::pair<const char*, double> shares[] = {
      {"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"most", 1}};
  for (const auto& [name, share] : shares)
    Add(absl::StrCat("latency_us_", name), static_cast<double>(histogram.Quantile(share)) / 1000);
}

void Report::AddLossyFlows(std::vector<LossyFlow> flows) {
  constexpr size_t kTold = 10;
  Add("flows_with_loss", uint64_t{flows.size()});
  std::stable_sort(flows.begin(), flows.end(),
                   [](const LossyFlow& a, const LossyFlow& b) { return a.lost > b.lost; });
  flows.resize(std::min(flows.size(), kTold));
  worst_ = std::move(flows);
}

void Report::Print(bool json) const {
  if (!json) {
    for (const auto& [name, value] : values_) std::printf("%-18s %s\n", name.c_str(), value.c_str());
    for (const LossyFlow& flow : worst_)
      std::printf("lost %lu of %lu: %s\n", flow.lost, flow.sent, flow.name.c_str());
    return;
  }
  std::string text = "{";
  for (const auto& [name, value] : values_) absl::StrAppend(&text, "\"", name, "\": ", value, ", ");
  absl::StrAppend(&text, "\"worst_flows\": [");
  for (size_t i = 0; i < worst_.size(); ++i) {
    absl::StrAppend(&text, i == 0 ? "" : ", ", "{\"flow\": \"", worst_[i].name,
                    "\", \"sent\": ", worst_[i].sent, ", \"lost\": ", worst_[i].lost, "}");
  }
  std::printf("%s]}\n", text.c_str());
}

void ShowProgress(double second, uint64_t done, uint64_t failed) {
  if (!isatty(STDERR_FILENO)) return;
  std::fprintf(stderr, "\r%6.0f s  %lu done, %lu failed or not yet answered   ", second, done, failed);
}

void EndProgress() {
  if (isatty(STDERR_FILENO)) std::fputc('\n', stderr);
}

}  // namespace sluice
