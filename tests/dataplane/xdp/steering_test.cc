// The XDP program's decisions, asked of the kernel packet by packet (BPF_PROG_TEST_RUN), on interfaces of a
// network namespace of this test's own.
#include "dataplane/xdp/steering.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>

#include "dataplane/xdp/attachment.h"
#include "dataplane/xdp/interface.h"
#include "dataplane/xdp/steer_abi.h"
#include "tests/support/packet_builder.h"

namespace sluice {
namespace {

using testing::HasSubstr;

constexpr char kInterface[] = "port0";

uint64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// An AF_XDP socket with the least it needs, bound to queue 0 of the interface.
class XdpSocket {
 public:
  XdpSocket() : fd_(socket(AF_XDP, SOCK_RAW, 0)) {
    constexpr size_t kMemory = 16 * 4096;
    void* memory = mmap(nullptr, kMemory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    xdp_umem_reg umem{};
    umem.addr = reinterpret_cast<uint64_t>(memory);
    umem.len = kMemory;
    umem.chunk_size = 4096;
    const int entries = 16;
    EXPECT_EQ(setsockopt(fd_, SOL_XDP, XDP_UMEM_REG, &umem, sizeof umem), 0);
    for (const int ring : {XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING}) {
      EXPECT_EQ(setsockopt(fd_, SOL_XDP, ring, &entries, sizeof entries), 0);
    }
    sockaddr_xdp address{};
    address.sxdp_family = AF_XDP;
    address.sxdp_ifindex = if_nametoindex(kInterface);
    address.sxdp_flags = XDP_COPY;
    // The queue is free only some time after an earlier socket was closed.
    int bound = -1;
    for (int tries = 0; tries < 500 && bound != 0; ++tries) {
      bound = bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address);
      if (bound != 0) usleep(10'000);
    }
    EXPECT_EQ(bound, 0) << strerror(errno);
  }
  ~XdpSocket() { close(fd_); }
  int fd() const { return fd_; }

 private:
  int fd_;
};

class SteeringTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    ASSERT_EQ(unshare(CLONE_NEWNET), 0) << "needs root";
    ASSERT_EQ(std::system("ip link set lo up && ip link add port0 address 02:00:00:00:00:01 numrxqueues 1 "
                          "type veth peer name far0 && "
                          "ip link set port0 up && ip link set far0 up"),
              0);
  }

  void SetUp() override {
    Make(1);
    socket_ = std::make_unique<XdpSocket>();
    AttachWith({socket_->fd()});
    Beat();
    Apply({{Ours("10.99.0.1", 80), EndpointRole::kVirtual, true},
           {Ours("10.1.0.1", 8080), EndpointRole::kRealServer, true}});
  }
  void TearDown() override {
    if (program_ >= 0) close(program_);
  }

  void Make(int workers) {
    auto created = Steering::Create({.workers = workers, .heartbeat_limit_ms = 100});
    ASSERT_TRUE(created.ok()) << created.status();
    steering_ = *std::move(created);
  }
  void AttachWith(std::vector<int> sockets) {
    const auto mode = steering_->Attach(Index(), kMacOfSluice, sockets);
    ASSERT_TRUE(mode.ok()) << mode.status();
    ASSERT_EQ(Present().program(), steering_->ProgramId(Index()));
    program_ = bpf_prog_get_fd_by_id(Present().program());
    ASSERT_GE(program_, 0);
  }
  static int Index() { return static_cast<int>(if_nametoindex(kInterface)); }
  static InterfaceState Present() { return *ReadInterface(Index()); }
  static Endpoint Ours(const std::string& address, uint16_t port, Protocol protocol = Protocol::kTcp) {
    return {*IpAddress::Parse(address), Be16::FromHost(port), protocol};
  }
  void Apply(const std::vector<EndpointChange>& changes) { EXPECT_TRUE(steering_->Apply(changes).ok()); }
  void Beat(int64_t ago_ms = 0) {
    steering_->heartbeat(0)->time_ns = NowNs() - static_cast<uint64_t>(ago_ms * 1'000'000);
  }

