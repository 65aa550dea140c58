// SPDX-License-Identifier: Apache-2.0
#include "control/state_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace sluice {
namespace {

constexpr absl::string_view kMagic = "sluice state 1\n";
constexpr size_t kLeastRewrite = 1 << 20;

uint32_t CheckSum(const void* bytes, size_t length) {
  return static_cast<uint32_t>(crc32_z(0, static_cast<const Bytef*>(bytes), length));
}

// In front of each record.
struct Header {
  uint32_t length = 0;
  uint32_t body_sum = 0;
  uint32_t header_sum = 0;  // of the two

  uint32_t Sum() const { return CheckSum(this, offsetof(Header, header_sum)); }
};

std::string Encode(const v1::ConfigDiff& record) {
  const std::string body = record.SerializeAsString();
  Header header{.length = static_cast<uint32_t>(body.size()), .body_sum = CheckSum(body.data(), body.size())};
  header.header_sum = header.Sum();
  return absl::StrCat(absl::string_view(reinterpret_cast<const char*>(&header), sizeof header), body);
}

absl::Status Fault(const std::string& path, absl::string_view what) {
  return absl::ErrnoToStatus(errno, absl::StrCat("state file ", path, ": ", what));
}

absl::Status WriteAndSync(int file, const std::string& path, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Fault(path, "cannot be written");
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return fdatasync(file) == 0 ? absl::OkStatus() : Fault(path, "cannot be synced");
}

// A rename is on disk when its directory is.
absl::Status SyncDirectory(const std::string& path) {
  const std::string directory = std::filesystem::path(path).parent_path();
  const int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Fault(directory, "cannot be opened");
  const int error = fsync(fd) == 0 ? 0 : errno;
  close(fd);
  errno = error;
  return error == 0 ? absl::OkStatus() : Fault(directory, "cannot be synced");
}

// What the records say together.
class RecordMerge {
 public:
  void Add(v1::ConfigDiff record) {
    for (const v1::ServiceKey& key : record.deleted_services()) services_.erase(key.SerializeAsString());
    for (v1::Service& service : *record.mutable_config()->mutable_services())
      services_[service.key().SerializeAsString()] = std::move(service);
    whole_.set_generation(record.generation());
    if (!record.has_global()) return;
    *whole_.mutable_config() = std::move(*record.mutable_config());
    whole_.mutable_config()->clear_services();
  }
  v1::ConfigDiff Take() {
    for (auto& [key, service] : services_) *whole_.mutable_config()->add_services() = std::move(service);
    return std::move(whole_);
  }

 private:
  v1::ConfigDiff whole_;
  std::map<std::string, v1::Service> services_;
};

// The body of the record that begins here, if it is sound.
std::optional<absl::string_view> BodyAt(absl::string_view bytes) {
  Header header;
  if (bytes.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.header_sum != header.Sum() || header.length > bytes.size() - sizeof header) return std::nullopt;
  const absl::string_view body = bytes.substr(sizeof header, header.length);
  return CheckSum(body.data(), body.size()) == header.body_sum ? std::optional(body) : std::nullopt;
}

bool HasRecordIn(absl::string_view bytes) {
  for (size_t at = 0; at < bytes.size(); ++at) {
    if (BodyAt(bytes.substr(at)).value_or("").size() > 0) return true;
  }
  return false;
}

// What is wrong, or nothing.
std::optional<std::string> Read(absl::string_view bytes, RecordMerge& merge) {
  if (bytes.substr(0, kMagic.size()) != kMagic) return "it is not a state file of this version";
  size_t at = kMagic.size();
  uint64_t generation = 0;
  while (at < bytes.size()) {
    const absl::string_view rest = bytes.substr(at);
    const auto wrong = [&](absl::string_view what) { return absl::StrCat("at byte ", at, ": ", what); };
    const std::optional<absl::string_view> body = BodyAt(rest);
    if (!body) {
      // Records are synced one after the other: only the last may have been under way.
      if (generation > 0 && !HasRecordIn(rest.substr(1))) return std::nullopt;
      return wrong("a record is damaged");
    }
    v1::ConfigDiff record;
    if (!record.ParseFromArray(body->data(), static_cast<int>(body->size())))
      return wrong("a record is of another version");
    if (record.generation() < generation) return wrong("a record is older than the one before it");
    generation = record.generation();
    merge.Add(std::move(record));
    at += sizeof(Header) + body->size();
  }
  return generation == 0 ? std::optional<std::string>("it holds nothing") : std::nullopt;
}

}  // namespace

