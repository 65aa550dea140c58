// What is kept on disk comes back: whole, after any cut, and never in halves.
#include "control/state_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class StateFileTest : public testing::Test {
 protected:
  StateFileTest() {
    char name[] = "/tmp/state_file_test.XXXXXX";
    folder_ = mkdtemp(name);
    path_ = folder_ + "/deep/state";
  }
  ~StateFileTest() override { std::filesystem::remove_all(folder_); }

  static v1::Service Service(int port, const std::string& scheduler = "rr") {
    v1::Service service;
    service.mutable_key()->set_address("10.99.0.1");
    service.mutable_key()->set_port(static_cast<uint32_t>(port));
    service.set_scheduler(scheduler);
    return service;
  }
  static v1::ConfigDiff Record(uint64_t generation, std::vector<v1::Service> services,
                               std::vector<int> deleted = {}) {
    v1::ConfigDiff record;
    record.set_generation(generation);
    for (const v1::Service& service : services) *record.mutable_config()->add_services() = service;
    for (const int port : deleted) *record.add_deleted_services() = Service(port).key();
    return record;
  }
  // Every scheduler, and the generation.
  static std::vector<std::string> In(const v1::ConfigDiff& record) {
    std::vector<std::string> all;
    for (const v1::Service& service : record.config().services())
      all.push_back(std::to_string(service.key().port()) + " " + service.scheduler());
    all.push_back("generation " + std::to_string(record.generation()));
    return all;
  }
  std::unique_ptr<StateFile> Open() {
    loaded_ = {};
    auto file = StateFile::Open(path_, loaded_);
    EXPECT_TRUE(file.ok()) << file.status();
    return file.ok() ? *std::move(file) : nullptr;
  }
  void Keep(StateFile& file, const v1::ConfigDiff& change, const v1::ConfigDiff& whole) {
    const absl::Status kept = file.Append({change}, [&] { return whole; });
    EXPECT_TRUE(kept.ok()) << kept;
  }
  std::string Bytes() const {
    std::ifstream file(path_, std::ios::binary);
    std::stringstream bytes;
    bytes << file.rdbuf();
    return bytes.str();
  }
  void SetBytes(const std::string& bytes) { std::ofstream(path_, std::ios::binary) << bytes; }

  // The file with one change that was acknowledged, and with two.
  std::pair<std::string, std::string> OneAndBoth() {
    const auto file = Open();
    Keep(*file, Record(1, {Service(80)}), Record(1, {Service(80)}));
    const std::string one = Bytes();
    Keep(*file, Record(2, {Service(81)}), {});
    EXPECT_GT(Bytes().size(), one.size());
    return {one, Bytes()};
  }
  // As it is in `bytes`.
  void SetMark(const std::string& bytes) {
    std::string now = Bytes();
    SetBytes(now.replace(kMarkAt, kMarkSize, bytes, kMarkAt, kMarkSize));
  }

  static constexpr size_t kMarkAt = 15;
  static constexpr size_t kMarkSize = 24;
  std::string folder_;
  std::string path_;
  StateFile::Loaded loaded_;
};

TEST_F(StateFileTest, ChangesComeBackTogether) {
  {
    const auto file = Open();
    EXPECT_THAT(In(loaded_.whole), ElementsAre("generation 0"));
    v1::ConfigDiff first = Record(1, {Service(80), Service(81)});
    first.set_has_global(true);
    first.mutable_config()->mutable_timeouts()->set_udp_seconds(9);
    Keep(*file, first, first);
    Keep(*file, Record(2, {Service(81, "wlc"), Service(82)}), {});
    Keep(*file, Record(3, {}, {80}), {});
  }
  const auto file = Open();
  EXPECT_THAT(In(loaded_.whole), ElementsAre("81 wlc", "82 rr", "generation 3"));
  EXPECT_EQ(loaded_.whole.config().timeouts().udp_seconds(), 9u);
  EXPECT_THAT(loaded_.damage, IsEmpty());
}

// A writer that died left any number of its last bytes; a machine that did, perhaps zeros. The mark is not
// yet where they end.
TEST_F(StateFileTest, WhateverTheLastBytesItIsOneOfTheTwo) {
  const auto [one, both] = OneAndBoth();
  for (size_t size = one.size(); size <= both.size(); ++size) {
    for (const bool zeros : {false, true}) {
      SetBytes(both.substr(0, size) + (zeros ? std::string(both.size() - size, '\0') : ""));
      SetMark(one);
      Open();
      EXPECT_THAT(loaded_.damage, IsEmpty()) << size;
      if (size == both.size()) {
        EXPECT_THAT(In(loaded_.whole), ElementsAre("80 rr", "81 rr", "generation 2"));
      } else {
        EXPECT_THAT(In(loaded_.whole), ElementsAre("80 rr", "generation 1")) << size;
      }
    }
  }
}

