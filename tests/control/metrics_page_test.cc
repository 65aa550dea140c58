#include "control/metrics/metrics_page.h"
#include "sluice/v1/sluice.pb.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::Not;

template <class Message>
Message Parse(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

v1::ListServicesResponse Services(int count) {
  v1::ListServicesResponse services;
  for (int i = 0; i < count; ++i) {
    *services.add_services() = Parse<v1::ServiceStatus>(
        R"(service { key { protocol: TCP address: "10.99.0.1" port: )" + std::to_string(80 + i) + R"( } }
           statistics { connections: 5 in_bytes: 18446744073709551615 }
           destinations { destination { address: "2001:db8::1" port: 8080 weight: 7 } active_connections: 3
                          statistics { out_packets: 9 } })");
  }
  services.mutable_total()->set_connections(123);
  return services;
}

TEST(MetricsPageTest, TheKernelsShare) {
  const auto off = Parse<v1::GetInfoResponse>("kernel_mirror { steering: true why_off: 'no IPVS' }");
  EXPECT_THAT(MetricsPage(off, {}, 1), HasSubstr("\nsluice_kernel_mirror_up 0\n"));
  EXPECT_THAT(MetricsPage(off, {}, 1), HasSubstr("\nsluice_steering 1\n"));
  EXPECT_THAT(MetricsPage(off, {}, 1), Not(HasSubstr("kernel_told")));
  const auto on = Parse<v1::GetInfoResponse>(
      "generation: 9 kernel_mirror { on: true generation: 7 services: 5 approximated_services: 2 "
      "impossible_services: 1 told_connections: 44 }");
  const std::string page = MetricsPage(on, {}, 1);
  EXPECT_THAT(page, HasSubstr("\nsluice_kernel_mirror_lag_generations 2\n"));
  EXPECT_THAT(page, HasSubstr("\nsluice_kernel_mirror_services{form=\"mirrored\"} 3\n"));
  EXPECT_THAT(page, HasSubstr("\nsluice_kernel_told_connections_total 44\n"));
}

TEST(MetricsPageTest, NumbersKeepTheirDigits) {
  const auto info = Parse<v1::GetInfoResponse>(
      "worker_infos { busy_seconds: 1234567.25 } "
      "apply_times { upper_bounds: 0.0005 counts: 1 counts: 1 sum_seconds: 7654321.5 }");
  const std::string page = MetricsPage(info, {}, 1);
  EXPECT_THAT(page, HasSubstr("\nsluice_worker_busy_seconds_total{worker=\"0\"} 1234567.25\n"));
  EXPECT_THAT(page, HasSubstr("\nsluice_config_apply_seconds_sum 7654321.5\n"));
  EXPECT_THAT(page, HasSubstr("{le=\"0.0005\"} 1\n"));
}

TEST(MetricsPageTest, KubernetesNames) {
  v1::ListServicesResponse services = Services(2);
  *services.mutable_services(1)->mutable_service()->mutable_kubernetes() =
      Parse<v1::KubernetesName>("namespace: 'shop' service: 'cart' port: 'http'");
  services.mutable_services(1)->mutable_destinations(0)->mutable_destination()->set_endpoint("cart-7d9");
  const std::string page = MetricsPage({}, services, 100);
  EXPECT_THAT(page, HasSubstr("port=\"81\",namespace=\"shop\",service=\"cart\",service_port=\"http\"} 5\n"));
  EXPECT_THAT(page, HasSubstr("server_port=\"8080\",endpoint=\"cart-7d9\"} 3\n"));
  EXPECT_THAT(page, HasSubstr("port=\"80\"} 5\n")) << "others are as before";
}

TEST(MetricsPageTest, ServicesAndServers) {
  const std::string page = MetricsPage({}, Services(2), 100);
  EXPECT_THAT(page, HasSubstr("# TYPE sluice_service_connections_total counter\n"));
  EXPECT_THAT(
      page,
      HasSubstr(
          "\nsluice_service_connections_total{protocol=\"TCP\",address=\"10.99.0.1\",port=\"81\"} 5\n"));
  EXPECT_THAT(page, HasSubstr("port=\"80\"} 18446744073709551615\n")) << "no figure loses digits";
  EXPECT_THAT(page,
              HasSubstr("sluice_server_out_packets_total{protocol=\"TCP\",address=\"10.99.0.1\",port=\"80\","
                        "server_address=\"2001:db8::1\",server_port=\"8080\"} 9\n"));
  EXPECT_THAT(page, HasSubstr("\nsluice_connections_total 123\n"));
  EXPECT_THAT(page, HasSubstr("\nsluice_services 2\n"));
  EXPECT_THAT(page, HasSubstr("\nsluice_metrics_services_left_out 0\n"));
}

TEST(MetricsPageTest, TooManyAreLeftOutAndCounted) {
  const std::string page = MetricsPage({}, Services(10), 7);
  EXPECT_THAT(page, HasSubstr("\nsluice_services 10\n"));
  EXPECT_THAT(page, HasSubstr("\nsluice_metrics_services_left_out 7\n"));
  EXPECT_THAT(page, HasSubstr("port=\"82\"}"));
  EXPECT_THAT(page, Not(HasSubstr("port=\"83\"")));
}

TEST(MetricsPageTest, CountersByKind) {
  const auto info = Parse<v1::GetInfoResponse>(R"(
    version: "1 \"x\"\n\\" counters { name: "drop_no_route" value: 4 } counters { name: "refused_table_full" value: 5 }
    counters { name: "kernel_arp" value: 6 } counters { name: "sent" value: 7 }
    worker_infos { rounds: 8 busy_seconds: 0.25 } ports { name: "eth0" link_up: true attached: true } ports { name: "eth1" gone: true }
    apply_times { upper_bounds: 0.001 upper_bounds: 1 counts: 2 counts: 3 counts: 4 sum_seconds: 9.5 })");
  const std::string page = MetricsPage(info, {}, 100);
  for (const char* line :
       {"sluice_build_info{version=\"1 \\\"x\\\"\\n\\\\\"} 1\n",
        "sluice_dropped_packets_total{reason=\"no_route\"} 4\n",
        "sluice_refused_packets_total{reason=\"table_full\"} 5\n",
        "sluice_kernel_packets_total{reason=\"arp\"} 6\n", "sluice_events_total{event=\"sent\"} 7\n",
        "sluice_worker_rounds_total{worker=\"0\"} 8\n",
        "sluice_worker_busy_seconds_total{worker=\"0\"} 0.25\n", "sluice_port_up{port=\"eth0\"} 1\n",
        "sluice_port_attached{port=\"eth0\"} 1\n", "sluice_port_attached{port=\"eth1\"} 0\n",
        "sluice_config_apply_seconds_bucket{le=\"0.001\"} 2\n",
        "sluice_config_apply_seconds_bucket{le=\"+Inf\"} 4\n", "sluice_config_apply_seconds_sum 9.5\n",
        "sluice_config_apply_seconds_count 4\n"}) {
    EXPECT_THAT(page, HasSubstr(std::string("\n") + line));
  }
}

}  // namespace
}  // namespace sluice
