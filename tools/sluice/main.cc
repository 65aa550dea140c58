// sluice: what ipvsadm has no word for.
//   sluice doctor [--workers N] [--interface IF]... [--pci ADDRESS]...
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "tools/sluice/doctor.h"
#include "tools/sluice/probe.h"

namespace sluice {
namespace {

constexpr char kUsage[] =
    "sluice doctor [--workers N] [--interface IF]... [--pci ADDRESS]...\n"
    "\n"
    "Looks at what sluiced needs on this machine: kernel, permissions, memory, CPUs, the kernel's IPVS,\n"
    "reverse-path filters; at interfaces that it shall share, and PCI devices that it shall have. Says what\n"
    "is wrong and which command mends it. Changes nothing. Exit status: 0, or 1 if something is bad.\n";

int Complain(const std::string& what) {
  std::fprintf(stderr, "sluice: %s\n\n%s", what.c_str(), kUsage);
  return 2;
}

int Doctor(const std::vector<std::string>& arguments) {
  DoctorOptions options{.probe = ProbeInterface};
  for (size_t i = 0; i < arguments.size(); i += 2) {
    const std::string& name = arguments[i];
    if (name == "-h" || name == "--help") return std::fputs(kUsage, stdout), 0;
    if (name != "--workers" && name != "--interface" && name != "--pci")
      return Complain("doctor does not know " + name);
    if (i + 1 == arguments.size()) return Complain(name + " needs a value");
    const std::string& value = arguments[i + 1];
    if (name == "--interface") options.interfaces.push_back(value);
    if (name == "--pci") options.pci_devices.push_back(value);
    if (name != "--workers") continue;
    char* end = nullptr;
    const long workers = std::strtol(value.c_str(), &end, 10);
    if (*end != '\0' || workers < 1 || workers > 64)
      return Complain("--workers " + value + ": must be 1..64");
    options.workers = static_cast<int>(workers);
  }
  bool bad = false;
  for (const Finding& finding : Examine(Machine(), options)) {
    const char* word = finding.health == Health::kGood  ? "good"
                       : finding.health == Health::kBad ? "BAD "
                                                        : "fair";
    std::printf("%s  %s\n", word, finding.what.c_str());
    if (!finding.mend.empty()) std::printf("      -> %s\n", finding.mend.c_str());
    bad |= finding.health == Health::kBad;
  }
  return bad ? 1 : 0;
}

int Main(const std::vector<std::string>& arguments) {
  if (arguments.empty()) return Complain("which command?");
  if (arguments[0] == "-h" || arguments[0] == "--help") return std::fputs(kUsage, stdout), 0;
  if (arguments[0] != "doctor") return Complain("there is no command " + arguments[0]);
  return Doctor({arguments.begin() + 1, arguments.end()});
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::Main({argv + 1, argv + argc}); }
