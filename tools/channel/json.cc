// SPDX-License-Identifier: Apache-2.0
#include "tools/channel/json.h"

#include <google/protobuf/util/json_util.h>

#include <cstdio>
#include <string>

namespace sluice {

void PrintJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.always_print_primitive_fields = false;
  std::string text;
  if (google::protobuf::util::MessageToJsonString(message, &text, options).ok())
    std::fputs(text.c_str(), stdout);
}

}  // namespace sluice
