// The grammar of configurations: services of every kind, settings, links, routes and neighbours, all valid.
// Threads: belongs to one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/config/forwarding_builder.h"
#include "dataplane/config/spec.h"
#include "tests/fuzz/pipeline_fuzz/names.h"

namespace sluice::fuzz {

class ConfigurationGrammar {
 public:
  explicit ConfigurationGrammar(Dice& dice) : dice_(dice), is_about_full_nat_(dice.OneIn(6)) {}

  ServiceKey AnyKey();
  ServiceSpec AnyService();
  GlobalSpec AnyGlobal();
  ForwardingSpec AnyForwarding();
  static ForwardingSpec PlainForwarding();

 private:
  DestinationSpec AnyDestination(bool is_v6, bool may_be_full_nat);
  LocalAddress AnyLocalAddress();
  void AddSourceRanges(ServiceSpec& spec, bool is_v6);

  Dice& dice_;
  const bool is_about_full_nat_;  // few servers that share ports of few local addresses
};

}  // namespace sluice::fuzz
