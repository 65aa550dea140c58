// SPDX-License-Identifier: Apache-2.0
#include "control/roles.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace sluice {
namespace {

constexpr const char* kRoleNames[] = {"none", "read", "write", "all"};  // by Role

std::vector<std::string> NamesOf(const grpc::ServerContext& context) {
  std::vector<std::string> names;
  for (const char* property : {GRPC_X509_CN_PROPERTY_NAME, GRPC_X509_SAN_PROPERTY_NAME}) {
    for (const grpc::string_ref& name : context.auth_context()->FindPropertyValues(property))
      names.emplace_back(name.data(), name.size());
  }
  return names;
}

}  // namespace

absl::Status Roles::Add(const std::string& text) {
  const size_t equals = text.rfind('=');
  const auto* role =
      equals == std::string::npos || equals == 0
          ? std::end(kRoleNames)
          : std::find(std::begin(kRoleNames) + 1, std::end(kRoleNames), text.substr(equals + 1));
  if (role == std::end(kRoleNames))
    return absl::InvalidArgumentError(
        absl::StrCat("--tls-role ", text, ": must be NAME=read, NAME=write or NAME=all"));
  by_name_[text.substr(0, equals)] = static_cast<Role>(role - std::begin(kRoleNames));
  return absl::OkStatus();
}

Role Roles::Of(absl::string_view name) const {
  if (by_name_.empty()) return Role::kAll;
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? Role::kNone : found->second;
}

absl::Status Roles::Check(const grpc::ServerContext& context, Role needed) const {
  if (by_name_.empty() || absl::StartsWith(context.peer(), "unix:")) return absl::OkStatus();
  const std::vector<std::string> names = NamesOf(context);
  Role role = Role::kNone;
  for (const std::string& name : names) role = std::max(role, Of(name));
  if (role >= needed) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat(
      "the certificate's names (", absl::StrJoin(names, ", "), ") have the role \"",
      kRoleNames[static_cast<int>(role)], "\", and this needs \"", kRoleNames[static_cast<int>(needed)],
      "\": give sluiced --tls-role NAME=", kRoleNames[static_cast<int>(needed)]));
}

}  // namespace sluice
