// The rules of -S and -R: ipvsadm's command lines for what is configured, byte for byte, and back.
// Threads: pure functions, but for looking names up.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <istream>
#include <optional>
#include <string>
#include <vector>

#include "sluice/v1/sluice.pb.h"
#include "tools/sluiceadm/command_line.h"

namespace sluice {

// As ipvsadm -S: without thresholds and all that is not a service, unless the command asks for all.
std::string PrintRules(const v1::Config& config, const Command& command);

struct Rules {
  std::vector<Command> commands;
  std::vector<int> lines;  // where each was, from 1
  // What ipvsadm would say about the next line, if it is wrong; those after it are not looked at.
  std::optional<UsageError> error;
  int error_line = 0;
};

// Blank lines are no commands, and a line may begin with the program's name. Nor are lines that begin with
// '#', if `comments`: ipvsadm-restore leaves them out, ipvsadm -R does not.
Rules ParseRules(const std::string& program, std::istream& rules, bool comments);

}  // namespace sluice
