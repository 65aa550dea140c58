// What comes from outside over other ways than packets: requests, configuration files, rules and command
// lines, state files. Random ones, most of them nearly right. Nothing crashes; what is refused changes
// nothing; what is accepted can be kept, restored and said again.
//   control_fuzz [SECONDS [SEED]]
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>
#include <sched.h>
#include <stdlib.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "control/config_file.h"
#include "control/config_store.h"
#include "control/connection_filter.h"
#include "control/validate.h"
#include "dataplane/net/check.h"
#include "tests/support/store_rig.h"
#include "tools/sluiceadm/change.h"
#include "tools/sluiceadm/print.h"
#include "tools/sluiceadm/rules.h"

namespace sluice {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

class Fuzz {
 public:
  explicit Fuzz(uint32_t seed) : random_(seed) {
    char name[] = "/dev/shm/control_fuzz.XXXXXX";  // a disk would wait for each state file
    SLUICE_CHECK(mkdtemp(name) != nullptr);
    folder_ = name;
  }
  ~Fuzz() { std::filesystem::remove_all(folder_); }

  void Round() {
    ++rounds_;
    switch (Below(9)) {
      case 0: return TryFile();
      case 1: return TryRules();
      case 2: return TryState();
      case 3: return TryQuestion();
      default: return TryRequest();
    }
  }
  void Report() const {
    std::printf(
        "requests: %lu accepted, %lu refused; files: %lu read, %lu not; rules: %lu right, %lu wrong; state "
        "files: %lu whole, "
        "%lu without their end, %lu set aside\n",
        accepted_, refused_, read_, unread_, right_, wrong_, whole_, cut_, aside_);
    constexpr uint64_t kEnoughForEach = 1000;  // a slow machine, with a sanitizer, may not come so far
    if (rounds_ < kEnoughForEach) return;
    SLUICE_CHECK(accepted_ > 0 && refused_ > 0 && read_ > 0 && unread_ > 0 && right_ > 0 && wrong_ > 0 &&
                 whole_ > 0 && cut_ > 0 && aside_ > 0);
  }

 private:
  uint32_t Below(uint32_t bound) { return random_() % bound; }
  template <class T>
  T OneOf(std::initializer_list<T> choices) {
    return *(choices.begin() + Below(static_cast<uint32_t>(choices.size())));
  }
  std::string Word() {
    return OneOf<std::string>({"",
                               "10.99.0.1",
                               "10.99.0.2",
                               "10.1.0.1",
                               "10.1.0.2",
                               "fd00:99::1",
                               "fd00:b::1",
                               "0.0.0.0",
                               "::",
                               "255.255.255.255",
                               "10.99.0.0/24",
                               "10.0.0.0/8",
                               "fd00::/16",
                               "255.255.255.0",
                               "64",
                               "rr",
                               "wlc",
                               "mh",
                               "sh",
                               "best",
                               "sip",
                               "eth0",
                               "10.99.0.1/33",
                               "nonsense\n\xff",
                               std::string(300, 'x')});
  }
  uint64_t Number() {
    return OneOf<uint64_t>({0, 1, 2, 3, 7, 53, 80, 360, 65535, 65536, 2147483647, 2147483648, 4294967295});
  }

  // Something in a message becomes something else.
  void Mutate(Message& message, int depth = 0) {
    const auto* descriptor = message.GetDescriptor();
    const auto* reflection = message.GetReflection();
    if (descriptor->field_count() == 0) return;
    const FieldDescriptor* field =
        descriptor->field(static_cast<int>(Below(static_cast<uint32_t>(descriptor->field_count()))));
    if (Below(8) == 0) return reflection->ClearField(&message, field);
    const bool add = field->is_repeated() && (reflection->FieldSize(message, field) == 0 || Below(3) == 0);
    const int at = field->is_repeated() && !add
                       ? static_cast<int>(Below(static_cast<uint32_t>(reflection->FieldSize(message, field))))
                       : 0;
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE: {
        Message* inner = !field->is_repeated() ? reflection->MutableMessage(&message, field)
                         : add                 ? reflection->AddMessage(&message, field)
                                               : reflection->MutableRepeatedMessage(&message, field, at);
        for (uint32_t i = 0; i < 1 + Below(4) && depth < 6; ++i) Mutate(*inner, depth + 1);
        break;
      }
      case FieldDescriptor::CPPTYPE_STRING:
        !field->is_repeated() ? reflection->SetString(&message, field, Word())
        : add                 ? reflection->AddString(&message, field, Word())
                              : reflection->SetRepeatedString(&message, field, at, Word());
        break;
      case FieldDescriptor::CPPTYPE_UINT32:
        reflection->SetUInt32(&message, field, static_cast<uint32_t>(Number()));
        break;
      case FieldDescriptor::CPPTYPE_UINT64: break;  // the expected generation: hardly ever right
      case FieldDescriptor::CPPTYPE_BOOL: reflection->SetBool(&message, field, Below(2) == 0); break;
      case FieldDescriptor::CPPTYPE_ENUM: {
        const int value = OneOf({0, 1, 2, 3, 4, 5, 6, 10, 17, 132});
        !field->is_repeated() ? reflection->SetEnumValue(&message, field, value)
        : add                 ? reflection->AddEnumValue(&message, field, value)
                              : reflection->SetRepeatedEnumValue(&message, field, at, value);
        break;
      }
      default: break;
    }
  }