TEST_F(StateFileTest, WhatTheWholeHasAlreadyIsNotSaidAgain) {
  {
    const auto file = Open();
    const v1::ConfigDiff third = Record(3, {Service(80, "wlc")});  // applied while the first was brought here
    Keep(*file, Record(1, {Service(80)}), third);
    Keep(*file, Record(2, {Service(80, "lc")}), third);
    Keep(*file, third, third);
    Keep(*file, Record(4, {Service(81)}), {});
  }
  Open();
  EXPECT_THAT(loaded_.damage, IsEmpty());
  EXPECT_THAT(In(loaded_.whole), ElementsAre("80 wlc", "81 rr", "generation 4"));
}

// What was acknowledged and is not there is told, and what is there is used: not silently, and not only once.
TEST_F(StateFileTest, AnEndThatIsCutOffIsTold) {
  const auto [one, both] = OneAndBoth();
  for (size_t size = one.size(); size < both.size(); ++size) {
    SetBytes(both.substr(0, size));
    Open();
    EXPECT_THAT(In(loaded_.whole), ElementsAre("80 rr", "generation 1")) << size;
    EXPECT_THAT(loaded_.damage, HasSubstr("the changes after generation 1, up to generation 2, are lost"))
        << size;
    Open();
    EXPECT_THAT(In(loaded_.whole), ElementsAre("80 rr", "generation 1")) << "without any change in between";
    EXPECT_THAT(loaded_.damage, IsEmpty()) << "it is whole again";
  }
  for (size_t size = 0; size < one.size(); ++size) {
    SetBytes(both.substr(0, size));
    Open();
    EXPECT_THAT(In(loaded_.whole), ElementsAre("generation 0")) << size;
    EXPECT_THAT(loaded_.damage, HasSubstr("is not used")) << size;
  }
}

// Every fifth, so that each bit of a byte has its turn.
TEST_F(StateFileTest, EachDamagedBitIsTold) {
  {
    const auto file = Open();
    Keep(*file, Record(1, {Service(80)}), Record(1, {Service(80)}));
    Keep(*file, Record(2, {Service(81)}), {});
    Keep(*file, Record(3, {Service(82)}), {});
  }
  const std::string sound = Bytes();
  int unused = 0;
  for (size_t bit = 0; bit < 8 * sound.size(); bit += 5) {
    std::string bytes = sound;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    SetBytes(bytes);
    Open();
    ASSERT_THAT(loaded_.damage, HasSubstr(path_ + ".damaged-")) << bit;
    const bool is_used = loaded_.whole.generation() > 0;
    unused += !is_used;
    EXPECT_EQ(std::filesystem::exists(path_), is_used) << bit;
    EXPECT_THAT(loaded_.damage, HasSubstr(is_used ? "is used without its end" : "is not used")) << bit;
    if (bit / 8 >= kMarkAt && bit / 8 < kMarkAt + kMarkSize) {
      EXPECT_EQ(loaded_.whole.generation(), 3u) << bit;
    } else if (is_used) {
      EXPECT_THAT(In(loaded_.whole), ElementsAre("80 rr", "81 rr", "generation 2"))
          << "only of the last record";
    }
    for (const auto& entry : std::filesystem::directory_iterator(folder_ + "/deep")) {
      if (entry.path().string().find("damaged") != std::string::npos) std::filesystem::remove(entry.path());
    }
  }
  EXPECT_GT(unused, static_cast<int>(8 * sound.size()) / 15);
}

// The format of earlier versions has no mark.
TEST_F(StateFileTest, AnEarlierVersionsFileIsRead) {
  const std::string both = OneAndBoth().second;
  SetBytes("sluice state 1\n" + both.substr(kMarkAt + kMarkSize));
  Open();
  EXPECT_THAT(loaded_.damage, IsEmpty());
  EXPECT_THAT(In(loaded_.whole), ElementsAre("80 rr", "81 rr", "generation 2"));
}

