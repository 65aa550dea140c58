// A list of the API server's, however its bytes arrive, and what is none.
// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/list_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace sluice::kubernetes {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct ListRead {
  std::vector<std::string> objects;
  absl::StatusOr<ListMeta> meta;
  std::string Error() const { return std::string(meta.status().message()); }
};

ListRead ReadInPieces(std::string_view text, size_t piece = std::string_view::npos) {
  std::vector<std::string> objects;
  ListReader reader("ServiceList", [&](std::string_view object) { objects.emplace_back(object); });
  for (size_t at = 0; at < text.size(); at += std::min(piece, text.size() - at)) {
    if (!reader.Add(text.substr(at, piece))) break;
  }
  absl::StatusOr<ListMeta> meta = reader.Finish();
  return {std::move(objects), std::move(meta)};
}

std::string ListOfItems(const std::string& items) {
  return R"({"kind":"ServiceList","metadata":{"resourceVersion":"7"},"items":)" + items + "}";
}

TEST(ListReaderTest, InPiecesOfEverySize) {
  constexpr std::string_view kText =
      R"( {"kind": "ServiceList", "metadata": {"resourceVersion": "7", "continue": "a]b"},
      "items" : [ {"a": "}\"]{", "items": [{}, [1]]} , {"b\\": {"c": [2]}},{}] , "apiVersion":"v1"} )";
  for (size_t piece = 1; piece <= kText.size(); ++piece) {
    const ListRead list = ReadInPieces(kText, piece);
    ASSERT_TRUE(list.meta.ok()) << piece << ": " << list.meta.status();
    EXPECT_EQ(list.meta->version, "7");
    EXPECT_EQ(list.meta->rest, "a]b");
    EXPECT_THAT(list.objects,
                ElementsAre(R"({"a": "}\"]{", "items": [{}, [1]]})", R"({"b\\": {"c": [2]}})", "{}"));
  }
}

TEST(ListReaderTest, WithoutObjects) {
  for (const char* items : {"[]", "[ ]", "null"}) {
    const ListRead list = ReadInPieces(ListOfItems(items));
    EXPECT_TRUE(list.meta.ok()) << list.meta.status();
    EXPECT_THAT(list.objects, IsEmpty());
  }
}

TEST(ListReaderTest, ItemsThatAreNotTheLists) {
  const ListRead list = ReadInPieces(
      R"({"kind":"ServiceList","a\"items":[{"x":1}],"metadata":{"resourceVersion":"7","items":[{}]},"items":[]})");
  EXPECT_TRUE(list.meta.ok()) << list.meta.status();
  EXPECT_THAT(list.objects, IsEmpty());
}

TEST(ListReaderTest, WhatIsNoList) {
  for (const auto& [text, error] : std::vector<std::pair<std::string, const char*>>{
           {"", "it is no list"},
           {"<html><body>Welcome</body></html>", "no JSON object"},
           {"[]", "it is no list"},
           {"{}", "its kind is \"\": must be ServiceList"},
           {R"({"kind":"Status","metadata":{},"code":200})", "its kind is \"Status\""},
           {R"({"kind":"NodeList","metadata":{"resourceVersion":"7"},"items":[]})", "NodeList"},
           {R"({"kind":"ServiceList","metadata":{"resourceVersion":"7"}})", "it has no items"},
           {R"({"kind":"ServiceList","metadata":{},"items":[]})", "no metadata.resourceVersion"},
           {R"({"kind":"ServiceList","metadata":{"resourceVersion":"0"},"items":[]})",
            "no metadata.resourceVersion"},
           {ListOfItems("[1]"), "no objects with commas"},
           {ListOfItems("[{}{}]"), "no objects with commas"},
           {ListOfItems("[{},]"), "no objects with commas"},
           {ListOfItems("[,{}]"), "no objects with commas"},
           {ListOfItems("[{}"), "no objects with commas"},
           {ListOfItems("[{"), "it is no list"},
           {ListOfItems("[]") + "{}", "something follows it"},
           {ListOfItems("[]") + "}", "it is no list"},
       }) {
    const ListRead list = ReadInPieces(text);
    EXPECT_FALSE(list.meta.ok()) << text;
    EXPECT_THAT(list.Error(), HasSubstr(error)) << text;
  }
}

TEST(ListReaderTest, EveryBeginningIsNoList) {
  const std::string text = ListOfItems(R"([{"a":"b"},{"c":[1,{}]}])");
  for (size_t size = 0; size < text.size(); ++size)
    EXPECT_FALSE(ReadInPieces(text.substr(0, size)).meta.ok()) << size;
}

TEST(ListReaderTest, AnObjectWithoutEnd) {
  ListReader reader("ServiceList", [](std::string_view) { FAIL(); });
  ASSERT_TRUE(reader.Add(R"({"kind":"ServiceList","items":[{"a":")"));
  const std::string piece(size_t{1} << 20, 'x');
  size_t pieces = 0;
  while (pieces < 100 && reader.Add(piece)) ++pieces;
  EXPECT_EQ(pieces, (kLargestObject >> 20) - 1) << "the beginning counts, too";
  EXPECT_THAT(std::string(reader.Finish().status().message()), HasSubstr("larger than 8 MiB"));
}

TEST(ListReaderTest, AFrameWithoutEnd) {
  ListReader reader("ServiceList", [](std::string_view) { FAIL(); });
  ASSERT_TRUE(reader.Add(R"({"kind":")"));
  const std::string piece(size_t{1} << 16, 'x');
  size_t pieces = 0;
  while (pieces < 100 && reader.Add(piece)) ++pieces;
  EXPECT_LT(pieces, 17u);
}

}  // namespace
}  // namespace sluice::kubernetes
