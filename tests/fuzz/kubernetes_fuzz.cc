// What an API server, a kubeconfig or kube-proxy's configuration file may say: objects of conformance.txt and files,
// with something in them changed. Nothing crashes; what could be read is served the same way twice, and brought to
// sluiced in changes that end.
//   kubernetes_fuzz CASES [SECONDS [SEED]]
// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "control/kubernetes/cluster.h"
#include "control/kubernetes/kube_options.h"
#include "control/kubernetes/list_reader.h"
#include "control/kubernetes/program.h"
#include "control/kubernetes/virtual_services.h"
#include "dataplane/net/check.h"

namespace sluice::kubernetes {
namespace {

constexpr char kConfiguration[] =
    "kind: KubeProxyConfiguration\nmode: ipvs\nipvs:\n  scheduler: rr\n  excludeCIDRs: [10.9.0.0/16, "
    "fd00::/64]\n"
    "  tcpTimeout: 2h3m\n  syncPeriod: 30s\nclusterCIDR: 10.1.0.0/16\nnodePortAddresses: "
    "[192.168.0.0/16]\noomScoreAdj: -1\n";

class Fuzz {
 public:
  Fuzz(const char* cases, uint32_t seed) : random_(seed) {
    std::ifstream file(cases);
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with("Service ")) services_.push_back(line.substr(8));
      if (line.starts_with("EndpointSlice ")) slices_.push_back(line.substr(14));
    }
    SLUICE_CHECK(services_.size() > 50 && slices_.size() > 50);
    policy_.node_name = "test-node";
    policy_.node_port_addresses = {{"192.168.1.10", false}, {"2001:db8:1::10", true}};
  }

  void Round() {
    switch (Below(8)) {
      case 0: return TryList();
      case 1: return TryConfiguration();
      default: return TryCluster();
    }
  }
  void Report() const {
    std::printf("objects: %lu read, %lu not; virtual services: %lu; files: %lu right, %lu wrong\n", read_,
                unread_, made_, right_, wrong_);
    SLUICE_CHECK(read_ > 0 && unread_ > 0 && made_ > 0 && right_ > 0 && wrong_ > 0);
  }

 private:
  uint32_t Below(size_t bound) { return static_cast<uint32_t>(random_() % bound); }
  const std::string& One(const std::vector<std::string>& of) { return of[Below(of.size())]; }

  std::string Mutated(std::string text) {
    static const std::vector<std::string> words = {
        "null",        "{}",          "[]",          "-1",          "65536",          "99999999999999999999",
        "1e9",         "\"\"",        "\"None\"",    "\"fd00::1\"", "\"10.96.0.10\"", "true",
        "{\"a\":[1]}", "\"\\ud800\"", "\"\\u0000\"", "\"UDP\"",     "\"Local\"",      "\"ClientIP\"",
        "[\"::\"]",    "\xff"};
    for (uint32_t times = Below(4); times > 0 && !text.empty(); --times) {
      const size_t at = Below(text.size());
      switch (Below(6)) {
        case 0: text.erase(at, Below(8)); break;
        case 1: text.resize(at); break;
        case 2: text[at] = static_cast<char>(random_()); break;
        case 3: text.insert(at, text.substr(Below(text.size()), Below(40))); break;
        default: {  // the value of a field becomes another
          const size_t colon = text.find(':', at);
          if (colon == std::string::npos) break;
          const size_t end = text.find_first_of(",}]", colon);
          text.replace(colon + 1, end == std::string::npos ? end : end - colon - 1, One(words));
        }
      }
    }
    return text;
  }

  template <class Object>
  bool Parse(const std::string& text, Object& object) {
    JsonReader json(text);
    Read(json, object);
    const bool is_whole = json.ok() && json.AtEnd();
    ++(is_whole ? read_ : unread_);
    return is_whole;
  }

  void TryCluster() {
    Cluster cluster;
    cluster.Replace(std::vector<ServiceObject>());
    cluster.Replace(std::vector<SliceObject>());
    for (uint32_t i = Below(6); i > 0; --i) {
      ServiceObject service;
      SliceObject slice;
      if (Parse(Mutated(One(services_)), service))
        Below(5) == 0 ? cluster.Delete(service) : cluster.Put(service);
      if (Parse(Mutated(One(slices_)), slice)) Below(5) == 0 ? cluster.Delete(slice) : cluster.Put(slice);
    }
    policy_.is_local_policy_compatible = Below(2) == 0;
    Program program;
    for (int times = 0; times < 2; ++times) {
      for (const ObjectName& name : cluster.ServiceNames()) {
        cluster.Look(name, [&](const ServiceObject& service, std::span<const SliceObject* const> slices) {
          Translation translation = Translate(service, slices, policy_);
          made_ += translation.services.size();
          program.Want(name, std::move(translation.services), translation.leaving);
        });
      }
      size_t changes = 0;
      for (size_t more = program.NextChanges(5).size(); more > 0; more = program.NextChanges(5).size()) {
        changes += more;
        program.Taken();
      }
      SLUICE_CHECK(times == 0 || changes == 0);
    }
  }

  void TryList() {
    std::string text = R"({"kind":"ServiceList","metadata":{"resourceVersion":"7","continue":"x"},"items":[)";
    for (uint32_t i = Below(4); i > 0; --i) text += One(services_) + (i > 1 ? "," : "");
    const std::string list = Mutated(text + "]}");
    ListReader reader("ServiceList", [&](std::string_view object) {
      ServiceObject service;
      Parse(std::string(object), service);
    });
    for (size_t at = 0, size = 0; at < list.size(); at += size) {
      size = 1 + Below(200);
      if (!reader.Add(std::string_view(list).substr(at, size))) break;
    }
    ++(reader.Finish().ok() ? read_ : unread_);
    const auto event =
        ReadEvent<SliceObject>(Mutated(R"({"type":")" + std::string(Below(3) == 0 ? "ERROR" : "ADDED") +
                                       R"(","object":)" + One(slices_) + "}"));
    ++(event.ok() ? read_ : unread_);
  }

  void TryConfiguration() {
    KubeOptions options;
    ++(ReadProxyConfiguration(Mutated(kConfiguration), options).ok() ? right_ : wrong_);
  }

  std::minstd_rand random_;
  std::vector<std::string> services_, slices_;
  NodePolicy policy_;
  uint64_t read_ = 0, unread_ = 0, made_ = 0, right_ = 0, wrong_ = 0;
};

}  // namespace
}  // namespace sluice::kubernetes

int main(int argc, char** argv) {
  if (argc < 2) return std::fputs("kubernetes_fuzz CASES [SECONDS [SEED]]\n", stderr), 2;
  const double seconds = argc > 2 ? std::atof(argv[2]) : 10;
  const uint32_t seed = argc > 3 ? static_cast<uint32_t>(std::atoi(argv[3])) : std::random_device{}();
  std::printf("seed %u\n", seed);
  std::fflush(stdout);
  sluice::kubernetes::Fuzz fuzz(argv[1], seed);
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (std::chrono::steady_clock::now() < end) fuzz.Round();
  fuzz.Report();
  return 0;
}