TEST_F(StateFileTest, WhateverIsDoneToTheFileTheNextChangeIsKept) {
  const v1::ConfigDiff whole = Record(3, {Service(80), Service(81), Service(82)});
  const std::vector<std::function<void()>> deeds = {
      [&] { std::filesystem::remove(path_); },
      [&] { std::filesystem::rename(path_, path_ + ".away"); },
      [&] { SetBytes(""); },
      [&] { SetBytes(Bytes() + "more"); },
      [&] {
        std::filesystem::copy_file(path_, path_ + ".copy");
        std::filesystem::rename(path_ + ".copy", path_);
      },
  };
  for (size_t i = 0; i < deeds.size(); ++i) {
    std::filesystem::remove(path_);
    {
      const auto file = Open();
      Keep(*file, Record(1, {Service(80)}), Record(1, {Service(80)}));
      Keep(*file, Record(2, {Service(81)}), {});
      deeds[i]();
      Keep(*file, Record(3, {Service(82)}), whole);
    }
    Open();
    EXPECT_THAT(loaded_.damage, IsEmpty()) << i;
    EXPECT_THAT(In(loaded_.whole), ElementsAre("80 rr", "81 rr", "82 rr", "generation 3")) << i;
  }
}

TEST_F(StateFileTest, OnlyARegularFileIsRead) {
  Open();
  const std::string other = folder_ + "/other";
  std::ofstream(other) << "somebody's";
  const std::vector<std::pair<std::string, std::function<void()>>> kinds = {
      {"a symbolic link", [&] { std::filesystem::create_symlink(other, path_); }},
      {"a folder", [&] { std::filesystem::create_directory(path_); }},
      {"no regular file", [&] { ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0); }},
  };
  for (const auto& [name, make] : kinds) {
    make();
    StateFile::Loaded loaded;
    const auto refused = StateFile::Open(path_, loaded);
    EXPECT_THAT(std::string(refused.status().message()), HasSubstr(name)) << "and it does not wait";
    EXPECT_TRUE(std::filesystem::exists(std::filesystem::symlink_status(path_))) << "it is left alone";
    std::filesystem::remove(path_);
    // While it is in use.
    const auto file = Open();
    Keep(*file, Record(1, {Service(80)}), Record(1, {Service(80)}));
    std::filesystem::remove(path_);
    make();
    const absl::Status kept = file->Append({Record(2, {Service(81)})}, [&] { return Record(2, {}); });
    EXPECT_THAT(std::string(kept.message()), HasSubstr("no regular file")) << name;
    EXPECT_TRUE(std::filesystem::exists(std::filesystem::symlink_status(path_))) << "it is left alone";
    std::filesystem::remove(path_);
  }
}

TEST_F(StateFileTest, ItDoesNotGrowForEver) {
  const auto file = Open();
  const v1::ConfigDiff whole = Record(1, {Service(80)});
  v1::Service large = Service(80);
  for (int i = 0; i < 1000; ++i) large.add_destinations()->set_address("10.1.0.1");
  for (uint64_t i = 1; i <= 1000; ++i) Keep(*file, Record(i, {large}), Record(i, {large}));
  EXPECT_LT(Bytes().size(), 3u << 20);
}

TEST_F(StateFileTest, AFullDiskIsSaidAndMended) {
  const auto file = Open();
  Keep(*file, Record(1, {Service(80)}), Record(1, {Service(80)}));
  std::filesystem::remove_all(folder_ + "/deep");  // the open file has no name any more: the next must be new
  std::ofstream(folder_ + "/deep") << "in the way";
  v1::Service large = Service(80);
  for (int i = 0; i < 100'000; ++i) large.add_destinations()->set_address("10.1.0.1");
  const absl::Status kept = file->Append({Record(2, {large})}, [&] { return Record(2, {large}); });
  EXPECT_THAT(std::string(kept.message()), HasSubstr(path_));
  std::filesystem::remove(folder_ + "/deep");
  std::filesystem::create_directory(folder_ + "/deep");
  Keep(*file, Record(3, {}, {80}), Record(3, {Service(81)}));
}

TEST_F(StateFileTest, OnlyOneMayUseIt) {
  const auto file = Open();
  StateFile::Loaded loaded;
  EXPECT_THAT(std::string(StateFile::Open(path_, loaded).status().message()),
              HasSubstr("another sluiced uses it"));
  EXPECT_THAT(std::string(StateFile::Open("relative", loaded).status().message()), HasSubstr("absolute"));
}

}  // namespace
}  // namespace sluice
