// Packets that went out in fragments, put together again.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tests/fuzz/pipeline_fuzz/book.h"
#include "tests/fuzz/pipeline_fuzz/complaints.h"
#include "tests/fuzz/pipeline_fuzz/workers.h"

namespace sluice::fuzz {

// As if each had gone out whole, with the arrival it is of; none if it cannot be told whose they are. Pieces
// by themselves are complained about.
std::vector<Departure> Reassembled(const Burst& burst, const Book& book, Complaints& complaints);

}  // namespace sluice::fuzz