  // Returns who has it: "sluice", "kernel" or "nobody".
  std::string Ask(FrameBytes frame) {
    frame.resize(std::max<size_t>(frame.size(), 14));
    LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame.data(),
                .data_size_in = static_cast<uint32_t>(frame.size()), .repeat = 1);
    EXPECT_EQ(bpf_prog_test_run_opts(program_, &run), 0) << strerror(errno);
    return run.retval == XDP_REDIRECT ? "sluice"
           : run.retval == XDP_PASS   ? "kernel"
           : run.retval == XDP_DROP   ? "nobody"
                                      : "other";
  }
  static Packet Request() { return Packet().From("10.0.0.1", 1000).To("10.99.0.1", 80).Tcp(kTcpSyn); }
  static Packet Reply() { return Packet().From("10.1.0.1", 8080).To("10.0.0.1", 1000).Tcp(kTcpAck); }

  std::unique_ptr<Steering> steering_;
  std::unique_ptr<XdpSocket> socket_;
  int program_ = -1;
};

TEST_F(SteeringTest, OursAndNotOurs) {
  EXPECT_EQ(Ask(Request().Bytes()), "sluice");
  EXPECT_EQ(Ask(Reply().Bytes()), "sluice");
  EXPECT_EQ(Ask(Request().To("10.99.0.1", 81).Bytes()), "kernel") << "another port";
  EXPECT_EQ(Ask(Request().To("10.99.0.2", 80).Bytes()), "kernel") << "another address";
  EXPECT_EQ(Ask(Request().Udp().Bytes()), "kernel") << "another protocol";
  EXPECT_EQ(Ask(Reply().From("10.1.0.1", 22).Bytes()), "kernel") << "ssh of a real server";
  EXPECT_EQ(Ask(Packet().From("10.0.0.1", 1000).To("10.1.0.1", 8080).Tcp(kTcpSyn).Bytes()), "kernel")
      << "to a real server itself";
  EXPECT_EQ(Ask(Packet().From("10.99.0.1", 80).To("10.0.0.1", 1000).Tcp(kTcpSyn).Bytes()), "kernel")
      << "from the virtual address";
}

TEST_F(SteeringTest, WhatOnlyTheKernelHandles) {
  EXPECT_EQ(Ask(Request().EtherType(kEtherTypeArp).Bytes()), "kernel");
  EXPECT_EQ(Ask(Request().EtherType(kEtherTypeIpv6).Bytes()), "kernel");
  EXPECT_EQ(Ask(Request().Fragment(0, true).Bytes()), "kernel");
  EXPECT_EQ(Ask(Request().Fragment(8, false).Bytes()), "kernel");
  EXPECT_EQ(Ask(Request().DontFragment().Bytes()), "sluice") << "only says that it must not be";
  EXPECT_EQ(Ask(Request().IpProtocol(1).Payload("12345678").Bytes()), "kernel");
  EXPECT_EQ(Ask(Request().Macs(kMacOfClient, kMacOfServer).Bytes()), "kernel") << "for another host";
  EXPECT_EQ(Ask(Request().Macs(kMacOfClient, MacAddress{{255, 255, 255, 255, 255, 255}}).Bytes()), "kernel");
}

TEST_F(SteeringTest, LengthsAreChecked) {
  const FrameBytes plain = Request().Bytes();
  const FrameBytes options = Request().IpOptions(FrameBytes(40, 1)).Bytes();
  for (size_t length = 14; length <= plain.size(); ++length) {
    EXPECT_EQ(Ask(FrameBytes(plain.begin(), plain.begin() + static_cast<ptrdiff_t>(length))),
              length >= 38 ? "sluice" : "kernel")
        << length;
  }
  for (size_t length = 14; length <= options.size(); ++length) {
    EXPECT_EQ(Ask(FrameBytes(options.begin(), options.begin() + static_cast<ptrdiff_t>(length))),
              length >= 78 ? "sluice" : "kernel")
        << length;
  }
  for (int header = 0; header < 5; ++header) {
    FrameBytes frame = plain;
    frame[14] = static_cast<uint8_t>(0x40 | header);
    EXPECT_EQ(Ask(frame), "kernel");
  }
}

