// Every RPC over a real socket, of a sluiced without any NIC: what is answered, what is refused, and that
// clients who ask for too much or do not listen harm nobody.
#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "sluice/v1/sluice.grpc.pb.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Clock = std::chrono::steady_clock;

class RpcTest : public testing::Test {
 protected:
  void Start(const std::vector<std::string>& more = {}) {
    char folder[] = "/tmp/sluice-rpc-XXXXXX";
    folder_ = mkdtemp(folder);
    std::vector<std::string> words = {"unshare",       "--net",     SLUICED,     "--port",
                                      "net_null0",     "--no-huge", "--listen",  "unix:" + folder_ + "/s",
                                      "--state",       "none",      "--metrics", "none",
                                      "--connections", "4096"};
    words.insert(words.end(), more.begin(), more.end());
    child_ = fork();
    if (child_ == 0) {
      std::vector<char*> arguments;
      for (std::string& word : words) arguments.push_back(word.data());
      arguments.push_back(nullptr);
      if (freopen((folder_ + "/log").c_str(), "w", stdout) != nullptr) dup2(STDOUT_FILENO, STDERR_FILENO);
      execvp("unshare", arguments.data());
      _exit(127);
    }
    const Clock::time_point end = Clock::now() + std::chrono::seconds(60);
    while (!std::filesystem::exists(folder_ + "/s") && Clock::now() < end)
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    stub_ = v1::Sluice::NewStub(Connect());
    // The socket has a name before anybody listens.
    while (!Info() && Clock::now() < end) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    ASSERT_TRUE(Info()) << Log();
  }
  ~RpcTest() override {
    if (child_ > 0) {
      kill(child_, SIGTERM);
      for (int i = 0; i < 1000 && waitpid(child_, nullptr, WNOHANG) == 0; ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      kill(child_, SIGKILL);
      waitpid(child_, nullptr, 0);
    }
    std::filesystem::remove_all(folder_);
  }

  // Each has a connection of its own.
  std::shared_ptr<grpc::Channel> Connect() const {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetMaxSendMessageSize(-1);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel("unix:" + folder_ + "/s", grpc::InsecureChannelCredentials(), arguments);
  }
  std::string Log() const {
    std::ifstream file(folder_ + "/log");
    return {std::istreambuf_iterator<char>(file), {}};
  }

  template <class Message>
  static Message Parse(const std::string& text) {
    Message message;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
    return message;
  }
  std::optional<v1::GetInfoResponse> Info() {
    grpc::ClientContext context;
    v1::GetInfoResponse response;
    return stub_->GetInfo(&context, {}, &response).ok() ? std::optional(response) : std::nullopt;
  }
  v1::ApplyResponse Apply(const std::string& text) {
    grpc::ClientContext context;
    v1::ApplyResponse response;
    const grpc::Status status = stub_->Apply(&context, Parse<v1::ApplyRequest>(text), &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  static std::string Service(int port, const std::string& more = "") {
    return "changes { put_service { replace_destinations: true service { key { protocol: TCP address: "
           "'10.99.0.1' port: " +
           std::to_string(port) + " } scheduler: 'rr' " + more + " } } } ";
  }
  // "CODE REASON field", of each fault.
  static std::vector<std::string> Faults(const grpc::Status& status) {
    v1::Refusals refusals;
    EXPECT_TRUE(refusals.ParseFromString(status.error_details()));
    std::vector<std::string> faults;
    for (const v1::Refusal& refusal : refusals.refusals())
      faults.push_back(v1::RefusalReason_Name(refusal.reason()) + " " + refusal.field());
    return faults;
  }
  v1::ExplainResponse Explain(const std::string& text) {
    grpc::ClientContext context;
    v1::ExplainResponse response;
    const grpc::Status status = stub_->Explain(&context, Parse<v1::ExplainRequest>(text), &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  size_t ResidentBytes() const {
    std::ifstream file("/proc/" + std::to_string(child_) + "/statm");
    size_t pages = 0;
    file >> pages >> pages;
    return pages * static_cast<size_t>(sysconf(_SC_PAGESIZE));
  }

  std::string folder_;
  pid_t child_ = -1;
  std::unique_ptr<v1::Sluice::Stub> stub_;
  const std::string key_ = "{ protocol: TCP address: '10.99.0.1' port: 80 }";
};

TEST_F(RpcTest, ConfigurationAndItsWatchers) {
  Start();
  grpc::ClientContext context;
  const auto watch = stub_->WatchConfig(&context, {});
  v1::WatchConfigResponse told;
  ASSERT_TRUE(watch->Read(&told));
  EXPECT_TRUE(told.whole());
  EXPECT_EQ(told.diff().generation(), 0u);
  EXPECT_EQ(Apply(Service(80) + Service(81)).generation(), 1u);
  ASSERT_TRUE(watch->Read(&told));
  EXPECT_FALSE(told.whole());
  EXPECT_EQ(told.diff().generation(), 1u);
  EXPECT_EQ(told.diff().config().services_size(), 2);
  EXPECT_THAT(told.changed(),
              ElementsAre("added service TCP 10.99.0.1:80", "added service TCP 10.99.0.1:81"));
  Apply(
      "changes { delete_service { key { protocol: TCP address: '10.99.0.1' port: 81 } } } changes { "
      "set_drained: true }");
  ASSERT_TRUE(watch->Read(&told));
  EXPECT_EQ(told.diff().deleted_services(0).port(), 81u);
  EXPECT_TRUE(told.diff().has_global() && told.diff().config().drained());
  context.TryCancel();

  grpc::ClientContext config_context;
  v1::GetConfigResponse config;
  ASSERT_TRUE(stub_->GetConfig(&config_context, {}, &config).ok());
  EXPECT_EQ(config.generation(), 2u);
  EXPECT_EQ(config.config().services_size(), 1);
  EXPECT_TRUE(config.config().drained());
  EXPECT_TRUE(Info()->drained());

  // Who has seen the first change is told the second; who has seen what never was begins anew.
  for (const auto& [after, whole] : {std::pair(1, false), std::pair(77, true)}) {
    grpc::ClientContext again;
    v1::WatchConfigRequest request;
    request.set_after_generation(static_cast<uint64_t>(after));
    const auto more = stub_->WatchConfig(&again, request);
    ASSERT_TRUE(more->Read(&told));
    EXPECT_EQ(told.diff().generation(), 2u);
    EXPECT_EQ(told.whole(), whole);
    again.TryCancel();
  }
}

// Of a gRPC trailer peers take 8 KB: beyond it they read no refusal at all.
TEST_F(RpcTest, ManyRefusalsAreToldInPartAndTheRestCounted) {
  Start();
  std::string services;
  for (int port = 1; port <= 300; ++port) services += Service(port);
  Apply(services);
  auto request = Parse<v1::ApplyRequest>(services);
  request.set_owner(v1::KUBERNETES);
  const auto refusals_of = [&](const v1::ApplyRequest& refused) {
    grpc::ClientContext context;
    v1::ApplyResponse response;
    const grpc::Status status = stub_->Apply(&context, refused, &response);
    v1::Refusals refusals;
    EXPECT_TRUE(refusals.ParseFromString(status.error_details())) << status.error_message();
    return std::pair(status, refusals);
  };
  const auto [status, refusals] = refusals_of(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION) << status.error_message();
  EXPECT_GT(refusals.refusals_size(), 9);
  EXPECT_GT(refusals.left_out(), 0u);
  EXPECT_EQ(static_cast<uint64_t>(refusals.refusals_size()) + refusals.left_out(), 300u);
  EXPECT_EQ(refusals.refusals(0).field(), "changes[0].put_service.service");
  // One that is long, of characters that take most room on the way.
  const std::string percents(100'000, '%');
  auto long_request = Parse<v1::ApplyRequest>(Service(80));
  long_request.mutable_changes(0)->mutable_put_service()->mutable_service()->set_scheduler(percents);
  const auto [long_status, long_refusals] = refusals_of(long_request);
  EXPECT_EQ(long_status.error_code(), grpc::StatusCode::NOT_FOUND) << long_status.error_message();
  ASSERT_EQ(long_refusals.refusals_size(), 1);
  EXPECT_LT(long_refusals.refusals(0).message().size(), 600u);
}

TEST_F(RpcTest, StatisticsAndTheirWatchers) {
  Start();
  Apply(Service(80, "destinations { address: '10.1.0.1' port: 80 method: NAT }"));
  grpc::ClientContext list_context;
  v1::ListServicesResponse services;
  ASSERT_TRUE(stub_->ListServices(&list_context, {}, &services).ok());
  EXPECT_EQ(services.services(0).destinations_size(), 1);
  grpc::ClientContext context;
  const auto watch =
      stub_->WatchStatistics(&context, Parse<v1::WatchStatisticsRequest>("interval_ms: 100 key " + key_));
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(watch->Read(&services));
    EXPECT_EQ(services.services_size(), 1);
  }
  Apply("changes { delete_all {} }");
  while (watch->Read(&services)) {
  }
  EXPECT_THAT(Faults(watch->Finish()), ElementsAre("SERVICE_NOT_FOUND key")) << "it has gone";
  for (const char* interval : {"99", "3600001"}) {
    grpc::ClientContext wrong_context;
    const auto wrong = stub_->WatchStatistics(
        &wrong_context, Parse<v1::WatchStatisticsRequest>(std::string("interval_ms: ") + interval));
    EXPECT_FALSE(wrong->Read(&services));
    EXPECT_THAT(Faults(wrong->Finish()), ElementsAre("OUT_OF_RANGE_VALUE interval_ms"));
  }
  grpc::ClientContext zero_context, missing_context;
  v1::ZeroStatisticsResponse zeroed;
  EXPECT_TRUE(stub_->ZeroStatistics(&zero_context, {}, &zeroed).ok());
  const grpc::Status missing =
      stub_->ZeroStatistics(&missing_context, Parse<v1::ZeroStatisticsRequest>("key " + key_), &zeroed);
  EXPECT_THAT(Faults(missing), ElementsAre("SERVICE_NOT_FOUND key"));
}

TEST_F(RpcTest, ConnectionsAreFilteredAndFlushed) {
  Start();
  Apply(Service(80));
  const auto list = [&](const std::string& text) {
    grpc::ClientContext context;
    const auto reader = stub_->ListConnections(&context, Parse<v1::ListConnectionsRequest>(text));
    v1::ListConnectionsResponse response;
    EXPECT_FALSE(reader->Read(&response)) << "there are none";
    return reader->Finish();
  };
  EXPECT_TRUE(list("service " + key_ + " client_prefix: '10.0.0.0/8' state: 'UDP'").ok());
  EXPECT_THAT(Faults(list("client_prefix: '10.0.0.1/8' destination: 'x' state: 'y'")),
              ElementsAre("INVALID_VALUE client_prefix", "INVALID_VALUE destination", "INVALID_VALUE state"));
  EXPECT_THAT(Faults(list("service { protocol: TCP address: '10.99.0.2' port: 80 }")),
              ElementsAre("SERVICE_NOT_FOUND service"));
  const auto flush = [&](const std::string& text) {
    grpc::ClientContext context;
    v1::FlushConnectionsResponse response;
    return stub_->FlushConnections(&context, Parse<v1::FlushConnectionsRequest>(text), &response);
  };
  EXPECT_TRUE(flush("service " + key_).ok());
  EXPECT_THAT(Faults(flush("service { protocol: UDP address: '10.99.0.1' port: 80 }")),
              ElementsAre("SERVICE_NOT_FOUND service"));
  EXPECT_EQ(Faults(flush("")).size(), 2u) << "no service is named";
}

TEST_F(RpcTest, ExplainsEveryOutcome) {
  Start();
  const std::string flow =
      "protocol: TCP source_address: '10.0.0.7' source_port: 4711 destination_address: '10.99.0.1' ";
  const auto outcome = [&](int port) {
    return Explain(flow + "destination_port: " + std::to_string(port)).outcome();
  };
  EXPECT_EQ(outcome(80), v1::ExplainResponse::LEFT_TO_KERNEL) << "there is no service";
  Apply(
      Service(80) + Service(81, "destinations { address: '10.1.0.1' port: 8080 method: NAT weight: 0 }") +
      Service(82, "destinations { address: '10.1.0.1' port: 8080 method: NAT } deny_sources: '10.0.0.0/24'") +
      Service(83,
              "destinations { address: '10.1.0.1' port: 8080 method: NAT } destinations { address: "
              "'10.1.0.2' port: 8080 method: FULLNAT }"));
  EXPECT_EQ(outcome(80), v1::ExplainResponse::REFUSED) << "no real server";
  EXPECT_EQ(outcome(81), v1::ExplainResponse::REFUSED) << "drained";
  EXPECT_EQ(outcome(82), v1::ExplainResponse::REFUSED) << "the source is denied";
  const v1::ExplainResponse explained = Explain(flow + "destination_port: 83");
  EXPECT_EQ(explained.outcome(), v1::ExplainResponse::REFUSED) << "full NAT without a local address";
  EXPECT_THAT(explained.steps(explained.steps_size() - 1), HasSubstr("--add-laddr"));
  EXPECT_EQ(explained.scheduler(), "rr");
  EXPECT_EQ(explained.service().port(), 83u);
  ASSERT_EQ(explained.candidates_size(), 2);
  EXPECT_TRUE(explained.candidates(0).chosen() && !explained.candidates(1).chosen());
  EXPECT_EQ(explained.candidates(0).address(), "10.1.0.2") << "the newest is the first";
  Apply("changes { add_local_address { address: '10.2.0.1' } }");
  EXPECT_EQ(outcome(83), v1::ExplainResponse::DROPPED) << "this host has no route";
  grpc::ClientContext context;
  v1::ExplainResponse response;
  EXPECT_THAT(Faults(stub_->Explain(&context,
                                    Parse<v1::ExplainRequest>(
                                        "source_address: 'x' destination_address: '::1' source_port: 65536"),
                                    &response)),
              ElementsAre("INVALID_VALUE protocol", "INVALID_VALUE source_address",
                          "OUT_OF_RANGE_VALUE source_port"));
}

TEST_F(RpcTest, WithoutTheKernelNobodyElseForwards) {
  Start({"--kernel-ipvs", "off"});
  const std::optional<v1::GetInfoResponse> info = Info();
  EXPECT_FALSE(info->kernel_mirror().on());
  EXPECT_EQ(info->kernel_mirror().why_off(), "--kernel-ipvs=off");
  EXPECT_TRUE(info->kernel_mirror().steering());
  grpc::ClientContext release, takeover, start, stop;
  v1::ReleaseResponse released;
  v1::TakeoverResponse taken;
  v1::StartSyncDaemonResponse started;
  v1::StopSyncDaemonResponse stopped;
  for (const grpc::Status& status :
       {stub_->Release(&release, {}, &released), stub_->Takeover(&takeover, {}, &taken),
        stub_->StartSyncDaemon(&start, {}, &started)}) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
    EXPECT_THAT(status.error_message(), HasSubstr("--kernel-ipvs=off"));
  }
  EXPECT_THAT(Faults(stub_->StopSyncDaemon(&stop, {}, &stopped)), ElementsAre("DAEMON_NOT_RUNNING "));
  EXPECT_TRUE(Info()->kernel_mirror().steering()) << "nothing has changed";
}

TEST_F(RpcTest, TooManyStreamsAreRefused) {
  Start({"--max-streams", "3"});
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::WatchConfigResponse>>> watchers;
  v1::WatchConfigResponse told;
  for (int i = 0; i < 3; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    watchers.push_back(stub_->WatchConfig(contexts.back().get(), {}));
    ASSERT_TRUE(watchers.back()->Read(&told));
  }
  grpc::ClientContext context;
  const auto refused = stub_->WatchConfig(&context, {});
  EXPECT_FALSE(refused->Read(&told));
  const grpc::Status status = refused->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("--max-streams"));
  EXPECT_EQ(Apply(Service(80)).generation(), 1u) << "everything else goes on";
  EXPECT_EQ(Info()->refused_requests(), 1u);
  EXPECT_EQ(Info()->streams(), 3u);
  contexts[0]->TryCancel();
  const Clock::time_point end = Clock::now() + std::chrono::seconds(30);
  while (Info()->streams() > 2 && Clock::now() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  grpc::ClientContext free_context;
  const auto watch = stub_->WatchConfig(&free_context, {});
  EXPECT_TRUE(watch->Read(&told)) << "one has gone";
  free_context.TryCancel();
  for (const auto& each : contexts) each->TryCancel();
}

// Streams of reflection that say nothing, each on a thread.
TEST_F(RpcTest, ReflectionHasNoMoreStreamsThanOthers) {
  Start({"--max-streams", "3"});
  constexpr int kStreams = 90;
  grpc::CompletionQueue queue;
  std::vector<std::unique_ptr<grpc::GenericStub>> stubs;
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::GenericClientAsyncReaderWriter>> calls;
  std::vector<grpc::Status> statuses(kStreams);
  for (int i = 0; i < kStreams; ++i) {
    stubs.push_back(std::make_unique<grpc::GenericStub>(Connect()));
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    calls.push_back(stubs.back()->PrepareCall(
        contexts.back().get(), "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue));
    calls.back()->StartCall(nullptr);
    calls.back()->Finish(&statuses[static_cast<size_t>(i)], &statuses[static_cast<size_t>(i)]);
  }
  const Clock::time_point end = Clock::now() + std::chrono::seconds(60);
  std::optional<v1::GetInfoResponse> info;
  while ((!info || info->refused_requests() + 3 < 60) && Clock::now() < end) {
    info = Info();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  ASSERT_TRUE(info) << "threads are left for the rest";
  EXPECT_EQ(info->streams(), 3u);
  EXPECT_EQ(Apply(Service(80)).generation(), 1u);
  for (const auto& each : contexts) each->TryCancel();
  int finished = 0;
  void* tag = nullptr;
  for (bool ok = false; finished < kStreams && queue.Next(&tag, &ok);) finished += tag != nullptr;
  while ((info = Info()) && info->streams() > 0 && Clock::now() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(info->streams(), 0u) << "their places are free again";
  queue.Shutdown();
  for (bool ok = false; queue.Next(&tag, &ok);) continue;
}

// It holds a thread, and nothing else: nobody waits for it, and what it misses is not kept for it.
TEST_F(RpcTest, AWatcherThatDoesNotReadHarmsNobody) {
  Start();
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  std::vector<std::unique_ptr<v1::Sluice::Stub>> stubs;
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::WatchConfigResponse>>> watchers;
  for (int i = 0; i < 8; ++i) {
    channels.push_back(Connect());
    stubs.push_back(v1::Sluice::NewStub(channels.back()));
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    watchers.push_back(stubs.back()->WatchConfig(contexts.back().get(), {}));
  }
  std::string servers;
  for (int i = 1; i <= 200; ++i)
    servers += "destinations { address: '10.1.0." + std::to_string(i) + "' port: 80 method: NAT } ";
  Apply(Service(80, servers));
  const size_t before = ResidentBytes();
  constexpr int kChanges = 3000;  // three times what is remembered, some 60 MB for those who listen
  for (int i = 1; i <= kChanges; ++i)
    Apply(Service(80, servers + (i % 2 == 0 ? "drain_seconds: 7" : "drain_seconds: 8")));
  EXPECT_LT(ResidentBytes() - before, size_t{200} << 20);
  // The one that reads at last is where everybody is, by a whole configuration.
  v1::WatchConfigResponse told;
  int read = 0;
  bool caught_up_by_whole = false;
  while (told.diff().generation() < kChanges + 1 && watchers[0]->Read(&told)) {
    caught_up_by_whole |= read > 0 && told.whole();
    ++read;
  }
  EXPECT_EQ(told.diff().generation(), static_cast<uint64_t>(kChanges + 1));
  EXPECT_TRUE(caught_up_by_whole);
  EXPECT_LT(read, kChanges);
  for (const auto& each : contexts) each->TryCancel();
}

TEST_F(RpcTest, TooManyRequestsAreRefused) {
  Start({"--max-requests-per-second", "100"});
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  int refused = 0;
  const Clock::time_point end = Clock::now() + std::chrono::seconds(30);
  while (refused == 0 && Clock::now() < end) {
    grpc::ClientContext context;
    v1::GetInfoResponse response;
    const grpc::Status status = stub_->GetInfo(&context, {}, &response);
    if (status.ok()) continue;
    ++refused;
    EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_THAT(status.error_message(), HasSubstr("--max-requests-per-second"));
  }
  EXPECT_EQ(refused, 1);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_GE(Info()->refused_requests(), 1u) << "those who wait are served again";
}

TEST_F(RpcTest, ARequestThatIsTooLargeIsRefused) {
  Start();
  v1::ApplyRequest request;
  request.add_changes()->mutable_put_service()->mutable_service()->set_scheduler(std::string(257 << 20, 'x'));
  grpc::ClientContext context;
  v1::ApplyResponse response;
  EXPECT_EQ(stub_->Apply(&context, request, &response).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(Apply(Service(80)).generation(), 1u);
}

}  // namespace
}  // namespace sluice
