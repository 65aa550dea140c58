// The feed beside a stand-in for sluiced: refusals, and others who change what is Kubernetes', hold up
// nothing.
// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/feed.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <set>
#include <thread>

namespace sluice::kubernetes {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class StandIn final : public v1::Sluice::Service {
 public:
  grpc::Status GetInfo(grpc::ServerContext*, const v1::GetInfoRequest*,
                       v1::GetInfoResponse* response) override {
    const MutexLock lock(mutex_);
    response->set_generation(generation_);
    return grpc::Status::OK;
  }
  grpc::Status GetConfig(grpc::ServerContext*, const v1::GetConfigRequest*,
                         v1::GetConfigResponse* response) override {
    const MutexLock lock(mutex_);
    ++reads_;
    for (const auto& [key, service] : services_) *response->mutable_config()->add_services() = service;
    response->mutable_config()->mutable_settings()->set_expire_nodest_conn(true);
    response->mutable_config()->mutable_settings()->set_expire_quiescent_template(true);
    response->set_generation(generation_);
    return grpc::Status::OK;
  }
  grpc::Status Apply(grpc::ServerContext*, const v1::ApplyRequest* request,
                     v1::ApplyResponse* response) override {
    const MutexLock lock(mutex_);
    ++requests_;
    v1::Refusals refusals;
    for (int i = 0; i < request->changes_size(); ++i) {
      if (!bad_.contains(request->changes(i).put_service().service().key().address())) continue;
      v1::Refusal& refusal = *refusals.add_refusals();
      refusal.set_field("changes[" + std::to_string(i) + "].put_service.service");
      refusal.set_message("cannot be\nhad");
    }
    if (refusals.refusals_size() > 0) {
      // Only the first is told.
      refusals.set_left_out(static_cast<uint64_t>(refusals.refusals_size() - 1));
      refusals.mutable_refusals()->DeleteSubrange(1, refusals.refusals_size() - 1);
      return {grpc::StatusCode::FAILED_PRECONDITION, "refused",
              tells_refusals_ ? refusals.SerializeAsString() : ""};
    }
    for (const v1::Change& change : request->changes()) {
      if (change.has_put_service()) {
        services_[VirtualKey::Of(change.put_service().service().key())] = change.put_service().service();
      } else {
        services_.erase(VirtualKey::Of(change.delete_service().key()));
      }
      response->add_changed("something");
    }
    response->set_generation(++generation_);
    return grpc::Status::OK;
  }
  grpc::Status ListServices(grpc::ServerContext*, const v1::ListServicesRequest*,
                            v1::ListServicesResponse*) override {
    return grpc::Status::OK;
  }
  grpc::Status WatchConfig(grpc::ServerContext* context, const v1::WatchConfigRequest* request,
                           grpc::ServerWriter<v1::WatchConfigResponse>* writer) override {
    if (!can_be_watched_) return {grpc::StatusCode::RESOURCE_EXHAUSTED, "too many"};
    for (uint64_t told = request->after_generation(); !context->IsCancelled();) {
      std::this_thread::sleep_for(10ms);
      v1::WatchConfigResponse news;
      {
        const MutexLock lock(mutex_);
        if (generation_ == told) continue;
        told = generation_;
      }
      news.mutable_diff()->set_generation(told);
      writer->Write(news);
    }
    return grpc::Status::OK;
  }

  void Wipe() {
    const MutexLock lock(mutex_);
    services_.clear();
    ++generation_;
  }
  std::set<std::string> Addresses() const {
    const MutexLock lock(mutex_);
    std::set<std::string> addresses;
    for (const auto& [key, service] : services_) addresses.insert(key.address);
    return addresses;
  }
  size_t requests() const {
    const MutexLock lock(mutex_);
    return requests_;
  }

  // How often the whole configuration was read.
  size_t reads() const {
    const MutexLock lock(mutex_);
    return reads_;
  }

  std::set<std::string> bad_;  // addresses that are refused
  bool tells_refusals_ = true;
  bool can_be_watched_ = true;

 private:
  mutable Mutex mutex_;
  std::map<VirtualKey, v1::Service> services_ ABSL_GUARDED_BY(mutex_);
  uint64_t generation_ ABSL_GUARDED_BY(mutex_) = 5;
  size_t requests_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t reads_ ABSL_GUARDED_BY(mutex_) = 0;
};

class FeedTest : public testing::Test {
 protected:
  FeedTest() {
    char folder[] = "/tmp/sluice-feed-XXXXXX";
    folder_ = mkdtemp(folder);
    options_.local_addresses = [this]() -> std::optional<std::vector<LocalInterfaceAddress>> {
      if (!can_read_addresses_) return std::nullopt;
      return std::vector<LocalInterfaceAddress>{{"eth0", *ParseAddress("192.168.1.10")}};
    };
    cluster_.Replace(std::vector<SliceObject>(1, Slice()));
  }
  ~FeedTest() override {
    if (feed_ != nullptr) feed_->Stop();
    if (running_.joinable()) running_.join();
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
    std::filesystem::remove_all(folder_);
  }