// A flood of SYNs does not fill a worker's ring: the rest of it is for connections that there are.
TEST_F(SteeringTest, AQueueGetsSoManyOpeningsUntilTheNextBeat) {
  const FrameBytes v6 = Packet().From("fd00:a::1", 1000).To("fd00:99::1", 80).Tcp(kTcpSyn).Bytes();
  Apply({{Ours("fd00:99::1", 80), EndpointRole::kVirtual, true}});
  steering_->heartbeat(0)->openings = 3;
  EXPECT_EQ(Ask(Request().Bytes()), "sluice");
  EXPECT_EQ(Ask(Request().IpOptions({1, 1, 1, 0}).Bytes()), "sluice");
  EXPECT_EQ(Ask(v6), "sluice");
  EXPECT_EQ(Ask(Request().Bytes()), "nobody");
  EXPECT_EQ(Ask(v6), "nobody");
  EXPECT_EQ(Ask(Request().Tcp(kTcpAck).Bytes()), "sluice");
  EXPECT_EQ(Ask(Request().Tcp(kTcpSyn | kTcpAck).Bytes()), "sluice");
  EXPECT_EQ(Ask(Request().To("10.99.0.1", 22).Bytes()), "kernel") << "not Sluice's";
  EXPECT_EQ(steering_->Counts().openings_dropped, 2u);
  Beat();
  EXPECT_EQ(Ask(Request().Bytes()), "sluice");
  // Half a ring at most, whatever the worker says, while it cannot say anything.
  steering_->heartbeat(0)->openings = UINT32_MAX;
  Beat();
  int steered = 0;
  for (int i = 0; i < 1500; ++i) steered += Ask(Request().Bytes()) == "sluice";
  EXPECT_EQ(steered, 1024);
}

TEST_F(SteeringTest, ASilentWorkersPacketsWhereTheKernelHasTheServices) {
  steering_->SetPassesStalled(true);
  Beat(50);
  EXPECT_EQ(Ask(Request().Bytes()), "sluice");
  Beat(150);
  EXPECT_EQ(Ask(Request().Bytes()), "kernel");
  EXPECT_EQ(Ask(Reply().Bytes()), "kernel");
  EXPECT_EQ(steering_->Counts().stale, 2u);
  Beat(-50);
  EXPECT_EQ(Ask(Request().Bytes()), "sluice") << "the kernel's coarse clock may be behind";
  EXPECT_EQ(steering_->Counts().steered, 2u);
}

// A kernel that does not know the connections would reset them; what is dropped is sent again.
TEST_F(SteeringTest, ASilentWorkersPacketsWhereItHasNot) {
  Beat(150);
  EXPECT_EQ(Ask(Request().Bytes()), "nobody");
  EXPECT_EQ(Ask(Request().To("10.99.0.1", 81).Bytes()), "kernel") << "not Sluice's";
  EXPECT_EQ(steering_->Counts().stale_dropped, 1u);
  EXPECT_EQ(steering_->Counts().stale, 0u);
  steering_->heartbeat(0)->limit_ns = 1'000'000'000;  // a worker raises its own
  EXPECT_EQ(Ask(Request().Bytes()), "sluice");
  Beat(1500);
  EXPECT_EQ(Ask(Request().Bytes()), "nobody");
  steering_->heartbeat(0)->time_ns = 0;
  EXPECT_EQ(Ask(Request().Bytes()), "kernel") << "Sluice is not to forward";
  EXPECT_EQ(steering_->Counts().released, 1u);
  Beat(1500);
  socket_.reset();
  EXPECT_EQ(Ask(Request().Bytes()), "kernel") << "the process has gone";
  EXPECT_EQ(steering_->Counts().no_socket, 1u);
}

TEST_F(SteeringTest, WithoutASocketTheKernelHasIt) {
  socket_.reset();
  EXPECT_EQ(Ask(Request().Bytes()), "kernel");
  EXPECT_EQ(steering_->Counts().no_socket, 1u);
}

TEST_F(SteeringTest, AnotherMacAddress) {
  const FrameBytes to_next = Request().Macs(kMacOfClient, kMacOfServer).Bytes();
  EXPECT_EQ(Ask(to_next), "kernel");
  steering_->SetMac(Index(), kMacOfServer);
  EXPECT_EQ(Ask(to_next), "sluice");
  EXPECT_EQ(Ask(Request().Bytes()), "kernel");
}

