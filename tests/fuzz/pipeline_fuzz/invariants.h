// Invariants that must hold whatever comes: the oracle of the fuzzer.
// Threads: belongs to one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tests/fuzz/pipeline_fuzz/book.h"
#include "tests/fuzz/pipeline_fuzz/complaints.h"
#include "tests/fuzz/pipeline_fuzz/workers.h"

namespace sluice::fuzz {

// Each packet has one verdict and one counter, and is in one list.
void CheckVerdicts(const Burst& burst, Complaints& complaints);
// Departures are what came in, but for what had to change, and go where they belong. `flows`: as they are
// after it.
void CheckDepartures(const Burst& burst, const std::vector<Flow>& flows, const Book& book,
                     Complaints& complaints);

// Nothing is evicted while there is room. `before`: connections in front of the burst.
void CheckEvictions(const Burst& burst, size_t before, Complaints& complaints);

// Between bursts: loads, templates, local ports, counters and buffers agree with the connections there are.
void CheckBalance(const Workers& workers, const std::vector<std::vector<Flow>>& flows,
                  Complaints& complaints);
// Connections that are new since `before` go to a destination of a service that their packets are for.
void CheckNewFlows(const std::vector<Flow>& before, const std::vector<Flow>& after, const Book& book,
                   Complaints& complaints);
// After the last of everything.
void CheckNothingIsLeft(const Workers& workers, Complaints& complaints);

}  // namespace sluice::fuzz
