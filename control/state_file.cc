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
#include <map>
#include <optional>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace sluice {
namespace {

constexpr absl::string_view kMagic = "sluice state 2\n";
constexpr absl::string_view kMagicWithoutMark = "sluice state 1\n";  // of earlier versions
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

// Behind the magic: how far the file was acknowledged. Written after the records were synced, and not synced
// itself: it never promises what is not there. A process that is killed leaves it as it was; a machine that
// fails, perhaps an older one, which accuses nobody.
struct Mark {
  uint64_t size = 0;        // of the file
  uint64_t generation = 0;  // of its last record
  uint32_t sum = 0;         // of the two
  uint32_t unused = 0;

  uint32_t Sum() const { return CheckSum(this, offsetof(Mark, sum)); }
};

std::string Encode(const Mark& mark) { return {reinterpret_cast<const char*>(&mark), sizeof mark}; }

Mark MarkOf(uint64_t size, uint64_t generation) {
  Mark mark{.size = size, .generation = generation};
  mark.sum = mark.Sum();
  return mark;
}

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

struct Findings {
  std::string damage;       // empty: none
  bool is_usable = true;    // what was read before the damage
  uint64_t generation = 0;  // of the last sound record
};

// Reads records from `at` on, to the end or to the first that is not sound; that is told, with where it is.
std::string ReadRecords(absl::string_view bytes, size_t& at, RecordMerge& merge, Findings& found) {
  while (at < bytes.size()) {
    const std::optional<absl::string_view> body = BodyAt(bytes.substr(at));
    if (!body) return "a record is damaged";
    v1::ConfigDiff record;
    if (!record.ParseFromArray(body->data(), static_cast<int>(body->size())))
      return "a record is of another version";
    if (record.generation() < found.generation) return "a record is older than the one before it";
    found.generation = record.generation();
    merge.Add(std::move(record));
    at += sizeof(Header) + body->size();
  }
  return "";
}

Findings Read(absl::string_view bytes, RecordMerge& merge) {
  Findings found;
  const auto damage = [&](std::string what, bool is_usable) {
    found.damage = std::move(what);
    found.is_usable = is_usable;
    return found;
  };
  const bool has_mark = bytes.substr(0, kMagic.size()) == kMagic;
  if (!has_mark && bytes.substr(0, kMagicWithoutMark.size()) != kMagicWithoutMark)
    return damage("it is not a state file of this version", false);
  size_t at = kMagic.size();
  Mark mark;
  if (has_mark) {
    if (bytes.size() < at + sizeof mark) return damage("it ends within its first bytes", false);
    std::memcpy(&mark, bytes.data() + at, sizeof mark);
    at += sizeof mark;
  }
  const std::string wrong = ReadRecords(bytes, at, merge, found);
  if (found.generation == 0) return damage(wrong.empty() ? "it holds nothing" : wrong, false);
  // Records are synced one after the other: only the last may have been under way.
  const bool is_last = wrong.empty() || !HasRecordIn(bytes.substr(at + 1));
  if (!is_last) return damage(absl::StrCat("at byte ", at, ": ", wrong), false);
  if (!has_mark) return found;
  if (mark.sum != mark.Sum() || mark.unused != 0)
    return damage("the mark of its end is damaged, so changes may be missing", true);
  if (mark.size <= at) return found;
  return damage(absl::StrCat("at byte ", at, " of ", mark.size, ": the changes after generation ",
                             found.generation, ", up to generation ", mark.generation, ", are lost"),
                true);
}

// All that is in the file; nullopt: there is none. Opening does not wait, as for a pipe's writer.
absl::StatusOr<std::optional<std::string>> BytesOf(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (file < 0 && errno == ENOENT) return std::nullopt;
  if (file < 0 && errno != ELOOP) return Fault(path, "cannot be read");
  const absl::Cleanup close_file = [&] { close(file); };
  struct stat status {};
  if (file < 0 || fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat("state file ", path, ": is ",
                     file < 0                  ? "a symbolic link"
                     : S_ISDIR(status.st_mode) ? "a folder"
                                               : "no regular file",
                     ": give sluiced a file of its own with --state, or none"));
  }
  std::string bytes(static_cast<size_t>(status.st_size), '\0');
  size_t length = 0;
  while (length < bytes.size()) {
    const ssize_t got = read(file, bytes.data() + length, bytes.size() - length);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Fault(path, "cannot be read");
    if (got == 0) break;
    length += static_cast<size_t>(got);
  }
  bytes.resize(length);
  return bytes;
}

