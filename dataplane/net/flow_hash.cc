// SPDX-License-Identifier: Apache-2.0
#include "dataplane/net/flow_hash.h"

#include <sys/random.h>

#include "dataplane/net/check.h"

namespace sluice {

HashSecret HashSecret::Random() {
  HashSecret secret;
  SLUICE_CHECK(getrandom(&secret, sizeof secret, 0) == static_cast<ssize_t>(sizeof secret));
  secret.words[3] |= 1;  // a zero factor would hash everything to zero
  return secret;
}

}  // namespace sluice
