// The change that a command asks for.
// Threads: a pure function.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sluice/v1/sluice.pb.h"
#include "tools/sluiceadm/command_line.h"

namespace sluice {

// REQUIRES: not a command that lists or helps.
// Whether it asks for a change of the configuration.
bool IsChange(Verb verb);

v1::Change ChangeOf(const Command& command);

}  // namespace sluice
