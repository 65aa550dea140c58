// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/reflector.h"

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/kubernetes/list_reader.h"
#include "control/kubernetes/object_rules.h"
#include "control/printable.h"

namespace sluice::kubernetes {
namespace {

using namespace std::chrono_literals;

constexpr int kPage = 500;
// Policy of all limits below: the list or watch ends with an error, and what is known stays.
constexpr size_t kMostObjects = 500'000;
constexpr int kMostPages = kMostObjects / kPage;
constexpr size_t kMostRefused = 10'000;
constexpr size_t kLargestList = size_t{512} << 20;
constexpr size_t kMostElements = 5'000'000;
// A page may take long on a slow line, but not for ever.
constexpr Limits kListLimits{60s, 600s};
constexpr Limits kQuestionLimits{10s, 10s};
// A watch that lived as long has worked, and is taken up again at once.
constexpr auto kShortestWatch = 1s;
constexpr auto kKnownFor = 300s;
constexpr auto kSayAgainAfter = 300s;
constexpr size_t kLongestReason = 500;

template <class Object>
constexpr const char* kListKind = "";
template <>
constexpr const char* kListKind<ServiceObject> = "ServiceList";
template <>
constexpr const char* kListKind<SliceObject> = "EndpointSliceList";
template <>
constexpr const char* kListKind<NodeObject> = "NodeList";

ApiStatus StatusOf(const ApiClient::Answer& answer) {
  ApiStatus status;
  JsonReader json(answer.body);
  if (answer.body.starts_with('{')) Read(json, status);
  return status;
}

bool IsJson(std::string_view text) {
  JsonReader json(text);
  json.Skip();
  return json.ok() && json.AtEnd();
}

}  // namespace

template <class Object>
struct Reflector<Object>::Listing {
  std::vector<Object> objects;
  std::string version;  // the first page's: nothing after it is missed
  std::string rest;     // names the next page
  size_t bytes = 0;
  size_t elements = 0;  // of all objects' arrays
  size_t refused = 0;

