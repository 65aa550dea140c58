// The options of ipvsadm and our own, and which commands they go with: tables.
// Threads: constants.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <set>
#include <string>

#include "absl/strings/string_view.h"
#include "tools/sluiceadm/command_line.h"

namespace sluice {

// What an option takes.
enum class Argument { kNone, kRequired, kOptional };

struct Option {
  char letter;  // 0: it has a long name only
  const char* name;
  Argument argument;
};

// nullptr: there is none.
const Option* FindOption(char letter);
const Option* FindOption(absl::string_view name);

// Commands by the name of their option.
extern const std::map<std::string, Verb> kVerbs;

// Which options go with a command, besides the service address; and which it cannot do without.
struct Rule {
  const char* name;
  std::set<std::string> allowed;
  bool needs_service;
  bool needs_server;
};
extern const std::map<Verb, Rule> kRules;

}  // namespace sluice
