// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/request_counts.h"

#include "absl/strings/str_cat.h"

namespace sluice::kubernetes {
namespace {

// Of "https://10.0.0.1:6443/path".
std::string HostOf(const std::string& server) {
  const size_t scheme = server.find("://");
  const size_t begin = scheme == std::string::npos ? 0 : scheme + 3;
  return server.substr(begin, server.find('/', begin) - begin);
}

}  // namespace

void RequestCounts::Add(const std::string& method, const std::string& server, long code) {
  const MutexLock lock(mutex_);
  ++counts_[{method, HostOf(server), code}];
}

void RequestCounts::Print(std::string& page) const {
  const MutexLock lock(mutex_);
  absl::StrAppend(&page,
                  "# HELP rest_client_requests_total Requests to the API server\n"
                  "# TYPE rest_client_requests_total counter\n");
  for (const auto& [name, count] : counts_) {
    const auto& [method, host, code] = name;
    absl::StrAppend(&page, "rest_client_requests_total{code=\"",
                    code == 0 ? std::string("<error>") : absl::StrCat(code), "\",host=\"", host,
                    "\",method=\"", method, "\"} ", count, "\n");
  }
}

}  // namespace sluice::kubernetes
