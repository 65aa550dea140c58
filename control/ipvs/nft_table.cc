// SPDX-License-Identifier: Apache-2.0
#include "control/ipvs/nft_table.h"

#include <nftables/libnftables.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace sluice {
namespace {

std::set<std::string> Without(const std::set<std::string>& all, const std::set<std::string>& those) {
  std::set<std::string> rest;
  std::set_difference(all.begin(), all.end(), those.begin(), those.end(), std::inserter(rest, rest.end()));
  return rest;
}

}  // namespace

std::string RangeText(const std::pair<IpAddress, IpAddress>& range) {
  const auto& [first, last] = range;
  return first == last ? first.ToString() : absl::StrCat(first.ToString(), "-", last.ToString());
}

NftTable::NftTable(std::string name, std::string layout)
    : name_(std::move(name)), layout_(std::move(layout)), context_(nft_ctx_new(NFT_CTX_DEFAULT)) {
  if (context_ == nullptr) return;
  nft_ctx_buffer_output(context_);
  nft_ctx_buffer_error(context_);
}

NftTable::~NftTable() {
  if (context_ != nullptr) nft_ctx_free(context_);
}

absl::Status NftTable::Have(const Sets& sets) {
  if (is_known_ && sets == sets_) return absl::OkStatus();
  const bool is_wanted =
      std::any_of(sets.begin(), sets.end(), [](const auto& each) { return !each.second.empty(); });
  const std::string without_table = absl::StrCat("add table ", name_, "\ndelete table ", name_, "\n");
  absl::Status done;
  if (is_wanted && is_known_ && is_there_) {
    std::string commands;
    for (const auto& [set, elements] : sets) {
      commands += Elements("delete", set, Without(sets_[set], elements));
      commands += Elements("add", set, Without(elements, sets_[set]));
    }
    if (Run(commands).ok()) {
      sets_ = sets;
      return absl::OkStatus();
    }
  }
  if (is_wanted) {
    std::string commands = layout_;
    for (const auto& [set, elements] : sets)
      absl::StrAppend(&commands, "flush set ", name_, " ", set, "\n", Elements("add", set, elements));
    done = Run(commands);
    // One of another sluiced's layout is in the way.
    if (!done.ok()) done = Run(without_table + commands);
  } else if (!is_known_ || is_there_) {
    done = Run(without_table);
  }
  is_known_ = done.ok();
  is_there_ = is_wanted && done.ok();
  sets_ = sets;
  return done;
}

std::string NftTable::Elements(const char* verb, const std::string& set,
                               const std::set<std::string>& elements) const {
  if (elements.empty()) return "";
  return absl::StrCat(verb, " element ", name_, " ", set, " { ", absl::StrJoin(elements, ", "), " }\n");
}

absl::Status NftTable::Run(const std::string& commands) {
  if (context_ == nullptr) return absl::ResourceExhaustedError("nftables: no memory");
  if (nft_run_cmd_from_buffer(context_, commands.c_str()) == 0) return absl::OkStatus();
  const absl::string_view said = nft_ctx_get_error_buffer(context_);
  return absl::InternalError(
      absl::StrCat("table ", name_, " of nftables: ", said.substr(0, said.find('\n'))));
}

}  // namespace sluice
