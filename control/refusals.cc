// SPDX-License-Identifier: Apache-2.0
#include "control/refusals.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "control/printable.h"

namespace sluice {
namespace {

constexpr char kPayloadUrl[] = "type.googleapis.com/sluice.v1.Refusals";

// The trailer has the list in base64 and the text with escapes of three characters: 4 and 3 KB of the 8 KB
// that gRPC's peers take.
constexpr size_t kMostBytes = 3000;
constexpr size_t kLongestText = 1000;
constexpr size_t kLongestMessage = 500;

absl::StatusCode CodeOf(v1::RefusalReason reason) {
  switch (reason) {
    case v1::SERVICE_EXISTS:
    case v1::DESTINATION_EXISTS: return absl::StatusCode::kAlreadyExists;
    case v1::SERVICE_NOT_FOUND:
    case v1::SERVICE_NOT_DEFINED:
    case v1::DESTINATION_NOT_FOUND:
    case v1::SCHEDULER_NOT_FOUND: return absl::StatusCode::kNotFound;
    case v1::OUT_OF_RANGE_VALUE: return absl::StatusCode::kOutOfRange;
    case v1::NOT_SUPPORTED: return absl::StatusCode::kUnimplemented;
    case v1::OWNED_BY_ANOTHER:
    case v1::GENERATION_MISMATCH: return absl::StatusCode::kFailedPrecondition;
    case v1::TABLE_FULL: return absl::StatusCode::kResourceExhausted;
    default: return absl::StatusCode::kInvalidArgument;
  }
}

std::string Cut(std::string text, size_t longest) {
  constexpr char kMore[] = "...";
  if (text.size() > longest) text.replace(longest - (sizeof kMore - 1), std::string::npos, kMore);
  return text;
}

}  // namespace

void Problems::Add(v1::RefusalReason reason, const std::string& field, const std::string& message) {
  ++count_;
  v1::Refusal refusal;
  refusal.set_reason(reason);
  refusal.set_field(Cut(field, kLongestMessage));
  refusal.set_message(Printable(message, kLongestMessage));
  constexpr size_t kTagAndLength = 3;
  const size_t bytes = refusal.ByteSizeLong() + kTagAndLength;
  if (refusals_.left_out() > 0 || bytes_ + bytes > kMostBytes) {
    refusals_.set_left_out(refusals_.left_out() + 1);
    return;
  }
  bytes_ += bytes;
  *refusals_.add_refusals() = std::move(refusal);
}

absl::Status Problems::ToStatus() const {
  if (!Any()) return absl::OkStatus();
  std::string text;
  for (const v1::Refusal& refusal : refusals_.refusals()) {
    absl::StrAppend(&text, text.empty() ? "" : "\n", refusal.field(), refusal.field().empty() ? "" : ": ",
                    refusal.message());
  }
  if (refusals_.left_out() > 0) absl::StrAppend(&text, "\n", LeftOutInWords(refusals_));
  absl::Status status(CodeOf(refusals_.refusals(0).reason()), Cut(std::move(text), kLongestText));
  status.SetPayload(kPayloadUrl, absl::Cord(refusals_.SerializeAsString()));
  return status;
}

v1::Refusals RefusalsOf(const absl::Status& status) {
  v1::Refusals refusals;
  if (const auto payload = status.GetPayload(kPayloadUrl)) refusals.ParseFromString(std::string(*payload));
  return refusals;
}

std::string LeftOutInWords(const v1::Refusals& refusals) {
  return refusals.left_out() == 0 ? "" : absl::StrCat("and ", refusals.left_out(), " more");
}

}  // namespace sluice
