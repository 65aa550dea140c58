// SPDX-License-Identifier: Apache-2.0
#include "tools/sluiceadm/change.h"

namespace sluice {

bool IsChange(Verb verb) {
  switch (verb) {
    case Verb::kList:
    case Verb::kSave:
    case Verb::kRestore:
    case Verb::kZero:
    case Verb::kStartDaemon:
    case Verb::kStopDaemon:
    case Verb::kHelp: return false;
    default: return true;
  }
}

v1::Change ChangeOf(const Command& command) {
  v1::Change change;
  switch (command.verb) {
    case Verb::kAddService:
    case Verb::kEditService: {
      v1::PutService& put = *change.mutable_put_service();
      *put.mutable_service() = command.service;
      *put.mutable_service()->mutable_key() = *command.key;
      put.set_mode(command.verb == Verb::kAddService ? v1::CREATE : v1::UPDATE);
      break;
    }
    case Verb::kDeleteService: *change.mutable_delete_service()->mutable_key() = *command.key; break;
    case Verb::kAddServer:
    case Verb::kEditServer: {
      v1::PutDestination& put = *change.mutable_put_destination();
      *put.mutable_service() = *command.key;
      *put.mutable_destination() = command.destination;
      put.set_mode(command.verb == Verb::kAddServer ? v1::CREATE : v1::UPDATE);
      break;
    }
    case Verb::kDeleteServer: {
      v1::DeleteDestination& request = *change.mutable_delete_destination();
      *request.mutable_service() = *command.key;
      request.set_address(command.destination.address());
      request.set_port(command.destination.port());
      break;
    }
    case Verb::kSetTimeouts: *change.mutable_set_timeouts() = command.timeouts; break;
    case Verb::kSetSysctl: *change.mutable_set_settings() = command.settings; break;
    case Verb::kAddFwmarkRule: *change.mutable_add_fwmark_rule() = command.rule; break;
    case Verb::kDeleteFwmarkRule: *change.mutable_delete_fwmark_rule() = command.rule; break;
    case Verb::kAddLocalAddress: *change.mutable_add_local_address() = command.local_address; break;
    case Verb::kDeleteLocalAddress: *change.mutable_delete_local_address() = command.local_address; break;
    default: change.mutable_delete_all()->set_force(command.force); break;
  }
  return change;
}

}  // namespace sluice
