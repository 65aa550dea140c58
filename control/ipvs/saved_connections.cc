// SPDX-License-Identifier: Apache-2.0
#include "control/ipvs/saved_connections.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr char kTitle[] = "sluice-connections-1";  // then when they were saved, and how many

}  // namespace

absl::Status SaveConnections(const std::string& path, const std::vector<ListedConnection>& connections) {
  const std::string next = path + ".new";
  unlink(next.c_str());
  const int file = open(next.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  std::FILE* const stream = file < 0 ? nullptr : fdopen(file, "w");
  if (stream == nullptr) return absl::ErrnoToStatus(errno, absl::StrCat(next, ": cannot be written"));
  std::fprintf(stream, "%s %lld %zu\n", kTitle, static_cast<long long>(std::time(nullptr)),
               connections.size());
  for (const ListedConnection& each : connections)
    std::fprintf(stream, "%s\n", FormatConnection(each).c_str());
  const bool whole = std::fflush(stream) == 0 && fsync(file) == 0;
  const int error = errno;
  std::fclose(stream);
  if (whole && std::rename(next.c_str(), path.c_str()) == 0) return absl::OkStatus();
  unlink(next.c_str());
  return absl::ErrnoToStatus(whole ? errno : error, absl::StrCat(path, ": cannot be written"));
}

absl::StatusOr<std::vector<ListedConnection>> TakeSavedConnections(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::vector<ListedConnection>();
  std::string title;
  long long saved_at = 0;
  size_t count = 0;
  const bool has_title = static_cast<bool>(file >> title >> saved_at >> count) && title == kTitle;
  file.close();
  absl::StatusOr<std::vector<ListedConnection>> connections = ReadConnectionList(path);
  if (unlink(path.c_str()) != 0) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot be removed"));
  if (!connections.ok()) return connections.status();
  if (!has_title || connections->size() != count)
    return absl::DataLossError(absl::StrCat(path, ": is not whole, and its connections are not taken"));
  const long long age = std::max(0LL, static_cast<long long>(std::time(nullptr)) - saved_at);
  std::erase_if(*connections, [&](const ListedConnection& each) { return each.expires_seconds <= age; });
  for (ListedConnection& each : *connections) each.expires_seconds -= static_cast<uint32_t>(age);
  return connections;
}

}  // namespace sluice