TEST_F(SteeringTest, RolesComeAndGo) {
  const Endpoint both = Ours("10.99.0.1", 80);
  Apply({{both, EndpointRole::kRealServer, true}});
  EXPECT_EQ(Ask(Packet().From("10.99.0.1", 80).To("10.0.0.1", 1000).Tcp(kTcpAck).Bytes()), "sluice");
  Apply({{both, EndpointRole::kVirtual, false}});
  EXPECT_EQ(Ask(Request().Bytes()), "kernel");
  EXPECT_EQ(Ask(Packet().From("10.99.0.1", 80).To("10.0.0.1", 1000).Tcp(kTcpAck).Bytes()), "sluice");
  Apply({{both, EndpointRole::kRealServer, false}, {both, EndpointRole::kVirtual, true}});
  EXPECT_EQ(Ask(Request().Bytes()), "sluice");
}

// The hints say of each slot what its addresses are; a slot's last address takes its role along.
TEST_F(SteeringTest, AddressesThatShareAHint) {
  const Be32 first = IpAddress::Parse("10.99.0.1")->V4();
  Be32 second{};
  for (uint32_t i = 1; second == Be32{}; ++i) {
    const Be32 candidate = Be32::FromHost(0x0b000000 + i);
    if (sluice_slot(candidate.raw) == sluice_slot(first.raw)) second = candidate;
  }
  const Endpoint neighbour = {IpAddress::FromV4(second), Be16::FromHost(80), Protocol::kTcp};
  const Packet to_neighbour = Request().To(neighbour.address.ToString(), 80);
  EXPECT_EQ(Ask(Packet(to_neighbour).Bytes()), "kernel");
  Apply({{neighbour, EndpointRole::kVirtual, true}});
  EXPECT_EQ(Ask(Packet(to_neighbour).Bytes()), "sluice");
  EXPECT_EQ(Ask(Request().Bytes()), "sluice");
  Apply({{Ours("10.99.0.1", 80), EndpointRole::kVirtual, false}});
  EXPECT_EQ(Ask(Packet(to_neighbour).Bytes()), "sluice");
  EXPECT_EQ(Ask(Request().Bytes()), "kernel");
  Apply({{neighbour, EndpointRole::kVirtual, false}, {Ours("10.99.0.1", 80), EndpointRole::kVirtual, true}});
  EXPECT_EQ(Ask(Packet(to_neighbour).Bytes()), "kernel");
  EXPECT_EQ(Ask(Request().Bytes()), "sluice");
  // Told twice, taken back once.
  Apply({{neighbour, EndpointRole::kVirtual, true}, {neighbour, EndpointRole::kVirtual, true}});
  Apply({{neighbour, EndpointRole::kVirtual, false}, {Ours("10.99.0.1", 80), EndpointRole::kVirtual, false}});
  EXPECT_EQ(Ask(Packet(to_neighbour).Bytes()), "kernel");
  EXPECT_EQ(Ask(Request().Bytes()), "kernel");
}

TEST_F(SteeringTest, AnswersToTheHostItselfAreTheHosts) {
  const std::vector<IpAddress> host = {*IpAddress::Parse("10.0.0.1"), *IpAddress::Parse("2001:db8::1")};
  EXPECT_TRUE(steering_->SetHostAddresses(host).ok());
  EXPECT_EQ(Ask(Reply().Bytes()), "kernel");
  EXPECT_EQ(Ask(Request().Bytes()), "sluice");
  EXPECT_TRUE(steering_->SetHostAddresses({}).ok());
  EXPECT_EQ(Ask(Reply().Bytes()), "sluice");
}

TEST_F(SteeringTest, DetachingLeavesNothingAndTakingOverWorks) {
  EXPECT_NE(Present().program(), 0u);
  EXPECT_TRUE(RemoveLeftover(Present()).ok()) << "as if its sluiced had been killed";
  EXPECT_EQ(Present().program(), 0u);
  AttachWith({socket_->fd()});
  steering_.reset();
  EXPECT_EQ(Present().program(), 0u);
  EXPECT_TRUE(RemoveLeftover(Present()).ok()) << "there is none";
}

