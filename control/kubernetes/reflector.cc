// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/reflector.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"

namespace sluice::kubernetes {
namespace {

using namespace std::chrono_literals;

constexpr int kPage = 500;
constexpr auto kPatience = 60s;  // with a page of a list
constexpr size_t kLongestEvent = size_t{64} << 20;
// A watch that was as short, and brought nothing, has failed.
constexpr auto kShortestWatch = 1s;

}  // namespace

std::chrono::milliseconds Backoff::Next() {
  const Clock::time_point now = Clock::now();
  if (now - last_ > kForgotten) Reset();
  last_ = now;
  const std::chrono::milliseconds delay = delay_;
  delay_ = std::min(delay_ * 2, kLongest);
  return delay + std::chrono::milliseconds(random_() % static_cast<uint64_t>(delay.count()));
}

template <class Object>
void Reflector<Object>::Run() {
  Outcome next = Outcome::kListAgain;
  while (!client_.is_stopped()) {
    if (next == Outcome::kListNewest) wants_newest_ = true;
    const bool lists = next != Outcome::kGoOn;
    next = lists ? List() : Watch();
    if (next != Outcome::kTryLater) continue;
    ++counts_.errors;
    Wait(wait_seconds_ >= 0 ? std::chrono::seconds(wait_seconds_) : backoff_.Next());
    wait_seconds_ = -1;
    // What is known stays, and is gone on from, if there is anything.
    next = lists || version_.empty() ? Outcome::kListAgain : Outcome::kGoOn;
  }
}

template <class Object>
std::string Reflector<Object>::Path() const {
  std::string path = absl::StrCat(collection_.path, "?");
  if (!collection_.selector.empty())
    absl::StrAppend(&path, Query("labelSelector", collection_.selector), "&");
  if (uses_fields_ && !collection_.fields.empty())
    absl::StrAppend(&path, Query("fieldSelector", collection_.fields), "&");
  return path;
}

template <class Object>
typename Reflector<Object>::Outcome Reflector<Object>::List() {
  ++counts_.lists;
  std::vector<Object> objects;
  std::string rest, version;
  do {
    std::string path = absl::StrCat(Path(), "limit=", kPage);
    if (!rest.empty()) {
      absl::StrAppend(&path, "&", Query("continue", rest));
    } else if (!wants_newest_) {
      // What the server has in its memory will do; but nothing older than what we know.
      absl::StrAppend(&path, "&", Query("resourceVersion", version_.empty() ? "0" : version_));
    }
    const ApiClient::Answer answer = client_.Get(path, kPatience);
    if (client_.is_stopped()) return Outcome::kTryLater;
    if (!answer.ok()) return Refused(answer, "list");
    absl::StatusOr<ListOf<Object>> page = ReadList<Object>(answer.body);
    if (!page.ok()) {
      Say(std::string(page.status().message()));
      return Outcome::kTryLater;
    }
    std::move(page->items.begin(), page->items.end(), std::back_inserter(objects));
    version = page->version;
    rest = page->rest;
  } while (!rest.empty());
  wants_newest_ = false;
  version_ = version;
  said_.clear();
  cluster_.Replace(std::move(objects));
  return version_.empty() ? Outcome::kTryLater : Outcome::kGoOn;
}

template <class Object>
typename Reflector<Object>::Outcome Reflector<Object>::Watch() {
  ++counts_.watches;
  const auto begin = std::chrono::steady_clock::now();
  outcome_ = Outcome::kGoOn;
  events_of_watch_ = 0;
  std::string part;
  size_t looked_at = 0;
  const ApiClient::Answer answer = client_.Watch(
      absl::StrCat(Path(), "watch=1&allowWatchBookmarks=true&timeoutSeconds=", 300 + random_() % 300, "&",
                   Query("resourceVersion", version_)),
      [&](std::string_view bytes) {
        part.append(bytes);
        size_t begin_of_line = 0;
        for (size_t end = part.find('\n', looked_at); end != std::string::npos;
             end = part.find('\n', begin_of_line)) {
          if (!Take(std::string_view(part).substr(begin_of_line, end - begin_of_line))) return false;
          begin_of_line = end + 1;
        }
        part.erase(0, begin_of_line);
        looked_at = part.size();
        return part.size() <= kLongestEvent;
      });
  if (outcome_ != Outcome::kGoOn) return outcome_;
  if (answer.code != 200) return Refused(answer, "watch");
  if (events_of_watch_ > 0) {
    backoff_.Reset();
    return Outcome::kGoOn;
  }
  if (!answer.error.empty() || std::chrono::steady_clock::now() - begin < kShortestWatch) {
    if (!answer.error.empty()) Say(answer.Describe());
    return Outcome::kTryLater;
  }
  return IsKnown() ? Outcome::kGoOn : Outcome::kListNewest;
}

template <class Object>
bool Reflector<Object>::Take(std::string_view line) {
  absl::StatusOr<EventOf<Object>> event = ReadEvent<Object>(line);
  if (!event.ok()) {
    Say(std::string(event.status().message()));
    outcome_ = Outcome::kListAgain;
    return false;
  }
  if (event->type == "ERROR") {
    Say(absl::StrCat("watch: ", event->status.message));
    outcome_ = event->status.is_too_large  ? Outcome::kListNewest
               : event->status.code == 410 ? Outcome::kListAgain
                                           : Outcome::kTryLater;
    return false;
  }
  ++events_of_watch_;
  ++counts_.events;
  if (!event->object.version.empty()) version_ = event->object.version;
  if (event->type == "ADDED" || event->type == "MODIFIED") {
    cluster_.Put(std::move(event->object));
  } else if (event->type == "DELETED") {
    cluster_.Delete(event->object);
  } else if (event->type != "BOOKMARK") {
    Say(absl::StrCat("an event of an unknown type, ", event->type));
  }
  return true;
}

template <class Object>
typename Reflector<Object>::Outcome Reflector<Object>::Refused(const ApiClient::Answer& answer,
                                                               const char* what) {
  if (client_.is_stopped()) return Outcome::kTryLater;
  Say(absl::StrCat(what, ": ", answer.Describe()));
  ApiStatus status;
  JsonReader json(answer.body);
  if (answer.body.starts_with('{')) Read(json, status);
  wait_seconds_ = answer.retry_after_seconds;
  if (answer.code == 400 && uses_fields_ && !collection_.fields.empty()) {
    uses_fields_ = false;  // we look for ourselves, too
    return Outcome::kListAgain;
  }
  if (answer.code == 410 || status.is_too_large) {
    const bool again = !wants_newest_;
    wants_newest_ = true;
    if (again) return Outcome::kListNewest;
  }
  return Outcome::kTryLater;
}

template <class Object>
bool Reflector<Object>::IsKnown() {
  const ApiClient::Answer answer = client_.Get(
      absl::StrCat(Path(), "limit=1&resourceVersionMatch=NotOlderThan&", Query("resourceVersion", version_)),
      kPatience);
  ApiStatus status;
  JsonReader json(answer.body);
  if (answer.body.starts_with('{')) Read(json, status);
  return !status.is_too_large;
}

template <class Object>
void Reflector<Object>::Wait(std::chrono::milliseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (!client_.is_stopped() && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(50ms);
}

// Each trouble once, until it is over.
template <class Object>
void Reflector<Object>::Say(const std::string& what) {
  if (client_.is_stopped() || what == said_) return;
  said_ = what;
  std::fprintf(stderr, "sluice-kube: %s: %s\n", collection_.path.c_str(), what.c_str());
}

template class Reflector<ServiceObject>;
template class Reflector<SliceObject>;
template class Reflector<NodeObject>;

}  // namespace sluice::kubernetes