  bool IsTooLarge() const {
    return bytes > kLargestList || elements > kMostElements || objects.size() > kMostObjects ||
           refused > kMostRefused;
  }
};

template <class Object>
void Reflector<Object>::Run() {
  bool lists = true;
  while (!client_.is_stopped()) {
    const Outcome outcome = lists ? List() : Watch();
    lists = outcome == Outcome::kList || (outcome == Outcome::kAgain && lists);
    if (outcome == Outcome::kDone) continue;
    ++counts_.errors;
    known_until_ = {};
    Wait(Pause());
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
  Listing list;
  for (int page = 0; page < kMostPages; ++page) {
    const Outcome outcome = ListPage(list);
    if (outcome != Outcome::kDone) return outcome;
    if (list.rest.empty()) return Adopt(list);
  }
  return Failed(Outcome::kAgain, absl::StrCat("list: it has no end after ", kMostPages, " pages"));
}

template <class Object>
typename Reflector<Object>::Outcome Reflector<Object>::ListPage(Listing& list) {
  std::string path = Path();
  if (uses_pages_) absl::StrAppend(&path, "limit=", kPage, "&");
  if (!list.rest.empty()) {
    absl::StrAppend(&path, Query("continue", list.rest));
  } else if (!wants_newest_ && version_.empty()) {
    // What the server has in its memory will do.
    absl::StrAppend(&path, "resourceVersion=0");
  } else if (!wants_newest_) {
    // Without the match a page would be of exactly this version, which may be gone.
    absl::StrAppend(&path, "resourceVersionMatch=NotOlderThan&", Query("resourceVersion", version_));
  }
  ListReader reader(kListKind<Object>, [&](std::string_view text) {
    JsonReader json(text);
    Object object;
    Read(json, object);
    list.elements += json.elements();
    const std::string fault = json.ok() ? FaultOf(object.name) : json.error();
    if (!fault.empty()) return ++list.refused, RefuseObject(fault);
    list.objects.push_back(std::move(object));
  });
  const ApiClient::Answer answer = client_.Get(path, kListLimits, [&](std::string_view bytes) {
    list.bytes += bytes.size();
    return !list.IsTooLarge() && reader.Add(bytes);
  });
  if (!answer.ok()) {
    // The rest of the pages is gone: then all at once.
    if (answer.code == 410 && !list.rest.empty()) uses_pages_ = false;
    return Refused(answer, "list");
  }
  if (list.IsTooLarge())
    return Failed(Outcome::kAgain, absl::StrCat("list: larger than ", kMostObjects, " objects, ",
                                                kMostRefused, " wrong ones or ", kLargestList >> 20, " MiB"));
  const absl::StatusOr<ListMeta> meta = reader.Finish();
  if (!meta.ok())
    return Failed(Outcome::kAgain, absl::StrCat("list: ", absl::string_view(meta.status().message())));
  if (!meta->rest.empty() && meta->rest == list.rest)
    return Failed(Outcome::kAgain, "list: its continue token is the same again");
  if (list.version.empty()) list.version = meta->version;
  list.rest = meta->rest;
  return Outcome::kDone;
}

template <class Object>
typename Reflector<Object>::Outcome Reflector<Object>::Adopt(Listing& list) {
  if (!wants_newest_ && IsOlderVersion(list.version, version_)) {
    wants_newest_ = true;
    return Failed(Outcome::kAgain, absl::StrCat("list: version ", list.version, " is older than ", version_,
                                                ", which was asked for"));
  }
  wants_newest_ = false;
  uses_pages_ = true;
  version_ = list.version;
  known_until_ = std::chrono::steady_clock::now() + kKnownFor;
  cluster_.Replace(std::move(list.objects));
  return Outcome::kDone;
}

template <class Object>
typename Reflector<Object>::Outcome Reflector<Object>::Watch() {
  ++counts_.watches;
  const auto begin = std::chrono::steady_clock::now();
  outcome_ = Outcome::kDone;
  events_of_watch_ = 0;
  const int seconds = 300 + static_cast<int>(random_() % 300);
  // libcurl sends no pings on a connection with a request under way. So a silent watch is given up and taken
  // up again from where it was, which costs the server little and loses nothing; spread out, for all nodes
  // began together.
  const std::chrono::seconds silence =
      silence_ + std::chrono::seconds(random_() % (silence_.count() / 3 + 1));
  std::string part;
  size_t looked_at = 0;
  const ApiClient::Answer answer =
      client_.Get(absl::StrCat(Path(), "watch=1&allowWatchBookmarks=true&timeoutSeconds=", seconds, "&",
                               Query("resourceVersion", version_)),
                  {silence, std::chrono::seconds(seconds) + 30s}, [&](std::string_view bytes) {
                    part.append(bytes);
                    size_t begin_of_line = 0;
                    for (size_t end = part.find('\n', looked_at); end != std::string::npos;
                         end = part.find('\n', begin_of_line)) {
                      if (!Take(std::string_view(part).substr(begin_of_line, end - begin_of_line)))
                        return false;
                      begin_of_line = end + 1;
                    }
                    part.erase(0, begin_of_line);
                    looked_at = part.size();
                    if (part.size() <= kLargestObject) return true;
                    outcome_ = Failed(Outcome::kList, "watch: an event is larger than 8 MiB");
                    return false;
                  });
  if (outcome_ != Outcome::kDone) return outcome_;
  if (answer.code != 200) return Refused(answer, "watch");
  return WatchEnded(answer, std::chrono::steady_clock::now() - begin);
}

template <class Object>
typename Reflector<Object>::Outcome Reflector<Object>::WatchEnded(const ApiClient::Answer& answer,
                                                                  std::chrono::steady_clock::duration lived) {
  if (lived < kShortestWatch) {
    if (events_of_watch_ > 0) backoff_.Reset();
    return Failed(Outcome::kAgain,
                  absl::StrCat("watch: it ended at once", answer.error.empty() ? "" : ": ", answer.error));
  }
  backoff_.Reset();
  said_.clear();
  if (!answer.ok() && !answer.is_silent) known_until_ = {};
  if (events_of_watch_ > 0 || IsKnown()) return Outcome::kDone;
  wants_newest_ = true;
  return Failed(Outcome::kList, absl::StrCat("watch: the server does not know version ", version_, " yet"));
}

template <class Object>
bool Reflector<Object>::Take(std::string_view line) {
  if (line.find_first_not_of(" \t\r") == std::string_view::npos) return true;
  absl::StatusOr<EventOf<Object>> event = ReadEvent<Object>(line);
  if (!event.ok()) return TakeFault(line, "", std::string(event.status().message()));
  if (event->type == "ERROR") return TakeError(event->status);
  Object& object = event->object;
  const bool is_bookmark = event->type == "BOOKMARK";
  const bool is_there = event->type == "ADDED" || event->type == "MODIFIED";
  const bool is_gone = event->type == "DELETED";
  if (!is_bookmark && !is_there && !is_gone) return TakeFault(line, event->type, "a type that nobody knows");
  const std::string fault = is_bookmark ? std::string() : FaultOf(object.name);
  if (!fault.empty()) return TakeFault(line, event->type, fault);
  const bool is_older = IsOlderVersion(object.version, version_);
  // Old servers delete with the object's last version.
  if (is_older && !is_gone) {
    wants_newest_ = true;
    outcome_ =
        Failed(Outcome::kList, absl::StrCat("watch: version ", object.version, " came after ", version_));
    return false;
  }
  ++events_of_watch_;
  ++counts_.events;
  known_until_ = std::chrono::steady_clock::now() + kKnownFor;
  if (!object.version.empty() && !is_older) version_ = object.version;
  if (is_gone) {
    cluster_.Delete(object);
  } else if (is_there && cluster_.Count<Object>() >= kMostObjects) {
    RefuseObject(absl::StrCat("there are ", kMostObjects, " already"));
  } else if (is_there) {
    cluster_.Put(std::move(object));
  }
  return true;
}

// One object that breaks the rules holds up no other; text that is not even JSON makes all of the watch
// doubtful.
template <class Object>
bool Reflector<Object>::TakeFault(std::string_view line, const std::string& type, const std::string& what) {
  if (IsJson(line) && type != "DELETED") {
    RefuseObject(what);
    return true;
  }
  outcome_ = Failed(Outcome::kList, absl::StrCat("watch: ", what));
  return false;
}

template <class Object>
bool Reflector<Object>::TakeError(const ApiStatus& status) {
  wants_newest_ |= status.is_too_large;
  const bool is_too_old = status.code == 410;
  outcome_ = Failed(is_too_old || status.is_too_large ? Outcome::kList : Outcome::kAgain,
                    absl::StrCat("watch: ", Printable(status.message, kLongestReason)));
  return false;
}

template <class Object>
typename Reflector<Object>::Outcome Reflector<Object>::Refused(const ApiClient::Answer& answer,
                                                               const char* what) {
  retry_after_seconds_ = std::max(0, answer.retry_after_seconds);
  const Outcome outcome = Failed(Outcome::kAgain, absl::StrCat(what, ": ", answer.Describe()));
  if (answer.code == 400 && uses_fields_ && !collection_.fields.empty()) {
    uses_fields_ = false;  // we look for ourselves, too
    return Outcome::kList;
  }
  const bool is_watch = what == std::string_view("watch");
  const bool is_too_large = StatusOf(answer).is_too_large;
  if (answer.code != 410 && !is_too_large) return outcome;
  // Too old for a watch may be new enough for a list.
  wants_newest_ |= is_too_large || !is_watch;
  return Outcome::kList;
}

template <class Object>
typename Reflector<Object>::Outcome Reflector<Object>::Failed(Outcome outcome, const std::string& what) {
  Say(what);
  return outcome;
}

template <class Object>
void Reflector<Object>::RefuseObject(const std::string& what) {
  ++counts_.refused;
  Say(absl::StrCat("an object is left out: ", what));
}

template <class Object>
bool Reflector<Object>::IsKnown() {
  if (std::chrono::steady_clock::now() < known_until_) return true;
  const ApiClient::Answer answer = client_.Get(
      absl::StrCat(Path(), "limit=1&resourceVersionMatch=NotOlderThan&", Query("resourceVersion", version_)),
      kQuestionLimits);
  if (answer.code == 200) known_until_ = std::chrono::steady_clock::now() + kKnownFor;
  return !StatusOf(answer).is_too_large;
}

template <class Object>
std::chrono::milliseconds Reflector<Object>::Pause() {
  const std::chrono::milliseconds asked_for = std::chrono::seconds(std::exchange(retry_after_seconds_, 0));
  if (asked_for == 0ms) return backoff_.Next();
  return asked_for + std::chrono::milliseconds(random_() % static_cast<uint64_t>(asked_for.count()));
}

template <class Object>
void Reflector<Object>::Wait(std::chrono::milliseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (!client_.is_stopped() && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(50ms);
}

// Each trouble once, and now and then while it lasts.
template <class Object>
void Reflector<Object>::Say(const std::string& what) {
  const auto now = std::chrono::steady_clock::now();
  if (client_.is_stopped() || (what == said_ && now - said_at_ < kSayAgainAfter)) return;
  said_ = what;
  said_at_ = now;
  std::fprintf(stderr, "sluice-kube: %s: %s\n", collection_.path.c_str(), what.c_str());
}

template class Reflector<ServiceObject>;
template class Reflector<SliceObject>;
template class Reflector<NodeObject>;

}  // namespace sluice::kubernetes