// Nothing but a regular file may be replaced.
bool MayReplace(const std::string& path) {
  struct stat present;
  return lstat(path.c_str(), &present) != 0 || S_ISREG(present.st_mode);
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
  file->lock_ = open(lock.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
  if (file->lock_ < 0) return Fault(lock, "cannot be opened");
  if (flock(file->lock_, LOCK_EX | LOCK_NB) != 0) {
    return absl::AlreadyExistsError(absl::StrCat(
        "state file ", path, ": another sluiced uses it; give this one its own with --state, or none"));
  }
  const absl::StatusOr<std::optional<std::string>> bytes = BytesOf(path);
  if (!bytes.ok()) return bytes.status();
  if (!*bytes) return file;
  RecordMerge merge;
  const Findings found = Read(**bytes, merge);
  if (found.is_usable) loaded.whole = merge.Take();
  if (found.damage.empty()) return file;
  loaded.damage = found.is_usable ? file->KeepRest(found.damage, loaded.whole) : file->SetAside(found.damage);
  return file;
}

StateFile::~StateFile() {
  if (file_ >= 0) close(file_);
  if (lock_ >= 0) close(lock_);
}

std::string StateFile::NameAside() const {
  for (int i = 1;; ++i) {
    const std::string aside = absl::StrCat(path_, ".damaged-", i);
    if (access(aside.c_str(), F_OK) != 0) return aside;
  }
}

std::string StateFile::SetAside(const std::string& reason) {
  const std::string aside = NameAside();
  const bool moved = MayReplace(path_) && rename(path_.c_str(), aside.c_str()) == 0;
  return absl::StrCat("the kept configuration ", path_, " is not used: ", reason,
                      moved ? absl::StrCat("; it is now ", aside) : "");
}

// The path never leads nowhere: a start without any change must find what this one has found.
std::string StateFile::KeepRest(const std::string& reason, const v1::ConfigDiff& rest) {
  const std::string aside = NameAside();
  const bool linked = link(path_.c_str(), aside.c_str()) == 0;
  const absl::Status written = Rewrite(rest);
  return absl::StrCat("the kept configuration ", path_, " is used without its end: ", reason,
                      linked ? absl::StrCat("; as it was it is now ", aside) : "",
                      written.ok() ? "" : absl::StrCat("; ", absl::string_view(written.message())));
}

absl::Status StateFile::Rewrite(const v1::ConfigDiff& whole) {
  const std::string fresh = path_ + ".new";
  unlink(fresh.c_str());
  const int file = open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) return Fault(fresh, "cannot be opened");
  const std::string record = Encode(whole);
  const size_t size = kMagic.size() + sizeof(Mark) + record.size();
  // All of it is synced before it has its name: the mark may be there already.
  absl::Status status =
      WriteAndSync(file, fresh, absl::StrCat(kMagic, Encode(MarkOf(size, whole.generation())), record));
  if (status.ok() && !MayReplace(path_)) {
    errno = EEXIST;
    status = Fault(path_, "something that is no regular file has taken its place: move it away");
  }
  if (status.ok() && rename(fresh.c_str(), path_.c_str()) != 0) status = Fault(path_, "cannot be replaced");
  if (status.ok()) status = SyncDirectory(path_);
  if (!status.ok()) {
    close(file);
    return status;
  }
  file_ = file;
  whole_generation_ = whole.generation();
  whole_size_ = size;
  changes_size_ = 0;
  return status;
}

// Whether the path still leads to the file that is open here, and nobody else has changed its length.
bool StateFile::IsStillThere() const {
  struct stat ours, named;
  return fstat(file_, &ours) == 0 && lstat(path_.c_str(), &named) == 0 && ours.st_dev == named.st_dev &&
         ours.st_ino == named.st_ino && static_cast<size_t>(ours.st_size) == whole_size_ + changes_size_;
}

void StateFile::MarkEnd(uint64_t generation) {
  const Mark mark = MarkOf(whole_size_ + changes_size_, generation);
  // Without it a loss would be told less exactly; the changes are there.
  [[maybe_unused]] const ssize_t written =
      pwrite(file_, &mark, sizeof mark, static_cast<off_t>(kMagic.size()));
}

absl::Status StateFile::AppendBytes(const std::string& bytes, uint64_t generation) {
  const absl::Status lost = absl::UnavailableError(absl::StrCat("state file ", path_, ": was touched"));
  if (!IsStillThere()) return lost;
  if (const absl::Status written = WriteAndSync(file_, path_, bytes); !written.ok()) return written;
  changes_size_ += bytes.size();
  if (!IsStillThere()) return lost;  // it went meanwhile
  MarkEnd(generation);
  return absl::OkStatus();
}

absl::Status StateFile::Append(const std::vector<v1::ConfigDiff>& changes,
                               const std::function<v1::ConfigDiff()>& whole) {
  std::string bytes;
  uint64_t generation = whole_generation_;
  // While the whole was written others may have been applied; it has them already.
  for (const v1::ConfigDiff& change : changes) {
    if (change.generation() <= whole_generation_) continue;
    bytes += Encode(change);
    generation = change.generation();
  }
  if (file_ >= 0 && bytes.empty() && IsStillThere()) return absl::OkStatus();
  if (file_ >= 0 && changes_size_ + bytes.size() <= std::max(kLeastRewrite, whole_size_) &&
      AppendBytes(bytes, generation).ok()) {
    return absl::OkStatus();
  }
  if (file_ >= 0) close(file_);
  file_ = -1;
  return Rewrite(whole());
}

}  // namespace sluice
