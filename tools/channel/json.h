// A message of the API as JSON, for --json.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <google/protobuf/message.h>

namespace sluice {

// On stdout.
void PrintJson(const google::protobuf::Message& message);

}  // namespace sluice
