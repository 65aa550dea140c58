// Byte for byte what ipvsadm 1.31 prints, as captured.
#include "tools/sluiceadm/print.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

namespace sluice {
namespace {

v1::ListServicesResponse Response() {
  v1::ListServicesResponse response;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(R"(
    connection_capacity: 4096
    services {
      service { key { protocol: UDP address: "10.0.0.1" port: 53 } scheduler: "rr" one_packet: true }
      destinations { destination { address: "10.1.0.5" port: 53 method: TUN weight: 1 } }
    }
    services {
      service { key { protocol: TCP address: "10.0.0.1" port: 80 } scheduler: "rr" }
      statistics { connections: 12345 in_packets: 1234567 out_packets: 123456789 in_bytes: 123456789012 out_bytes: 99999999 }
      destinations {
        destination { address: "10.1.0.2" port: 80 method: DR weight: 3 } active_connections: 6 inactive_connections: 77
        statistics { connections: 99999999 in_packets: 100000000 out_packets: 1 in_bytes: 5 out_bytes: 10000000000 }
      }
      destinations { destination { address: "10.1.0.1" port: 80 method: NAT weight: 1 } }
    }
    services { service { key { protocol: TCP address: "2001:db8::1" port: 80 } scheduler: "mh" scheduler_flags: FLAG_2 persistence { timeout_seconds: 100 netmask: "64" } }
      destinations { destination { address: "2001:db8::a1" port: 80 method: DR weight: 1 } } }
    services { service { key { fwmark: 8 family: IPV6 } scheduler: "sh" } }
    services { service { key { fwmark: 7 family: IPV4 } scheduler: "rr" persistence { timeout_seconds: 60 } } }
  )",
                                                            &response));
  return response;
}

TEST(PrintTest, Table) {
  EXPECT_EQ(PrintServices(Response(), {.numeric = true}),
            "IP Virtual Server version 1.2.1 (size=4096)\n"
            "Prot LocalAddress:Port Scheduler Flags\n"
            "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n"
            "TCP  10.0.0.1:80 rr\n"
            "  -> 10.1.0.1:80                  Masq    1      0          0         \n"
            "  -> 10.1.0.2:80                  Route   3      6          77        \n"
            "UDP  10.0.0.1:53 rr ops\n"
            "  -> 10.1.0.5:53                  Tunnel  1      0          0         \n"
            "TCP  [2001:db8::1]:80 mh (mh-port) persistent 100 mask 64\n"
            "  -> [2001:db8::a1]:80            Route   1      0          0         \n"
            "FWM  7 rr persistent 60\n"
            "FWM  8 IPv6 sh\n");
}

TEST(PrintTest, OneServiceHasNoFirstLine) {
  v1::ListServicesResponse response = Response();
  response.mutable_services()->DeleteSubrange(1, 4);
  Command command{.numeric = true};
  command.key.emplace();
  EXPECT_EQ(PrintServices(response, command).substr(0, 38), "Prot LocalAddress:Port Scheduler Flags");
}

TEST(PrintTest, Statistics) {
  v1::ListServicesResponse response = Response();
  response.mutable_services()->DeleteSubrange(2, 3);
  response.mutable_services()->DeleteSubrange(0, 1);
  EXPECT_EQ(PrintServices(response, {.numeric = true, .statistics = true}),
            "IP Virtual Server version 1.2.1 (size=4096)\n"
            "Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes\n"
            "  -> RemoteAddress:Port\n"
            "TCP  10.0.0.1:80                     12345  1234567  123456K     123G 99999999\n"
            "  -> 10.1.0.1:80                         0        0        0        0        0\n"
            "  -> 10.1.0.2:80                  99999999  100000K        1        5   10000M\n");
  EXPECT_EQ(PrintServices(response, {.numeric = true, .statistics = true, .exact = true, .unsorted = true}),
            "IP Virtual Server version 1.2.1 (size=4096)\n"
            "Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes\n"
            "  -> RemoteAddress:Port\n"
            "TCP  10.0.0.1:80                     12345  1234567 123456789 123456789012 99999999\n"
            "  -> 10.1.0.2:80                  99999999 100000000        1        5 10000000000\n"
            "  -> 10.1.0.1:80                         0        0        0        0        0\n");
}

TEST(PrintTest, ThresholdsAndPersistence) {
  v1::ListServicesResponse response = Response();
  response.mutable_services()->DeleteSubrange(2, 3);
  response.mutable_services()->DeleteSubrange(0, 1);
  response.mutable_services(0)->mutable_destinations()->DeleteSubrange(1, 1);
  v1::DestinationStatus& status = *response.mutable_services(0)->mutable_destinations(0);
  status.mutable_destination()->set_upper_threshold(1000);
  status.mutable_destination()->set_lower_threshold(800);
  status.mutable_destination()->set_weight(100);
  status.set_persistent_connections(3);
  EXPECT_EQ(PrintServices(response, {.numeric = true, .thresholds = true}),
            "IP Virtual Server version 1.2.1 (size=4096)\n"
            "Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn \n"
            "  -> RemoteAddress:Port\n"
            "TCP  10.0.0.1:80 rr\n"
            "  -> 10.1.0.2:80                  1000       800        6          77        \n");
  EXPECT_EQ(PrintServices(response, {.numeric = true, .persistent_connections = true}),
            "IP Virtual Server version 1.2.1 (size=4096)\n"
            "Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn \n"
            "  -> RemoteAddress:Port\n"
            "TCP  10.0.0.1:80 rr\n"
            "  -> 10.1.0.2:80                  100       3           6          77        \n");
}

TEST(PrintTest, Connections) {
  v1::Connection connection;
  connection.set_protocol(v1::TCP);
  connection.set_client_address("192.168.1.5");
  connection.set_client_port(50000);
  connection.set_virtual_address("10.0.0.1");
  connection.set_virtual_port(80);
  connection.set_destination_address("10.1.0.1");
  connection.set_destination_port(8080);
  connection.set_state("ESTABLISHED");
  connection.set_expires_seconds(891);
  EXPECT_EQ(PrintConnection(connection, true),
            "TCP 14:51  ESTABLISHED 192.168.1.5:50000  10.0.0.1:80        10.1.0.1:8080\n");
}

TEST(PrintTest, Timeouts) {
  v1::Timeouts timeouts;
  timeouts.set_tcp_seconds(900);
  timeouts.set_tcp_fin_seconds(120);
  timeouts.set_udp_seconds(300);
  EXPECT_EQ(PrintTimeouts(timeouts), "Timeout (tcp tcpfin udp): 900 120 300\n");
}

TEST(PrintTest, LargeNumbers) {
  EXPECT_EQ(PrintLarge(0, false), "       0");
  EXPECT_EQ(PrintLarge(99'999'999, false), "99999999");
  EXPECT_EQ(PrintLarge(100'000'000, false), " 100000K");
  EXPECT_EQ(PrintLarge(123'456'789, false), " 123456K");
  EXPECT_EQ(PrintLarge(10'000'000'000, false), "  10000M");
  EXPECT_EQ(PrintLarge(123'456'789'012, false), "    123G");
  EXPECT_EQ(PrintLarge(UINT64_MAX, false), "18446744T");
  EXPECT_EQ(PrintLarge(UINT64_MAX, true), "18446744073709551615");
}

}  // namespace
}  // namespace sluice
