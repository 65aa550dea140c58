// Complaints: the name of a broken invariant, by which findings are told apart, and what was seen.
// Threads: belongs to one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

namespace sluice::fuzz {

struct Complaint {
  std::string invariant;
  std::string seen;
};

class Complaints {
 public:
  // Those in `known` are not complained about.
  explicit Complaints(std::set<std::string> known = {}) : known_(std::move(known)) {}

  void Add(std::string invariant, std::string seen) {
    if (!known_.contains(invariant)) all_.push_back({std::move(invariant), std::move(seen)});
  }
  // Unless `holds`; `see` says what was seen, and is asked only then.
  template <class See>
  void Demand(bool holds, const char* invariant, See see) {
    if (!holds) Add(invariant, see());
  }
  bool empty() const { return all_.empty(); }
  const std::vector<Complaint>& all() const { return all_; }

 private:
  std::set<std::string> known_;
  std::vector<Complaint> all_;
};

}  // namespace sluice::fuzz
