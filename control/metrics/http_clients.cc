// SPDX-License-Identifier: Apache-2.0
#include "control/metrics/http_clients.h"

#include <netinet/in.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

using Client = std::array<unsigned char, 8>;

// A client is an address of IPv4, or a /64 of IPv6: a host has all of that.
Client ClientOf(const sockaddr_storage& peer) {
  Client client{};
  if (peer.ss_family == AF_INET6) {
    const in6_addr& address = reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr;
    const bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(&address);
    std::memcpy(client.data(), is_ipv4 ? &address.s6_addr[12] : &address.s6_addr[0], is_ipv4 ? 4 : 8);
  } else {
    std::memcpy(client.data(), &reinterpret_cast<const sockaddr_in&>(peer).sin_addr, 4);
  }
  return client;
}

}  // namespace

HttpClients::Served& HttpClients::Add(uint64_t id, int socket, const sockaddr_storage& peer,
                                      std::shared_ptr<HttpSite> site, Clock::time_point now) {
  const Client client = ClientOf(peer);
  const auto of_client = count_of_.find(client);
  if (of_client != count_of_.end() && of_client->second >= limits_.connections_of_client)
    Evict(kTooManyOfClient, [&](const Served& each) { return each.client == client; });
  if (served_.size() >= limits_.connections) Evict(kTooMany, nullptr);
  Served& added = served_[id];
  added.connection = std::make_unique<HttpConnection>(socket, limits_.deadlines, now);
  added.site = std::move(site);
  added.client = client;
  added.events = added.connection->Events();
  ++count_of_[client];
  ++accepted_;
  open_.store(served_.size());
  return added;
}

HttpClients::Served* HttpClients::Find(uint64_t id) {
  const auto found = served_.find(id);
  return found == served_.end() ? nullptr : &found->second;
}

void HttpClients::Remove(uint64_t id) {
  if (const auto found = served_.find(id); found != served_.end()) Remove(found);
}

HttpClients::Table::iterator HttpClients::Remove(Table::iterator found) {
  if (const auto client = count_of_.find(found->second.client); --client->second == 0)
    count_of_.erase(client);
  const auto next = served_.erase(found);
  open_.store(served_.size());
  return next;
}

void HttpClients::RemoveAll() {
  while (!served_.empty()) Remove(served_.begin());
}

// A null `is_candidate` means all of them.
void HttpClients::Evict(Drop reason, const std::function<bool(const Served&)>& is_candidate) {
  const auto worth = [](const Served& each) {
    return std::make_pair(each.connection->phase(), each.connection->since());
  };
  auto worst = served_.end();
  for (auto each = served_.begin(); each != served_.end(); ++each) {
    if (is_candidate && !is_candidate(each->second)) continue;
    if (worst == served_.end() || worth(each->second) < worth(worst->second)) worst = each;
  }
  if (worst == served_.end()) return;
  Count(reason);
  Remove(worst);
}

void HttpClients::EndLate(Clock::time_point now) {
  for (auto each = served_.begin(); each != served_.end();) {
    const HttpConnection& connection = *each->second.connection;
    const HttpConnection::Phase phase = connection.phase();
    const bool is_late = connection.deadline() <= now;
    if (is_late && (phase == HttpConnection::Phase::kAsking || phase == HttpConnection::Phase::kTaking))
      Count(kTooSlow);
    each = is_late ? Remove(each) : std::next(each);
  }
}

void HttpClients::EndOfClosedSites() {
  for (auto each = served_.begin(); each != served_.end();)
    each = each->second.site->IsClosed() ? Remove(each) : std::next(each);
}

void HttpClients::BoundPageBytes() {
  while (true) {
    size_t bytes = 0, takers = 0;
    for (const auto& [id, each] : served_) {
      bytes += each.connection->held_bytes();
      takers += each.connection->held_bytes() > 0;
    }
    if (bytes <= limits_.page_bytes || takers <= 1) return;
    Evict(kTooManyBytes, [](const Served& each) { return each.connection->held_bytes() > 0; });
  }
}

std::string HttpClients::Metrics() const {
  std::string page = absl::StrCat(
      "# HELP sluice_http_connections Connections of clients that ask for pages.\n"
      "# TYPE sluice_http_connections gauge\nsluice_http_connections ",
      open_.load(),
      "\n# HELP sluice_http_connections_total Connections that were accepted.\n"
      "# TYPE sluice_http_connections_total counter\nsluice_http_connections_total ",
      accepted_.load(),
      "\n# HELP sluice_http_dropped_connections_total Connections that were ended, by reason.\n"
      "# TYPE sluice_http_dropped_connections_total counter\n");
  constexpr const char* kReasons[] = {"too_many", "too_many_of_client", "too_many_bytes", "too_slow",
                                      "no_descriptors"};
  static_assert(std::size(kReasons) == kDropCount);
  for (size_t i = 0; i < kDropCount; ++i)
    absl::StrAppend(&page, "sluice_http_dropped_connections_total{reason=\"", kReasons[i], "\"} ",
                    dropped_[i].load(), "\n");
  return page;
}

}  // namespace sluice
