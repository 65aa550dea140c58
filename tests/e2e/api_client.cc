// The API for tests, from a command line:
//   api_client SERVER info                      GetInfo as JSON
//   api_client SERVER health                    what gRPC's health service says: "serving"
//   api_client SERVER reflect                   whether reflection lists sluice.v1.Sluice
//   api_client SERVER apply JSON                one ApplyRequest; the answer as JSON
//   api_client SERVER load SERVICES SERVERS     so many services from 10.100.0.0 on, port 80 UDP and TCP,
//   with so
//                                               many real servers each; prints how many ms it took
//   api_client SERVER churn RATE SECONDS VIP SERVER...
//                                               configuration changes at a rate that must hurt nobody; prints
//                                               how many, and how long they took until the workers used them
// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/util/json_util.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "sluice/v1/sluice.grpc.pb.h"

namespace sluice {
namespace {

using Stub = v1::Sluice::Stub;

int Print(const grpc::Status& status, const google::protobuf::Message& message) {
  if (!status.ok()) {
    std::fprintf(stderr, "%d: %s\n", status.error_code(), status.error_message().c_str());
    return 1;
  }
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  std::string text;
  (void)google::protobuf::util::MessageToJsonString(message, &text, options);
  std::printf("%s\n", text.c_str());
  return 0;
}

grpc::Status Apply(Stub& stub, const v1::ApplyRequest& request, v1::ApplyResponse& response) {
  grpc::ClientContext context;
  return stub.Apply(&context, request, &response);
}

v1::ServiceKey Key(const std::string& address, uint32_t port) {
  v1::ServiceKey key;
  key.set_protocol(v1::TCP);
  key.set_address(address);
  key.set_port(port);
  return key;
}

v1::Change PutServer(const v1::ServiceKey& service, const std::string& address, uint32_t port,
                     uint32_t weight) {
  v1::Change change;
  *change.mutable_put_destination()->mutable_service() = service;
  v1::Destination& destination = *change.mutable_put_destination()->mutable_destination();
  destination.set_address(address);
  destination.set_port(port);
  destination.set_method(v1::NAT);
  destination.set_weight(weight);
  return change;
}

// Services come and go, weights change, servers that get no traffic are added and removed.
v1::ApplyRequest ChurnRequest(int i, const std::string& vip, const std::vector<std::string>& servers) {
  v1::ApplyRequest request;
  const v1::ServiceKey served = Key(vip, 80);
  const v1::ServiceKey other = Key(vip, 8000 + static_cast<uint32_t>(i / 5 % 50));
  switch (i % 5) {
    case 0:
      *request.add_changes() = PutServer(served, servers[static_cast<size_t>(i / 5) % servers.size()], 80,
                                         1 + static_cast<uint32_t>(i) % 7);
      break;
    case 1: *request.add_changes() = PutServer(served, "10.65.0.99", 80, 0); break;
    case 2: *request.add_changes()->mutable_put_service()->mutable_service()->mutable_key() = other; break;
    case 3: {
      v1::DeleteDestination& gone = *request.add_changes()->mutable_delete_destination();
      *gone.mutable_service() = served;
      gone.set_address("10.65.0.99");
      gone.set_port(80);
      break;
    }
    case 4: *request.add_changes()->mutable_delete_service()->mutable_key() = other; break;
  }
  return request;
}

std::string AddressText(uint32_t number) {
  return absl::StrCat(number >> 24, ".", number >> 16 & 255, ".", number >> 8 & 255, ".", number & 255);
}

int Load(Stub& stub, uint32_t services, uint32_t servers) {
  constexpr uint32_t kFirstService = 10u << 24 | 100u << 16;
  constexpr uint32_t kFirstServer = 10u << 24 | 128u << 16;
  v1::ApplyRequest request;
  for (uint32_t i = 0; i < services * 2; ++i) {
    v1::PutService& put = *request.add_changes()->mutable_put_service();
    put.set_replace_destinations(true);
    *put.mutable_service()->mutable_key() = Key(AddressText(kFirstService + i / 2), 80);
    put.mutable_service()->mutable_key()->set_protocol(i % 2 == 0 ? v1::UDP : v1::TCP);
    for (uint32_t server = 0; server < servers; ++server) {
      v1::Destination& destination = *put.mutable_service()->add_destinations();
      destination.set_address(AddressText(kFirstServer + i / 2 * servers + server));
      destination.set_port(80);
      destination.set_method(v1::NAT);
      destination.set_weight(1);
    }
  }
  v1::ApplyResponse response;
  const auto begin = std::chrono::steady_clock::now();
  const grpc::Status status = Apply(stub, request, response);
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
  if (!status.ok()) return Print(status, response);
  std::printf("%.1f\n", took.count());
  return 0;
}

int Churn(Stub& stub, int rate, int seconds, const std::string& vip,
          const std::vector<std::string>& servers) {
  using Clock = std::chrono::steady_clock;
  const auto pause = std::chrono::microseconds(1'000'000 / rate);
  Clock::time_point next = Clock::now();
  uint64_t first_generation = 0;
  v1::ApplyResponse response;
  std::vector<double> took;
  for (int i = 0; i < rate * seconds; ++i) {
    const auto begin = Clock::now();
    const grpc::Status status = Apply(stub, ChurnRequest(i, vip, servers), response);
    if (!status.ok()) return Print(status, response);
    took.push_back(std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
    if (i == 0) first_generation = response.generation();
    std::this_thread::sleep_until(next += pause);
  }
  std::sort(took.begin(), took.end());
  std::printf("%d changes, %d generations; ms: p50 %.2f p99 %.2f most %.2f\n", rate * seconds,
              static_cast<int>(response.generation() - first_generation + 1), took[took.size() / 2],
              took[took.size() * 99 / 100], took.back());
  return 0;
}

// The health service's messages, by hand: an empty request; the answer's field 1 is the status, 1: serving.
int Health(const std::string& server) {
  grpc::GenericStub stub(grpc::CreateChannel(server, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  const grpc::Slice nothing;
  const auto call =
      stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check", grpc::ByteBuffer(&nothing, 1), &queue);
  grpc::ByteBuffer response;
  grpc::Status status;
  call->StartCall();
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  grpc::Slice bytes;
  if (!status.ok() || !response.TrySingleSlice(&bytes).ok()) return std::fputs("no answer\n", stderr), 1;
  const bool serving = bytes.size() == 2 && bytes.begin()[0] == 8 && bytes.begin()[1] == 1;
  std::printf("%s\n", serving ? "serving" : "not serving");
  return 0;
}

// The names of the services that reflection lists.
int Reflect(const std::string& server) {
  grpc::GenericStub stub(grpc::CreateChannel(server, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  const auto call =
      stub.PrepareCall(&context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
  void* tag = nullptr;
  bool ok = false;
  call->StartCall(nullptr);
  queue.Next(&tag, &ok);
  const grpc::Slice request("\x3a\x01*");  // list_services: "*"
  call->Write(grpc::ByteBuffer(&request, 1), nullptr);
  queue.Next(&tag, &ok);
  grpc::ByteBuffer response;
  call->Read(&response, nullptr);
  queue.Next(&tag, &ok);
  grpc::Slice bytes;
  if (!ok || !response.TrySingleSlice(&bytes).ok()) return std::fputs("no answer\n", stderr), 1;
  const std::string text(reinterpret_cast<const char*>(bytes.begin()), bytes.size());
  std::printf("%s\n", text.find("sluice.v1.Sluice") == std::string::npos ? "no sluice.v1.Sluice"
                                                                         : "sluice.v1.Sluice");
  context.TryCancel();
  return 0;
}

int Main(const std::vector<std::string>& arguments) {
  if (arguments.size() < 2)
    return std::fputs("api_client SERVER info|health|reflect|apply|churn ...\n", stderr), 2;
  grpc::ChannelArguments channel;
  channel.SetMaxReceiveMessageSize(-1);  // what a large configuration changed is told in as many lines
  const auto stub = v1::Sluice::NewStub(
      grpc::CreateCustomChannel(arguments[0], grpc::InsecureChannelCredentials(), channel));
  if (arguments[1] == "info") {
    grpc::ClientContext context;
    v1::GetInfoResponse response;
    const grpc::Status status = stub->GetInfo(&context, {}, &response);
    return Print(status, response);
  }
  if (arguments[1] == "health") return Health(arguments[0]);
  if (arguments[1] == "reflect") return Reflect(arguments[0]);
  if (arguments[1] == "apply" && arguments.size() == 3) {
    v1::ApplyRequest request;
    const auto parsed = google::protobuf::util::JsonStringToMessage(arguments[2], &request);
    if (!parsed.ok()) return std::fprintf(stderr, "%s\n", std::string(parsed.message()).c_str()), 2;
    v1::ApplyResponse response;
    const grpc::Status status = Apply(*stub, request, response);
    return Print(status, response);
  }
  uint32_t services = 0;
  uint32_t servers = 0;
  if (arguments[1] == "load" && arguments.size() == 4 && absl::SimpleAtoi(arguments[2], &services) &&
      absl::SimpleAtoi(arguments[3], &servers)) {
    return Load(*stub, services, servers);
  }
  int rate = 0;
  int seconds = 0;
  if (arguments[1] == "churn" && arguments.size() > 5 && absl::SimpleAtoi(arguments[2], &rate) &&
      absl::SimpleAtoi(arguments[3], &seconds)) {
    return Churn(*stub, rate, seconds, arguments[4], {arguments.begin() + 5, arguments.end()});
  }
  return std::fputs("api_client: wrong arguments\n", stderr), 2;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::Main(std::vector<std::string>(argv + 1, argv + argc)); }