  static SliceObject Slice() {
    SliceObject slice;
    slice.name = {"ns1", "s-1"};
    slice.service = "s1";
    slice.ports = {{"", v1::TCP, 8080}};
    slice.endpoints.emplace_back().address = "10.1.0.1";
    return slice;
  }
  static ServiceObject Numbered(int i) {
    ServiceObject service;
    service.name = {"ns1", "s" + std::to_string(i)};
    service.uid = std::to_string(i);
    service.cluster_ips = {"10.96.0." + std::to_string(i)};
    service.ports = {{"", v1::TCP, 80, 0}};
    return service;
  }
  static std::vector<ServiceObject> Many(int count) {
    std::vector<ServiceObject> services;
    for (int i = 1; i <= count; ++i) services.push_back(Numbered(i));
    return services;
  }
  void Start() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + folder_ + "/s", grpc::InsecureServerCredentials());
    builder.RegisterService(&sluiced_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    feed_ = std::make_unique<Feed>(
        options_,
        v1::Sluice::NewStub(
            grpc::CreateChannel("unix:" + folder_ + "/s", grpc::InsecureChannelCredentials())),
        cluster_, metrics_, [](const std::map<ObjectName, LocalHealth>&) {},
        [this](const ObjectName& name, const std::string&, const char* reason, const std::string& what) {
          const MutexLock lock(mutex_);
          complaints_.push_back(name.name + " " + reason + " " + what);
        });
    running_ = std::thread([this] { feed_->Run(); });
  }
  static bool WaitUntil(const std::function<bool()>& holds) {
    for (const auto end = std::chrono::steady_clock::now() + 20s; std::chrono::steady_clock::now() < end;
         std::this_thread::sleep_for(10ms)) {
      if (holds()) return true;
    }
    return holds();
  }
  bool Has(size_t count) {
    return WaitUntil([&] { return sluiced_.Addresses().size() == count; });
  }
  std::vector<std::string> Complaints() {
    const MutexLock lock(mutex_);
    return complaints_;
  }

  std::string folder_;
  FeedOptions options_;
  std::atomic<bool> can_read_addresses_{true};
  Cluster cluster_;
  KubeMetrics metrics_;
  StandIn sluiced_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Feed> feed_;
  std::thread running_;
  Mutex mutex_;
  std::vector<std::string> complaints_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(FeedTest, OnesThatAreRefusedHoldUpNoOther) {
  sluiced_.tells_refusals_ = false;
  for (const int i : {7, 8, 90}) sluiced_.bad_.insert("10.96.0." + std::to_string(i));
  cluster_.Replace(Many(100));
  Start();
  EXPECT_TRUE(Has(97)) << sluiced_.Addresses().size();
  ASSERT_TRUE(WaitUntil([&] { return metrics_.left_out.load() == 3; }));
  EXPECT_THAT(Complaints(), testing::UnorderedElementsAre(
                                HasSubstr("s7 RefusedBySluiced TCP 10.96.0.7 port 80 is left out"),
                                HasSubstr("s8 RefusedBySluiced"), HasSubstr("s90 RefusedBySluiced")));
  EXPECT_LT(sluiced_.requests(), 60u);
}

TEST_F(FeedTest, RefusalsThatAreToldInPartAreAllFound) {
  for (const int i : {7, 8, 90}) sluiced_.bad_.insert("10.96.0." + std::to_string(i));
  cluster_.Replace(Many(100));
  Start();
  EXPECT_TRUE(Has(97)) << sluiced_.Addresses().size();
  ASSERT_TRUE(WaitUntil([&] { return metrics_.left_out.load() == 3; }));
  EXPECT_THAT(Complaints(), testing::Contains(HasSubstr("cannot be\\x0ahad")));
  EXPECT_LT(sluiced_.requests(), 60u);
}

// Somebody's "ipvsadm -C", with no word from sluiced: the next answer of our own tells of it.
TEST_F(FeedTest, AWipeBetweenOurChangesIsRepaired) {
  sluiced_.can_be_watched_ = false;
  cluster_.Replace(Many(10));
  Start();
  ASSERT_TRUE(Has(10));
  std::this_thread::sleep_for(500ms);
  EXPECT_EQ(sluiced_.reads(), 1u) << "nothing but the answer can tell";
  sluiced_.Wipe();
  cluster_.Put(Numbered(11));
  EXPECT_TRUE(Has(11)) << sluiced_.Addresses().size();
  EXPECT_EQ(sluiced_.reads(), 2u);
}

TEST_F(FeedTest, AWipeIsSeenAtOnceAndRepaired) {
  options_.sync_period = 1h;
  cluster_.Replace(Many(10));
  Start();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(Has(10)) << i;
    sluiced_.Wipe();
  }
  EXPECT_TRUE(Has(10));
}

TEST_F(FeedTest, AddressesThatCannotBeReadAreNotGone) {
  std::vector<ServiceObject> services = Many(2);
  services[0].type = "NodePort";
  services[0].ports[0].node_port = 30080;
  cluster_.Replace(services);
  can_read_addresses_ = false;
  Start();
  ASSERT_TRUE(WaitUntil([&] { return metrics_.failed_applies.load() > 0; }));
  EXPECT_TRUE(sluiced_.Addresses().empty()) << "no part of the picture before all of it is known";
  can_read_addresses_ = true;
  ASSERT_TRUE(Has(3));
  can_read_addresses_ = false;
  cluster_.Put(Numbered(3));
  ASSERT_TRUE(WaitUntil([&] { return sluiced_.Addresses().contains("10.96.0.3"); }));
  EXPECT_TRUE(sluiced_.Addresses().contains("192.168.1.10"));
}

TEST_F(FeedTest, WhoLosesAnAddressIsToldOnce) {
  std::vector<ServiceObject> services = Many(2);
  services[0].external_ips = {"10.96.0.2"};
  cluster_.Replace(services);
  Start();
  ASSERT_TRUE(WaitUntil([&] { return metrics_.lost_claims.load() == 1; }));
  cluster_.Put(Numbered(3));
  ASSERT_TRUE(Has(3));
  EXPECT_THAT(Complaints(), testing::ElementsAre(
                                "s1 AddressConflict TCP 10.96.0.2 port 80: service ns1/s2 has it; it is not "
                                "served here"));
}

}  // namespace
}  // namespace sluice::kubernetes
