// SPDX-License-Identifier: Apache-2.0
#include "control/refusals.h"

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr char kPayloadUrl[] = "type.googleapis.com/sluice.v1.Refusals";

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

// What a request says is quoted in messages, which go to terminals, logs and other programs.
std::string Printable(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c >= ' ' && c <= '~') {
      result += c;
    } else {
      absl::StrAppend(&result, "\\x", absl::Hex(static_cast<uint8_t>(c), absl::kZeroPad2));
    }
  }
  return result;
}

}  // namespace

void Problems::Add(v1::RefusalReason reason, const std::string& field, const std::string& message) {
  v1::Refusal& refusal = *refusals_.add_refusals();
  refusal.set_reason(reason);
  refusal.set_field(field);
  refusal.set_message(Printable(message));
}

absl::Status Problems::ToStatus() const {
  if (!Any()) return absl::OkStatus();
  std::string text;
  for (const v1::Refusal& refusal : refusals_.refusals()) {
    absl::StrAppend(&text, text.empty() ? "" : "\n", refusal.field(), refusal.field().empty() ? "" : ": ",
                    refusal.message());
  }
  absl::Status status(CodeOf(refusals_.refusals(0).reason()), text);
  status.SetPayload(kPayloadUrl, absl::Cord(refusals_.SerializeAsString()));
  return status;
}

v1::Refusals RefusalsOf(const absl::Status& status) {
  v1::Refusals refusals;
  if (const auto payload = status.GetPayload(kPayloadUrl)) refusals.ParseFromString(std::string(*payload));
  return refusals;
}

}  // namespace sluice