// Somebody's program, which passes everything.
int OtherProgram() {
  const bpf_insn program[] = {
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .src_reg = 0, .off = 0, .imm = XDP_PASS},
      {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  return bpf_prog_load(BPF_PROG_TYPE_XDP, "other", "GPL", program, std::size(program), nullptr);
}

TEST_F(SteeringTest, AttachedAgainButNotOverSomebodyElses) {
  const uint32_t ours = steering_->ProgramId(Index());
  ASSERT_EQ(bpf_xdp_detach(Index(), XDP_FLAGS_DRV_MODE, nullptr), 0);
  EXPECT_EQ(Present().program(), 0u);
  ASSERT_TRUE(steering_->Reattach(Index()).ok());
  EXPECT_EQ(Present().program(), ours) << "the same, with all it has learnt";
  const int other = OtherProgram();
  ASSERT_EQ(bpf_xdp_attach(Index(), other, XDP_FLAGS_DRV_MODE, nullptr), 0);
  const uint32_t theirs = Present().program();
  EXPECT_NE(theirs, ours);
  EXPECT_EQ(ProgramName(theirs), "other");
  EXPECT_FALSE(steering_->Reattach(Index()).ok());
  EXPECT_FALSE(RemoveLeftover(Present()).ok());
  steering_.reset();
  EXPECT_EQ(Present().program(), theirs) << "the end takes away our own";
  EXPECT_EQ(bpf_xdp_detach(Index(), XDP_FLAGS_DRV_MODE, nullptr), 0);
  close(other);
}

TEST_F(SteeringTest, InterfacesAreAskedByIndex) {
  const int index = Index();
  ASSERT_EQ(std::system("ip link set port0 down && ip link set port0 name elsewhere"), 0);
  const InterfaceState renamed = *ReadInterface(index);
  EXPECT_EQ(renamed.name, "elsewhere");
  EXPECT_FALSE(renamed.link_up);
  EXPECT_EQ(renamed.mac, kMacOfSluice);
  EXPECT_TRUE(absl::IsNotFound(FindInterface("port0").status()));
  ASSERT_EQ(std::system("ip link set elsewhere name port0 && ip link set port0 up"), 0);
  EXPECT_EQ(FindInterface("port0")->index, index);
  EXPECT_TRUE(FindInterface("port0")->link_up);
  EXPECT_TRUE(SetInterfaceMac(index, kMacOfServer).ok());
  EXPECT_EQ(ReadInterface(index)->mac, kMacOfServer);
  EXPECT_TRUE(SetInterfaceMac(index, kMacOfSluice).ok());
  for (const int nobody : {0, -1, 999'999}) EXPECT_TRUE(absl::IsNotFound(ReadInterface(nobody).status()));
  EXPECT_THAT(std::string(FindInterface("nope").status().message()), HasSubstr("nope"));
}

// A driver reads that it is down, somebody sets it up, and the driver writes what it has read.
TEST_F(SteeringTest, FlagsThatADriverWritesBack) {
  const auto is_up_after = [](bool before, const std::vector<bool>& changes) {
    EXPECT_TRUE(SetInterfaceUp(Index(), before).ok());
    {
      const FlagsGuard guard(Index());
      for (const bool change : changes) EXPECT_TRUE(SetInterfaceUp(Index(), change).ok());
    }
    return Present().is_up;
  };
  EXPECT_TRUE(is_up_after(false, {true, false}));
  EXPECT_FALSE(is_up_after(true, {false, true}));
  EXPECT_TRUE(is_up_after(false, {true})) << "somebody's alone";
  EXPECT_FALSE(is_up_after(true, {false}));
  EXPECT_FALSE(is_up_after(false, {}));
  EXPECT_TRUE(is_up_after(true, {}));
}

TEST_F(SteeringTest, TheStubIsAFileForTheDriver) {
  bpf_object* object = bpf_object__open_file(steering_->StubProgramPath().c_str(), nullptr);
  ASSERT_NE(object, nullptr);
  EXPECT_NE(bpf_object__find_map_by_name(object, "xsks_map"), nullptr);
  EXPECT_EQ(bpf_object__load(object), 0);
  bpf_object__close(object);
}

TEST_F(SteeringTest, AFullMapIsReportedAndTheKernelHandlesTheRest) {
  std::vector<EndpointChange> changes;
  for (uint32_t i = 0; i < (1u << 20) + 1; ++i) {
    changes.push_back(
        {{IpAddress::FromV4(Be32::FromHost(0x0b000000 + i)), Be16::FromHost(80), Protocol::kTcp},
         EndpointRole::kVirtual,
         true});
  }
  const absl::Status applied = steering_->Apply(changes);
  EXPECT_FALSE(applied.ok());
  EXPECT_THAT(std::string(applied.message()), HasSubstr(":80 in the XDP program's map of endpoints"));
  Beat();
  EXPECT_EQ(Ask(Request().Bytes()), "sluice");
}

TEST_F(SteeringTest, EveryPortOfAnAddress) {
  const auto client = [&](uint16_t port) {
    return Ask(Packet().From("10.0.0.1", 1000).To("10.99.0.7", port).Tcp(kTcpSyn).Bytes());
  };
  const auto server = [&](uint16_t port) {
    return Ask(Packet().From("10.1.0.7", port).To("10.0.0.1", 1000).Tcp(kTcpAck).Bytes());
  };
  EXPECT_EQ(client(5000), "kernel");
  EXPECT_EQ(server(5000), "kernel");
  Apply({{Ours("10.99.0.7", 0), EndpointRole::kVirtual, true},
         {Ours("10.1.0.7", 0), EndpointRole::kRealServer, true}});
  EXPECT_EQ(client(5000), "sluice");
  EXPECT_EQ(server(5000), "sluice");
  EXPECT_EQ(Ask(Packet().From("10.0.0.1", 1000).To("10.99.0.7", 5000).Udp().Bytes()), "kernel")
      << "TCP's ports";
  Apply({{Ours("10.99.0.7", 0), EndpointRole::kVirtual, false},
         {Ours("10.1.0.7", 0), EndpointRole::kRealServer, false}});
  EXPECT_EQ(client(5000), "kernel");
  EXPECT_EQ(server(5000), "kernel");
}

TEST_F(SteeringTest, PrefixesOfMarks) {
  const auto client = [&](const std::string& address) {
    return Ask(Packet().From("10.0.0.1", 1000).To(address, 5000).Udp().Bytes());
  };
  const PrefixChange prefix{*IpAddress::Parse("10.99.8.0"), 22, true};
  EXPECT_EQ(client("10.99.11.255"), "kernel");
  ASSERT_TRUE(steering_->Apply({}, std::vector<PrefixChange>{prefix}).ok());
  EXPECT_EQ(client("10.99.8.0"), "sluice");
  EXPECT_EQ(client("10.99.11.255"), "sluice");
  EXPECT_EQ(client("10.99.12.0"), "kernel");
  EXPECT_EQ(client("10.99.7.255"), "kernel");
  ASSERT_TRUE(
      steering_->Apply({}, std::vector<PrefixChange>{{prefix.prefix, prefix.prefix_length, false}}).ok());
  EXPECT_EQ(client("10.99.8.0"), "kernel");
}

TEST_F(SteeringTest, Sctp) {
  const FrameBytes init = Packet().From("10.0.0.1", 1000).To("10.99.0.1", 80).Sctp({1}).Bytes();
  EXPECT_EQ(Ask(init), "kernel");
  Apply({{Ours("10.99.0.1", 80, Protocol::kSctp), EndpointRole::kVirtual, true}});
  EXPECT_EQ(Ask(init), "sluice");
}

TEST_F(SteeringTest, IcmpErrorsGoWhereTheirPacketBelongs) {
  const auto error = [&](const Packet& about, uint8_t type = 3) {
    return Ask(Packet()
                   .From("10.0.9.9", 0)
                   .To("10.99.0.1", 0)
                   .IcmpErrorAbout(type, 3, 0, about.Bytes(), 28)
                   .Bytes());
  };
  const Packet to_client = Packet().From("10.99.0.1", 80).To("10.0.0.1", 1000).Tcp(kTcpAck);
  const Packet to_server = Packet().From("10.0.0.1", 1000).To("10.1.0.1", 8080).Tcp(kTcpAck);
  EXPECT_EQ(error(to_client), "sluice");
  EXPECT_EQ(error(to_client, 11), "sluice");
  EXPECT_EQ(error(to_client, 8), "kernel") << "echo request";
  EXPECT_EQ(error(to_server), "sluice");
  EXPECT_EQ(error(Packet().From("10.99.0.1", 81).To("10.0.0.1", 1000).Tcp(kTcpAck)), "kernel")
      << "no service";
  EXPECT_EQ(error(Packet().From("10.0.0.1", 1000).To("10.99.0.1", 80).Tcp(kTcpAck)), "kernel")
      << "about a packet to the service: not Sluice's, nor the real servers'";
  ASSERT_TRUE(steering_->SetHostAddresses(std::vector<IpAddress>{*IpAddress::Parse("10.0.0.1")}).ok());
  EXPECT_EQ(error(to_server), "kernel") << "about a health check of the host's own";
}

TEST_F(SteeringTest, FragmentsGoByTheirAddress) {
  const auto fragment = [&](const std::string& from, const std::string& to, uint16_t offset) {
    return Ask(Packet().From(from, 999).To(to, 999).Udp().Payload("x").Fragment(offset, true).Bytes());
  };
  EXPECT_EQ(fragment("10.0.0.1", "10.99.0.1", 100), "kernel");
  Apply({{{*IpAddress::Parse("10.99.0.1"), Be16{}, kAnyProtocol}, EndpointRole::kVirtual, true},
         {{*IpAddress::Parse("10.1.0.1"), Be16{}, kAnyProtocol}, EndpointRole::kRealServer, true}});
  EXPECT_EQ(fragment("10.0.0.1", "10.99.0.1", 100), "sluice");
  EXPECT_EQ(fragment("10.0.0.1", "10.99.0.1", 0), "sluice") << "the first, too, whatever its port";
  EXPECT_EQ(fragment("10.1.0.1", "10.0.0.1", 100), "sluice");
  EXPECT_EQ(fragment("10.1.0.2", "10.0.0.1", 100), "kernel");
  EXPECT_EQ(Ask(Packet().From("10.0.0.1", 999).To("10.99.0.1", 999).Udp().Bytes()), "kernel")
      << "whole: by its port";
}

// The same questions of IPv6.
TEST_F(SteeringTest, Ipv6) {
  const std::string client = "fd00:a::1", service = "fd00:99::1", server = "fd00:b::1";
  Apply({{Ours(service, 80), EndpointRole::kVirtual, true},
         {{*IpAddress::Parse(service), Be16{}, kAnyProtocol}, EndpointRole::kVirtual, true},
         {Ours(server, 8080), EndpointRole::kRealServer, true}});
  const Packet request = Packet().From(client, 1000).To(service, 80).Tcp(kTcpSyn);
  const Packet reply = Packet().From(server, 8080).To(client, 1000).Tcp(kTcpAck);
  EXPECT_EQ(Ask(request.Bytes()), "sluice");
  EXPECT_EQ(Ask(reply.Bytes()), "sluice");
  EXPECT_EQ(Ask(Packet(request).To(service, 81).Bytes()), "kernel");
  EXPECT_EQ(Ask(Packet(request).To("fd00:99::2", 80).Bytes()), "kernel");
  EXPECT_EQ(Ask(Packet(request).Extensions({0, 60, 43}).Bytes()), "sluice");
  EXPECT_EQ(Ask(Packet(request).Extensions({60, 60, 60, 60, 60}).Bytes()), "kernel") << "too many";
  EXPECT_EQ(Ask(Packet(request).To(service, 81).Fragment(8, true).Bytes()), "sluice") << "by its address";
  steering_->SetVlans(Index(), std::vector<uint16_t>{5});
  EXPECT_EQ(Ask(Packet(request).Vlan(5).Bytes()), "sluice");
  EXPECT_EQ(Ask(Packet(request).Vlan(6).Bytes()), "kernel");
  EXPECT_EQ(Ask(Packet(reply).IcmpErrorAbout(1, 0, 0, request.Bytes(), 48).Bytes()), "kernel")
      << "about a packet to the service";
  const Packet answer = Packet().From(service, 80).To(client, 1000).Tcp(kTcpAck);
  EXPECT_EQ(Ask(Packet(request).IcmpErrorAbout(2, 0, 1400, answer.Bytes(), 48).Bytes()), "sluice");
  EXPECT_EQ(Ask(Packet(request).IcmpErrorAbout(135, 0, 0, answer.Bytes(), 48).Bytes()), "kernel")
      << "neighbour discovery";
  EXPECT_EQ(Ask(Packet(request).IcmpErrorAbout(128, 0, 0, answer.Bytes(), 48).Bytes()), "sluice") << "echo";
  EXPECT_EQ(Ask(Packet(request).To("fd00:99::2", 0).IcmpErrorAbout(128, 0, 0, answer.Bytes()).Bytes()),
            "kernel");
  const FrameBytes whole = request.Bytes();
  for (size_t length = 14; length <= whole.size(); ++length) {
    EXPECT_EQ(Ask(FrameBytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(length))),
              length >= 58 ? "sluice" : "kernel")
        << length;
  }
  ASSERT_TRUE(steering_->SetHostAddresses(std::vector<IpAddress>{*IpAddress::Parse(client)}).ok());
  EXPECT_EQ(Ask(reply.Bytes()), "kernel") << "what a server answers to this host";
  const PrefixChange prefix{*IpAddress::Parse("fd00:98::"), 32, true};
  EXPECT_EQ(Ask(Packet(request).To("fd00:98:1::5", 7).Bytes()), "kernel");
  ASSERT_TRUE(steering_->Apply({}, std::vector<PrefixChange>{prefix}).ok());
  EXPECT_EQ(Ask(Packet(request).To("fd00:98:1::5", 7).Bytes()), "sluice");
  Apply({{Ours(service, 80), EndpointRole::kVirtual, false}});
  EXPECT_EQ(Ask(request.Bytes()), "kernel");
}

TEST_F(SteeringTest, ErrorsAboutTunnels) {
  const FrameBytes inner = Request().Bytes();
  const auto error = [&](const std::string& server, uint8_t protocol) {
    const Packet tunnelled = Packet()
                                 .From("10.1.0.254", 0)
                                 .To(server, 0)
                                 .IpProtocol(protocol)
                                 .Payload({inner.begin() + 14, inner.end()});
    return Ask(Packet()
                   .From("10.1.0.9", 0)
                   .To("10.1.0.254", 0)
                   .IcmpErrorAbout(3, 4, 1400, tunnelled.Bytes())
                   .Bytes());
  };
  ASSERT_TRUE(steering_->SetHostAddresses(std::vector<IpAddress>{*IpAddress::Parse("10.1.0.254")}).ok());
  EXPECT_EQ(error("10.1.0.1", 4), "kernel") << "fragments of that server are not ours, nor are tunnels";
  Apply({{{*IpAddress::Parse("10.1.0.1"), Be16{}, kAnyProtocol}, EndpointRole::kRealServer, true}});
  for (const uint8_t protocol : {4, 41, 47, 17}) EXPECT_EQ(error("10.1.0.1", protocol), "sluice");
  EXPECT_EQ(error("10.1.0.1", 50), "kernel");
  EXPECT_EQ(error("10.1.0.2", 4), "kernel");
}

// Whoever is in another VLAN than the host must not come in.
TEST_F(SteeringTest, TaggedPackets) {
  const auto tagged = [&](uint16_t tag) { return Ask(Request().Vlan(tag).Bytes()); };
  EXPECT_EQ(tagged(5), "kernel");
  EXPECT_EQ(tagged(0), "sluice") << "a priority tag";
  EXPECT_EQ(tagged(0x6000), "sluice");
  steering_->SetVlans(Index(), std::vector<uint16_t>{5, 64, 4094});
  for (const uint16_t vlan : {5, 64, 4094}) {
    EXPECT_EQ(tagged(vlan), "sluice") << vlan;
    EXPECT_EQ(tagged(static_cast<uint16_t>(0xe000 | vlan)), "sluice") << "with a priority";
  }
  for (const uint16_t vlan : {4, 6, 63, 65, 128, 4095}) EXPECT_EQ(tagged(vlan), "kernel") << vlan;
  EXPECT_EQ(Ask(Request().Vlan(5).To("10.99.0.2", 80).Bytes()), "kernel");
  FrameBytes twice = Request().Vlan(5).Bytes();
  twice.insert(twice.begin() + 12, {0x81, 0, 0, 5});
  EXPECT_EQ(Ask(twice), "kernel");
  EXPECT_EQ(Ask(FrameBytes(twice.begin(), twice.begin() + 16)), "kernel");
  steering_->SetVlans(Index(), std::vector<uint16_t>{64});
  EXPECT_EQ(tagged(5), "kernel");
}

TEST_F(SteeringTest, EchoesOfVirtualAddresses) {
  const auto echo = [&](const std::string& to) {
    return Ask(Packet().To(to, 0).IpProtocol(1).Payload(std::string("\010\0\0\0\0\0\0\0", 8)).Bytes());
  };
  EXPECT_EQ(echo("10.99.0.1"), "kernel");
  Apply({{{*IpAddress::Parse("10.99.0.1"), Be16{}, kAnyProtocol}, EndpointRole::kVirtual, true}});
  EXPECT_EQ(echo("10.99.0.1"), "sluice");
  EXPECT_EQ(echo("10.99.0.2"), "kernel");
}

}  // namespace
}  // namespace sluice