absl::StatusOr<std::unique_ptr<StateFile>> StateFile::Open(const std::string& path, Loaded& loaded) {
  if (path.empty() || path[0] != '/')
    return absl::InvalidArgumentError(absl::StrCat("--state ", path, ": must be an absolute path, or none"));
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  if (error) return absl::ErrnoToStatus(error.value(), absl::StrCat("state file ", path, ": its directory"));
  std::unique_ptr<StateFile> file(new StateFile(path));
  const std::string lock = path + ".lock";
  file->lock_ = open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file->lock_ < 0) return Fault(lock, "cannot be opened");
  if (flock(file->lock_, LOCK_EX | LOCK_NB) != 0) {
    return absl::AlreadyExistsError(absl::StrCat(
        "state file ", path, ": another sluiced uses it; give this one its own with --state, or none"));
  }
  std::ifstream stream(path, std::ios::binary);
  if (!stream && errno == ENOENT) return file;
  if (!stream) return Fault(path, "cannot be read");
  std::stringstream bytes;
  bytes << stream.rdbuf();
  if (stream.bad()) return Fault(path, "cannot be read");
  RecordMerge merge;
  const std::string content = bytes.str();
  if (const std::optional<std::string> wrong = Read(content, merge)) {
    loaded.damage = file->SetAside(*wrong);
  } else {
    loaded.whole = merge.Take();
  }
  return file;
}

StateFile::~StateFile() {
  if (file_ >= 0) close(file_);
  if (lock_ >= 0) close(lock_);
}

std::string StateFile::SetAside(const std::string& reason) {
  std::string aside;
  for (int i = 1; aside.empty() || access(aside.c_str(), F_OK) == 0; ++i)
    aside = absl::StrCat(path_, ".damaged-", i);
  const bool moved = rename(path_.c_str(), aside.c_str()) == 0;
  return absl::StrCat("the kept configuration ", path_, " is not used: ", reason,
                      moved ? absl::StrCat("; it is now ", aside) : "");
}

absl::Status StateFile::Rewrite(const v1::ConfigDiff& whole) {
  const std::string fresh = path_ + ".new";
  const int file = open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) return Fault(fresh, "cannot be opened");
  const std::string bytes = absl::StrCat(kMagic, Encode(whole));
  absl::Status status = WriteAndSync(file, fresh, bytes);
  if (status.ok() && rename(fresh.c_str(), path_.c_str()) != 0) status = Fault(path_, "cannot be replaced");
  if (status.ok()) status = SyncDirectory(path_);
  if (!status.ok()) {
    close(file);
    return status;
  }
  file_ = file;
  whole_generation_ = whole.generation();
  whole_size_ = bytes.size();
  changes_size_ = 0;
  return status;
}

absl::Status StateFile::Append(const std::vector<v1::ConfigDiff>& changes,
                               const std::function<v1::ConfigDiff()>& whole) {
  std::string bytes;
  // While the whole was written others may have been applied; it has them already.
  for (const v1::ConfigDiff& change : changes) {
    if (change.generation() > whole_generation_) bytes += Encode(change);
  }
  if (file_ >= 0 && changes_size_ + bytes.size() <= std::max(kLeastRewrite, whole_size_)) {
    changes_size_ += bytes.size();
    const absl::Status written = WriteAndSync(file_, path_, bytes);
    if (written.ok()) return written;
  }
  if (file_ >= 0) close(file_);
  file_ = -1;
  return Rewrite(whole());
}

}  // namespace sluice
