#include "control/config_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/refusals.h"

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::string FileError(const std::string& text) {
  return std::string(ConfigFile::Parse("f", text).status().message());
}

TEST(ConfigFileTest, JsonAndTextAreTheSameMessage) {
  const auto json = ConfigFile::Parse(
      "f", R"({"services": [{"key": {"protocol": "TCP", "address": "10.0.0.1", "port": 80}, "scheduler": "rr",
      "destinations": [{"address": "10.1.0.1", "port": 80, "method": "NAT"}]}], "timeouts": {"udpSeconds": 9}})");
  const auto text =
      ConfigFile::Parse("f", R"(services { key { protocol: TCP address: "10.0.0.1" port: 80 } scheduler: "rr"
      destinations { address: "10.1.0.1" port: 80 method: NAT } } timeouts { udp_seconds: 9 })");
  ASSERT_TRUE(json.ok() && text.ok()) << json.status() << text.status();
  EXPECT_EQ(json->request().SerializeAsString(), text->request().SerializeAsString());
  EXPECT_EQ(json->request().owner(), v1::FILE);
  ASSERT_EQ(json->request().changes_size(), 1);
  EXPECT_EQ(json->request().changes(0).replace_owned().config().services_size(), 1);
}

TEST(ConfigFileTest, AnEmptyFileIsAnEmptyConfiguration) {
  for (const char* text : {"", "  {}\n"}) {
    EXPECT_EQ(ConfigFile::Parse("f", text)->request().changes(0).replace_owned().config().ByteSizeLong(), 0u);
  }
}

TEST(ConfigFileTest, ErrorsHaveLines) {
  EXPECT_THAT(FileError("{\n\"services\": [\n}"), StartsWith("f:3: expected a value, found '}'"));
  EXPECT_THAT(FileError("{\"services\": [{\"key\": {\"port\": \"many\"}}]}"),
              StartsWith("f:1: services[0].key.port: "));
  EXPECT_THAT(FileError("{\n\"services\": [\n{\n\"shceduler\": 1}]}"),
              StartsWith("f:3: services[0]: shceduler: "));
  EXPECT_THAT(FileError("services {\n  key {\n    port: many\n"), StartsWith("f:3: "));
  EXPECT_THAT(FileError("services {\n"), StartsWith("f:2: "));
  EXPECT_THAT(FileError("{"), StartsWith("f:1: "));
  EXPECT_THAT(std::string(ConfigFile::Read("/nowhere").status().message()), HasSubstr("No such file"));
  EXPECT_THAT(std::string(ConfigFile::Read("/tmp").status().message()), HasSubstr("/tmp: is a folder"));
}

TEST(ConfigFileTest, RefusalsGetTheLinesOfTheFile) {
  Problems problems;
  problems.Add(v1::INVALID_VALUE, "changes[0].replace_owned.config.services[0].destinations[1].weight",
               "too heavy");
  problems.Add(v1::INVALID_VALUE, "changes[0].replace_owned.config.timeouts.udp_seconds", "too long");
  const auto json = ConfigFile::Parse("f",
                                      "{\"services\": [{\n\"destinations\": [\n{},\n{\n\"weight\": "
                                      "1}]}],\n\"timeouts\": {\"udpSeconds\": 1}}");
  EXPECT_EQ(json->Explain(problems.ToStatus()).message(),
            "f:5: services[0].destinations[1].weight: too heavy\nf:6: timeouts.udp_seconds: too long");
  const auto text = ConfigFile::Parse(
      "f",
      "services {\n  destinations {}\n  destinations {\n    weight: 1 }\n}\ntimeouts { udp_seconds: 1 }");
  EXPECT_EQ(text->Explain(problems.ToStatus()).message(),
            "f:4: services[0].destinations[1].weight: too heavy\nf:6: timeouts.udp_seconds: too long");
}

}  // namespace
}  // namespace sluice
