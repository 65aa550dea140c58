// ipvsadm's command line: what was asked for, or what ipvsadm would have said about it.
// Threads: pure functions, but for looking names up.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "sluice/v1/sluice.pb.h"

namespace sluice {

enum class Verb {
  kList,
  kAddService,
  kEditService,
  kDeleteService,
  kClear,
  kAddServer,
  kEditServer,
  kDeleteServer,
  kSetTimeouts,
  kSetSysctl,
  kAddFwmarkRule,
  kDeleteFwmarkRule,
  kAddLocalAddress,
  kDeleteLocalAddress,
  kSave,
  kRestore,
  kZero,
  kStartDaemon,
  kStopDaemon,
  kHelp,
};

struct Command {
  Verb verb = Verb::kList;
  std::optional<v1::ServiceKey> key;
  v1::Service service;             // of -A and -E, without its key
  v1::Destination destination;     // of -a, -e and -d
  v1::Timeouts timeouts;           // of --set
  v1::Settings settings;           // of --set-sysctl
  v1::FwmarkRule rule;             // of --add-fwmark-rule and --delete-fwmark-rule
  v1::LocalAddress local_address;  // of --add-laddr and --delete-laddr
  // Of -L.
  bool numeric = false;
  bool connections = false;
  bool show_timeouts = false;
  bool show_settings = false;
  bool show_fwmark_rules = false;
  bool show_local_addresses = false;
  bool statistics = false;
  bool rates = false;
  bool tunnels = false;
  bool exact = false;
  bool thresholds = false;
  bool persistent_connections = false;
  bool unsorted = false;
  bool show_daemons = false;
  v1::SyncDaemon daemon;     // of --start-daemon
  bool is_master = true;     // the same, and --stop-daemon
  bool json = false;         // as the API has it
  bool complete = false;     // of -S: thresholds, too, which ipvsadm leaves out
  bool partial = false;      // of -R: line by line, as ipvsadm does it
  bool clear_first = false;  // of -R, as ipvsadm-restore does it
  bool force = false;        // of -C and -R: services of other owners, too
  // Where sluiced listens; not an option of ipvsadm's.
  std::string server;
};

// One line for stderr, and the exit status.
struct UsageError {
  std::string message;
  int status = 2;
};

std::variant<Command, UsageError> ParseCommandLine(const std::string& program,
                                                   const std::vector<std::string>& arguments);

std::string HelpText(const std::string& program);

}  // namespace sluice
