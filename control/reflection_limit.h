// Makes reflection's streams take a place, as ours do; those beyond are cancelled.
// Threads: gRPC's.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/support/server_interceptor.h>

#include <memory>

#include "control/stream_places.h"

namespace sluice {

// For ServerBuilder. `places` must outlive the server.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> ReflectionLimit(StreamPlaces& places);

}  // namespace sluice
