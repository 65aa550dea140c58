#include "control/options.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

std::string OptionsError(const std::vector<std::string>& arguments) {
  return std::string(ParseOptions(arguments).status().message());
}

TEST(OptionsTest, Everything) {
  const auto options = ParseOptions({"--interface",
                                     "a",
                                     "--interface=b",
                                     "--port",
                                     "net_null0,size=64",
                                     "--mtu=9000",
                                     "--eal=-d",
                                     "--eal",
                                     "x.so",
                                     "--workers",
                                     "4",
                                     "--cpus=1,2,3,4",
                                     "--poll=always",
                                     "--no-huge",
                                     "--connections",
                                     "65536",
                                     "--heartbeat-limit-ms=250",
                                     "--on-stall=drop",
                                     "--listen",
                                     "unix:/s",
                                     "--config",
                                     "f"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->dataplane.interfaces, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(options->dataplane.devices, (std::vector<std::string>{"net_null0,size=64"}));
  EXPECT_EQ(options->dataplane.device_mtu, 9000);
  EXPECT_EQ(options->dataplane.eal_arguments, (std::vector<std::string>{"-d", "x.so"}));
  EXPECT_EQ(options->dataplane.workers, 4);
  EXPECT_EQ(options->dataplane.cpus, (std::vector<int>{1, 2, 3, 4}));
  EXPECT_TRUE(options->dataplane.poll_always);
  EXPECT_FALSE(options->dataplane.use_hugepages);
  EXPECT_EQ(options->dataplane.connections_per_worker, 65536u);
  EXPECT_EQ(options->dataplane.heartbeat_limit_ms, 250u);
  EXPECT_EQ(options->on_stall, OnStall::kDrop);
  EXPECT_EQ(options->grpc.listen, "unix:/s");
  EXPECT_EQ(options->config_file, "f");
}

TEST(OptionsTest, ErrorsNameTheOptionAndTheRule) {
  EXPECT_EQ(OptionsError({"--interface", "a", "--workers", "65"}), "--workers 65: must be 1..64");
  EXPECT_EQ(OptionsError({"--interface", "a", "--workers", "two"}), "--workers two: must be 1..64");
  EXPECT_EQ(OptionsError({"--interface", "a", "--workers"}), "--workers: needs a value; see sluiced --help");
  EXPECT_EQ(OptionsError({"--port", "a", "--mtu", "1279"}), "--mtu 1279: must be 1280..9600");
  EXPECT_EQ(OptionsError({"--interface", "a", "--poll=maybe"}), "--poll=maybe: must be idle or always");
  EXPECT_EQ(OptionsError({"--interface", "a", "--on-stall=no"}), "--on-stall=no: must be auto, pass or drop");
  EXPECT_EQ(OptionsError({"--interface", "a", "--adopt=maybe"}), "--adopt=maybe: must be yes or no");
  EXPECT_EQ(OptionsError({"--interface", "a", "--strict-arp=1"}), "--strict-arp=1: must be yes or no");
  EXPECT_EQ(OptionsError({"--interface", "a", "--cpus", "1,,2"}), "--cpus : must be 0..1023");
  EXPECT_EQ(OptionsError({"--no-huge=1"}), "--no-huge=1: is not an option of sluiced; see sluiced --help");
  EXPECT_EQ(OptionsError({"eth0"}), "eth0: is not an option of sluiced; see sluiced --help");
  EXPECT_NE(OptionsError({}), "");
  EXPECT_EQ(OptionsError({"--help"}), "");
  EXPECT_EQ(OptionsError({"--version"}), "");
}

}  // namespace
}  // namespace sluice
