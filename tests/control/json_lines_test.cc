#include "control/json_lines.h"

#include <gtest/gtest.h>

#include <random>

namespace sluice {
namespace {

TEST(JsonLinesTest, EveryValueHasItsLine) {
  const JsonLines lines =
      ScanJson("{\n \"a\": 1,\n \"camelCase\": [\n  {\"x\": true},\n  [null, \"s\"]\n ]\n}");
  EXPECT_EQ(lines.error_line, 0) << lines.error;
  EXPECT_EQ(lines.line_of.at("a"), 2);
  EXPECT_EQ(lines.line_of.at("camel_case"), 3);
  EXPECT_EQ(lines.line_of.at("camel_case[0].x"), 4);
  EXPECT_EQ(lines.line_of.at("camel_case[1][1]"), 5);
}

TEST(JsonLinesTest, BreachesOfTheGrammar) {
  for (const char* text : {"", "{", "[", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "[1,]", "[1 2]",
                           "{} {}", "\"open", "{\"a\":\"\n\"}", "}", "\"\\"}) {
    EXPECT_GT(ScanJson(text).error_line, 0) << text;
  }
  EXPECT_GT(ScanJson(std::string(100'000, '[')).error_line, 0) << "deep nesting must not overflow the stack";
}

TEST(JsonLinesTest, RandomTextNeverCrashes) {
  std::mt19937 random(3);
  const std::string letters = "{}[]\",:\\ \n1atrue";
  for (int i = 0; i < 50'000; ++i) {
    std::string text(random() % 20, ' ');
    for (char& c : text) c = letters[random() % letters.size()];
    ScanJson(text);
  }
}

}  // namespace
}  // namespace sluice
