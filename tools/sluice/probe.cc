// SPDX-License-Identifier: Apache-2.0
#include "tools/sluice/probe.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

namespace sluice {
namespace {

// Id of the program that is attached; 0: none.
uint32_t XdpProgramId(const std::string& name) {
  LIBBPF_OPTS(bpf_xdp_query_opts, query);
  const int index = static_cast<int>(if_nametoindex(name.c_str()));
  if (index == 0 || bpf_xdp_query(index, 0, &query) != 0) return 0;
  return query.drv_prog_id != 0 ? query.drv_prog_id : query.skb_prog_id;
}

std::string ProgramName(uint32_t id) {
  if (id == 0) return "";
  const int fd = bpf_prog_get_fd_by_id(id);
  if (fd < 0) return "unknown";
  bpf_prog_info info{};
  uint32_t length = sizeof info;
  const bool known = bpf_obj_get_info_by_fd(fd, &info, &length) == 0;
  close(fd);
  return known ? info.name : "unknown";
}

template <class Question>
bool Ask(const std::string& name, Question& question) {
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_data = reinterpret_cast<char*>(&question);
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const bool answered = ioctl(fd, SIOCETHTOOL, &request) == 0;
  close(fd);
  return answered;
}

std::string Driver(const std::string& name) {
  ethtool_drvinfo info{};
  info.cmd = ETHTOOL_GDRVINFO;
  return Ask(name, info) ? std::string(info.driver, strnlen(info.driver, sizeof info.driver)) : "";
}

bool HasIndirectionTable(const std::string& name) {
  ethtool_rxfh_indir table{};
  table.cmd = ETHTOOL_GRXFHINDIR;
  return Ask(name, table) && table.size > 0;
}

bool StripsVlans(const std::string& name) {
  ethtool_value flags{};
  flags.cmd = ETHTOOL_GFLAGS;
  return Ask(name, flags) && (flags.data & ETH_FLAG_RXVLAN) != 0;
}

}  // namespace

InterfaceProbe ProbeInterface(const std::string& name) {
  const uint32_t program = XdpProgramId(name);
  return {.driver = Driver(name),
          .xdp_program = ProgramName(program),
          .xdp_program_id = program,
          .can_spread = HasIndirectionTable(name),
          .strips_vlans = StripsVlans(name)};
}

}  // namespace sluice
