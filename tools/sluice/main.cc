// sluice: what ipvsadm has no word for. See kUsage.
// SPDX-License-Identifier: Apache-2.0
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tools/sluice/commands.h"
#include "tools/sluice/doctor.h"
#include "tools/sluice/inspect.h"
#include "tools/sluice/probe.h"
#include "tools/sluice/switches.h"

namespace sluice {
namespace {

constexpr char kUsage[] =
    "sluice status                      health, ports, workers, the busiest services, what to look at\n"
    "sluice stats [--watch] [--top N]   services by packets a second\n"
    "sluice get                         the configuration, as JSON that apply takes\n"
    "sluice diff -f FILE|FOLDER         what apply would change; exit status 1 if anything\n"
    "sluice apply -f FILE|FOLDER        what the files say takes the place of what --owner (file, or cli) "
    "had;\n"
    "                                   all of it or, if anything is wrong, nothing\n"
    "sluice watch [--after GENERATION]  the configuration's changes, as they come\n"
    "sluice connections [SERVICE] [--client PREFIX] [--destination ADDRESS[:PORT]] [--state STATE]\n"
    "                                   those that all of it holds for\n"
    "sluice explain tcp|udp|sctp SOURCE:PORT DESTINATION:PORT\n"
    "                                   what would become of such a packet, step by step; none is sent\n"
    "sluice flush SERVICE               its connections are forgotten, and its persistent clients\n"
    "sluice drain --node [--undo]       /readyz says no (yes), so that others send this node nothing new\n"
    "sluice drain ADDRESS[:PORT] [--weight N]\n"
    "                                   a real server gets nothing new, in all services; --weight N: brings "
    "it back\n"
    "sluice release                     the kernel's IPVS forwards from now on, with the connections there "
    "are\n"
    "sluice takeover [--from kernel-ipvs [--owner cli|kubernetes]]\n"
    "                                   Sluice forwards again; with --from also the services that somebody "
    "else made there\n"
    "sluice drill [--revert-after 5s]   both, one after the other, and what came of it\n"
    "sluice doctor [--workers N] [--interface IF]... [--pci ADDRESS]...\n"
    "                                   what sluiced needs on this machine: kernel, permissions, memory, "
    "CPUs, interfaces,\n"
    "                                   PCI devices; what is wrong, and how to mend it; what a sluiced that "
    "runs says of\n"
    "                                   its ports. Changes nothing.\n"
    "\n"
    "SERVICE: tcp|udp|sctp ADDRESS:PORT, fwmark N, or fwmark6 N.\n"
    "--json: for programs. --server unix:PATH or ADDRESS:PORT: where sluiced listens; otherwise "
    "$SLUICE_SERVER "
    "or\n"
    "unix:/run/sluice/sluiced.sock. Over TCP the PEM files in $SLUICE_TLS_CA, $SLUICE_TLS_CERT and "
    "$SLUICE_TLS_KEY.\n"
    "Exit status: 0 done; 1 diff found differences, or doctor something bad; 2 wrong use or a file that "
    "cannot be read;\n"
    "3 refused by sluiced; 4 no sluiced answers.\n";

int Complain(const std::string& what) {
  std::fprintf(stderr, "sluice: %s\n\n%s", what.c_str(), kUsage);
  return kWrongUse;
}

// Whoever does not run has none.
std::vector<std::string> TroublesOfPorts(const std::string& server) {
  SluiceClient client(server);
  if (client.Check() != kDone) return {};
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(2));
  v1::GetInfoResponse info;
  std::vector<std::string> troubles;
  if (!client.stub().GetInfo(&context, {}, &info).ok()) return troubles;
  for (const v1::PortInfo& port : info.ports()) {
    if (!port.trouble().empty()) troubles.push_back(port.trouble());
  }
  return troubles;
}

int Doctor(const Arguments& arguments) {
  DoctorOptions options{.probe = ProbeInterface};
  const auto values = [&](const char* name) {
    const auto found = arguments.values.find(name);
    return found == arguments.values.end() ? std::vector<std::string>() : found->second;
  };
  options.interfaces = values("--interface");
  options.pci_devices = values("--pci");
  options.troubles = TroublesOfPorts(arguments.Value("--server"));
  const std::string workers = arguments.Value("--workers", "1");
  char* end = nullptr;
  const long count = std::strtol(workers.c_str(), &end, 10);
  if (*end != '\0' || count < 1 || count > 64) return Complain("--workers " + workers + ": must be 1..64");
  options.workers = static_cast<int>(count);
  bool bad = false;
  for (const Finding& finding : Examine(Machine(), options)) {
    const char* word = finding.health == Health::kGood  ? "good"
                       : finding.health == Health::kBad ? "BAD "
                                                        : "fair";
    std::printf("%s  %s\n", word, finding.what.c_str());
    if (!finding.mend.empty()) std::printf("      -> %s\n", finding.mend.c_str());
    bad |= finding.health == Health::kBad;
  }
  return bad ? kDiffers : kDone;
}

struct Command {
  std::set<std::string> with_value;
  std::set<std::string> flags;
  size_t rest;  // words besides
  std::function<int(const Arguments&)> run;
};

int Main(const std::vector<std::string>& words) {
  if (words.empty()) return Complain("which command?");
  if (words[0] == "-h" || words[0] == "--help") return std::fputs(kUsage, stdout), kDone;
  if (words[0] == "--version") return std::puts("sluice " SLUICE_VERSION), kDone;
  const auto ask = [](const auto& run) {
    return [run](const Arguments& arguments) {
      SluiceClient client(arguments.Value("--server"));
      const int wrong = client.Check();
      return wrong == kDone ? run(client, arguments) : wrong;
    };
  };
  const std::map<std::string, Command> commands = {
      {"status", {{"--server"}, {"--json"}, 0, ask(ShowStatus)}},
      {"stats", {{"--server", "--top", "--rounds"}, {"--json", "--watch"}, 0, ask(ShowStats)}},
      {"get", {{"--server"}, {"--json"}, 0, ask(GetConfig)}},
      {"diff",
       {{"--server", "--file", "--owner"},
        {"--json"},
        0,
        ask([](SluiceClient& client, const Arguments& arguments) {
          return ApplyConfig(client, arguments, true);
        })}},
      {"apply",
       {{"--server", "--file", "--owner"},
        {"--json"},
        0,
        ask([](SluiceClient& client, const Arguments& arguments) {
          return ApplyConfig(client, arguments, false);
        })}},
      {"drain", {{"--server", "--weight"}, {"--json", "--node", "--undo"}, 1, ask(Drain)}},
      {"watch", {{"--server", "--after", "--rounds"}, {"--json"}, 0, ask(WatchConfig)}},
      {"connections",
       {{"--server", "--client", "--destination", "--state"}, {"--json"}, 2, ask(ListConnections)}},
      {"release", {{"--server"}, {"--json"}, 0, ask(Release)}},
      {"takeover", {{"--server", "--from", "--owner"}, {"--json"}, 0, ask(TakeOver)}},
      {"drill", {{"--server", "--revert-after"}, {"--json"}, 0, ask(Drill)}},
      {"flush", {{"--server"}, {"--json"}, 2, ask(FlushConnections)}},
      {"explain", {{"--server"}, {"--json"}, 3, ask(ExplainFlow)}},
      {"doctor", {{"--server", "--workers", "--interface", "--pci"}, {}, 0, Doctor}},
  };
  const auto found = commands.find(words[0]);
  if (found == commands.end()) return Complain("there is no command " + words[0]);
  Command command = found->second;
  command.flags.insert({"-h", "--help"});
  const Arguments arguments =
      ParseArguments({words.begin() + 1, words.end()}, command.with_value, command.flags);
  if (arguments.Has("-h") || arguments.Has("--help")) return std::fputs(kUsage, stdout), kDone;
  if (!arguments.wrong.empty()) return Complain(words[0] + " " + arguments.wrong);
  if (arguments.rest.size() > command.rest)
    return Complain(words[0] + " does not know " + arguments.rest.back());
  return command.run(arguments);
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::Main({argv + 1, argv + argc}); }
