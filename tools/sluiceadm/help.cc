// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "tools/sluiceadm/command_line.h"

namespace sluice {

std::string HelpText(const std::string& program) {
  return absl::StrCat(
      "sluiceadm: ipvsadm's commands for Sluice\n\n", "  ", program,
      " -A|E -t|u|f service-address [-s scheduler] [-b sched-flags] [-o]\n",
      "          [-p [timeout] [-M netmask] [--strict-persistence]] [--drain seconds]\n",
      "          [--timeout-tcp seconds] [--timeout-tcpfin seconds] [--timeout-udp seconds]\n", "  ", program,
      " -D -t|u|f service-address\n", "  ", program, " -C\n", "  ", program,
      " -a|e -t|u|f service-address -r server-address -m [-w weight] [-x upper] [-y lower]\n", "  ", program,
      " -d -t|u|f service-address -r server-address\n", "  ", program,
      " -L|l [-t|u|f service-address] [-n] [--stats|--rate [--exact]] [--sort|--nosort]\n", "  ", program,
      " -L -c [-n]\n", "  ", program, " -L --timeout|--sysctl|--fwmark-rules\n", "  ", program,
      " --set tcp tcpfin udp\n", "  ", program, " --set-sysctl name=value\n", "  ", program,
      " --add-fwmark-rule|--delete-fwmark-rule mark,tcp|udp|sctp|any,prefix[,port[-port]]\n", "  ", program,
      " -h\n\n", "Commands:\n", "  --add-service     -A        add virtual service with options\n",
      "  --edit-service    -E        edit virtual service with options\n",
      "  --delete-service  -D        delete virtual service\n",
      "  --clear           -C        clear the whole table\n",
      "  --add-server      -a        add real server with options\n",
      "  --edit-server     -e        edit real server with options\n",
      "  --delete-server   -d        delete real server\n", "  --list            -L|-l     list the table\n",
      "  --set tcp tcpfin udp        set connection timeout values, 0 keeps one\n",
      "  --set-sysctl name=value     what IPVS has in net.ipv4.vs; -L --sysctl shows all\n",
      "  --add-fwmark-rule rule      packets to prefix and ports carry this mark; the first rule counts\n",
      "  --delete-fwmark-rule rule   the rule with these very words\n",
      "  --help            -h        this text\n\n", "Options:\n",
      "  --tcp-service  -t service-address   service-address is host[:port]\n",
      "  --udp-service  -u service-address   service-address is host[:port]\n",
      "  --sctp-service service-address      service-address is host[:port]\n",
      "  --fwmark-service -f mark            mark is a number above 0\n",
      "  --scheduler    -s scheduler         rr|wrr|lc|wlc|lblc|lblcr|dh|sh|sed|nq|fo|ovf|mh|twos;\n",
      "                                      the default is wlc\n",
      "  --real-server  -r server-address    server-address is host (and port)\n",
      "  --masquerading -m                   masquerading (NAT)\n",
      "  --u-threshold  -x uthreshold        upper threshold of connections\n",
      "  --l-threshold  -y lthreshold        lower threshold of connections\n",
      "  --weight       -w weight            capacity of real server\n",
      "  --persistent   -p [timeout]         clients stay with their server (360 seconds)\n",
      "  --netmask      -M netmask           of clients that stay together\n",
      "  --strict-persistence                connections that have closed do not prolong it\n",
      "  --ops          -o                   one-packet scheduling\n",
      "  --drain        seconds              connections of drained and removed servers may go on for\n",
      "                                      so long, then they are reset; 0: as long as they like\n",
      "  --timeout-tcp, --timeout-tcpfin, --timeout-udp seconds\n",
      "                                      timeouts of this service's connections\n",
      "  --connection   -c                   output of current connections\n",
      "  --stats                             output of statistics information\n",
      "  --rate                              output of rate information\n",
      "  --thresholds                        output of thresholds information\n",
      "  --persistent-conn                   output of persistent connection info\n",
      "  --exact                             expand numbers (display exact values)\n",
      "  --nosort                            newest first, as the scheduler sees them\n",
      "  --numeric      -n                   numeric output of addresses and ports\n",
      "  --server       unix:PATH            where sluiced listens; otherwise $SLUICE_SERVER or\n",
      "                                      unix:/run/sluice/sluiced.sock\n");
}

}  // namespace sluice