  std::string Mangle(std::string bytes) {
    for (uint32_t i = 0; i < Below(4) && !bytes.empty(); ++i) {
      const size_t at = Below(static_cast<uint32_t>(bytes.size()));
      switch (Below(4)) {
        case 0: bytes[at] = static_cast<char>(random_()); break;
        case 1: bytes.resize(at); break;
        case 2: bytes.erase(at, Below(9)); break;
        default: bytes.insert(at, bytes.substr(Below(static_cast<uint32_t>(bytes.size())), Below(40))); break;
      }
    }
    return bytes;
  }

  void TryRequest() {
    v1::ApplyRequest request;
    SLUICE_CHECK(google::protobuf::TextFormat::ParseFromString(
        OneOf<std::string>(
            {R"(changes { put_service { service { key { protocol: TCP address: "10.99.0.1" port: 80 } scheduler: "rr" } } })",
             R"(changes { put_service { replace_destinations: true service { key { protocol: UDP address: "fd00:99::1" port: 53 }
                 destinations { address: "fd00:b::1" port: 53 method: NAT } } } })",
             R"(changes { put_destination { service { protocol: TCP address: "10.99.0.1" port: 80 }
                 destination { address: "10.1.0.1" port: 80 method: NAT } } })",
             R"(changes { delete_service { key { protocol: TCP address: "10.99.0.1" port: 80 } } })",
             R"(changes { add_fwmark_rule { fwmark: 7 prefix: "10.99.0.0/24" } } changes { put_service { service { key { fwmark: 7 family: IPV4 } } } })",
             R"(changes { replace_owned { config { services { key { protocol: TCP address: "10.99.0.2" port: 80 }
                 destinations { address: "10.1.0.1" port: 80 method: TUN } } timeouts { udp_seconds: 9 } } } })",
             "changes { delete_all {} }"}),
        &request));
    for (uint32_t i = 0; i < Below(5); ++i) Mutate(request);
    if (Below(8) == 0) {
      const std::string bytes = Mangle(request.SerializeAsString());
      if (!request.ParseFromString(bytes)) return;
    }
    const std::string before = rig_->store.Config().SerializeAsString();
    const auto applied = rig_->store.Apply(request);
    ++(applied.ok() ? accepted_ : refused_);
    if (!applied.ok() || request.dry_run()) {
      SLUICE_CHECK(rig_->store.Config().SerializeAsString() == before);
      SLUICE_CHECK(applied.ok() || RefusalsOf(applied.status()).refusals_size() > 0);
      return;
    }
    if (Below(50) == 0) SayAgain();
    if (Below(2000) == 0) rig_ = std::make_unique<StoreRig>();
  }

  // What is configured can be restored from disk, and from rules.
  void SayAgain() {
    const v1::GetConfigResponse config = rig_->store.Config();
    if (config.generation() == 0) return;
    v1::ConfigDiff record;
    record.set_generation(config.generation());
    record.set_has_global(true);
    *record.mutable_config() = config.config();
    StoreRig other;
    const absl::Status restored = other.store.Restore(record);
    if (!restored.ok()) std::fprintf(stderr, "%s\n", std::string(restored.message()).c_str());
    SLUICE_CHECK(restored.ok());
    v1::Config again = other.store.Config().config();
    SLUICE_CHECK(again.services_size() == config.config().services_size());
    for (int i = 0; i < again.services_size(); ++i)
      SLUICE_CHECK(again.services(i).SerializeAsString() == config.config().services(i).SerializeAsString());
    std::istringstream rules(PrintRules(config.config(), {.numeric = true, .complete = true}));
    const Rules parsed = ParseRules("sluiceadm", rules, false);
    if (parsed.error)
      std::fprintf(stderr, "line %d: %s\n%s", parsed.error_line, parsed.error->message.c_str(),
                   rules.str().c_str());
    SLUICE_CHECK(!parsed.error);
  }

  void TryFile() {
    std::string text;
    google::protobuf::util::JsonPrintOptions options;
    options.add_whitespace = Below(2) == 0;
    const v1::Config config = rig_->store.Config().config();
    if (Below(2) == 0) {
      google::protobuf::TextFormat::PrintToString(config, &text);
    } else {
      SLUICE_CHECK(google::protobuf::util::MessageToJsonString(config, &text, options).ok());
    }
    const auto file = ConfigFile::Parse("f", Mangle(text));
    ++(file.ok() ? read_ : unread_);
    SLUICE_CHECK(file.ok() || file.status().message().find("f:") == 0);
    if (!file.ok()) return;
    v1::ApplyRequest request = file->request();
    request.set_dry_run(true);
    if (const auto applied = rig_->store.Apply(request); !applied.ok())
      SLUICE_CHECK(file->Explain(applied.status()).message().find("f:") == 0);
  }

  void TryRules() {
    std::string text =
        PrintRules(rig_->store.Config().config(), {.numeric = Below(2) == 0, .complete = Below(2) == 0});
    text += OneOf<std::string>({"-L -n --stats\n", "-Z\n", "ipvsadm -A -t 1.2.3.4:5 -p -M 24\n",
                                "-a -f 7 -r x -i --tun-type gue\n", "-e -t [::1]:80 -r [::2]:80 -m -w -1\n",
                                "--set 1 2\n", "-A -t 10.0.0.1:80 -s rr -s rr\n", ""});
    std::istringstream stream(Mangle(text));
    const Rules rules = ParseRules("ipvsadm", stream, Below(2) == 0);
    ++(rules.error ? wrong_ : right_);
    SLUICE_CHECK(!rules.error || (!rules.error->message.empty() && rules.error->status != 0));
    for (const Command& command : rules.commands) ChangeOf(command);
  }

  void TryState() {
    const std::string path = folder_ + "/state";
    const auto whole = [&] {
      v1::ConfigDiff record;
      const v1::GetConfigResponse config = rig_->store.Config();
      record.set_generation(config.generation() + 1);
      record.set_has_global(true);
      *record.mutable_config() = config.config();
      return record;
    };
    {
      StateFile::Loaded loaded;
      const auto file = StateFile::Open(path, loaded);
      SLUICE_CHECK(file.ok());
      for (int i = 0; i < 3; ++i) SLUICE_CHECK((*file)->Append({whole()}, whole).ok());
    }
    std::stringstream bytes;
    bytes << std::ifstream(path, std::ios::binary).rdbuf();
    std::ofstream(path, std::ios::binary) << Mangle(bytes.str());
    StateFile::Loaded loaded;
    SLUICE_CHECK(StateFile::Open(path, loaded).ok());
    const bool is_used = loaded.whole.generation() > 0;
    SLUICE_CHECK(is_used || !loaded.damage.empty());
    ++(!is_used ? aside_ : loaded.damage.empty() ? whole_ : cut_);
    for (const auto& entry : std::filesystem::directory_iterator(folder_))
      std::filesystem::remove(entry.path());
  }

  std::mt19937 random_;
  std::string folder_;
  // Filters of connections, and packets to explain: what is accepted can be used.
  void TryQuestion() {
    v1::ListConnectionsRequest listing;
    v1::ExplainRequest packet;
    for (int i = 0; i < 3; ++i) {
      Mutate(listing);
      Mutate(packet);
    }
    Problems problems;
    if (const auto filter = ConnectionFilter::Make(listing, problems); filter) (void)filter->Admits({});
    SLUICE_CHECK(ValidateFlow(packet, problems).has_value() || problems.Any());
  }

  std::unique_ptr<StoreRig> rig_ = std::make_unique<StoreRig>();
  uint64_t rounds_ = 0;
  uint64_t accepted_ = 0, refused_ = 0, read_ = 0, unread_ = 0, right_ = 0, wrong_ = 0, whole_ = 0, cut_ = 0,
           aside_ = 0;
};

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  // Names are looked up where there is nobody to ask, or each would wait for an answer.
  (void)unshare(CLONE_NEWNET);
  const int seconds = argc > 1 ? std::atoi(argv[1]) : 10;
  sluice::Fuzz fuzz(argc > 2 ? static_cast<uint32_t>(std::atoi(argv[2])) : 1);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (std::chrono::steady_clock::now() < end) fuzz.Round();
  fuzz.Report();
}
