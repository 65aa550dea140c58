// HttpPage is a page as HTTP carries it.
// Threads: a value.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace sluice {

struct HttpPage {
  int status = 200;
  std::string text;
  std::string type = "text/plain; version=0.0.4; charset=utf-8";
  std::string headers;  // more of them, each with its end of line
};

}  // namespace sluice
