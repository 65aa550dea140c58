// SPDX-License-Identifier: Apache-2.0
#include "control/reflection_limit.h"

#include <grpcpp/server_context.h>

#include "absl/strings/match.h"

namespace sluice {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::Interceptor;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerRpcInfo;

// Lives as long as its call.
class PlaceOfReflection final : public Interceptor {
 public:
  PlaceOfReflection(StreamPlaces& places, grpc::ServerContextBase& context)
      : places_(places), context_(context) {}
  ~PlaceOfReflection() override {
    if (holds_) places_.GiveBack();
  }

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      holds_ = places_.Take();
      if (!holds_) context_.TryCancel();
    }
    methods->Proceed();
  }

 private:
  StreamPlaces& places_;
  grpc::ServerContextBase& context_;
  bool holds_ = false;
};

class ReflectionLimitFactory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit ReflectionLimitFactory(StreamPlaces& places) : places_(places) {}
  // Null for all other calls.
  Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override {
    if (!absl::StartsWith(info->method(), "/grpc.reflection.")) return nullptr;
    return new PlaceOfReflection(places_, *info->server_context());
  }

 private:
  StreamPlaces& places_;
};

}  // namespace

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> ReflectionLimit(StreamPlaces& places) {
  return std::make_unique<ReflectionLimitFactory>(places);
}

}  // namespace sluice
