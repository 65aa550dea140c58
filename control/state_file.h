// What was applied, kept on disk: the whole configuration, then what each change made different, each record
// with its length and check sums, synced before it is acknowledged. In front of them is a mark: how far they
// were acknowledged. When the changes have become longer than the whole, or somebody has touched the file, it
// is written anew beside the old one and takes its place.
// Threads: one at a time.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sluice/v1/config.pb.h"

namespace sluice {

class StateFile {
 public:
  struct Loaded {
    v1::ConfigDiff whole;  // generation 0: there was nothing
    // What was wrong with it and where it is now; empty: nothing was.
    std::string damage;
  };

  // Reads what is there. A last record beyond the mark that is not whole is the change that was under way
  // when its writer died: nobody was told that it holds. If the end of what was acknowledged is missing, what
  // comes before it is used, and the file written anew; anything else that is wrong is damage, and nothing is
  // used. Either way the file as it was is set aside. What is no regular file is an error, and left alone.
  static absl::StatusOr<std::unique_ptr<StateFile>> Open(const std::string& path, Loaded& loaded);
  ~StateFile();

  // Set aside what Open has read, because it cannot be used for `reason`; says so as Loaded::damage does.
  std::string SetAside(const std::string& reason);

  // All are on disk when it returns OK. After an error the next call writes all anew. `whole` is asked for
  // the configuration with at least these changes.
  absl::Status Append(const std::vector<v1::ConfigDiff>& changes,
                      const std::function<v1::ConfigDiff()>& whole);

 private:
  explicit StateFile(std::string path) : path_(std::move(path)) {}
  std::string NameAside() const;
  std::string KeepRest(const std::string& reason, const v1::ConfigDiff& rest);
  absl::Status Rewrite(const v1::ConfigDiff& whole);
  absl::Status AppendBytes(const std::string& bytes, uint64_t generation);
  bool IsStillThere() const;
  void MarkEnd(uint64_t generation);

  const std::string path_;
  int lock_ = -1;
  int file_ = -1;                  // -1: it must be written anew
  uint64_t whole_generation_ = 0;  // up to this the whole has all changes
  size_t whole_size_ = 0;          // with all before it
  size_t changes_size_ = 0;
};

}  // namespace sluice
