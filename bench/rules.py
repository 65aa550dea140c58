"""Services as kube-proxy writes them, for the kernel's own ways of balancing: iptables chains, nftables maps.

A service is (number, address, [endpoints]), for UDP and TCP on port 80; kube-proxy's names are hashes of the same length.
"""

import hashlib

MARK = "0x4000/0x4000"
PROTOCOLS = ("udp", "tcp")


def name(kind, *parts):
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()
    return f"KUBE-{kind}-{digest[:16].upper()}"


def iptables_chains(services):
    """The chains of services and endpoints, and the rules in them."""
    chains, rules = [], []
    for number, _, endpoints in services:
        for protocol in PROTOCOLS:
            service = name("SVC", number, protocol)
            chains.append(service)
            for i, endpoint in enumerate(endpoints):
                chain = name("SEP", number, protocol, i)
                chains.append(chain)
                left = len(endpoints) - i
                lot = f"-m statistic --mode random --probability {1 / left:.11f} " if left > 1 else ""
                comment = f'-m comment --comment "default/service-{number} -> {endpoint}:80"'
                rules.append(f"-A {service} {comment} {lot}-j {chain}")
                rules.append(f"-A {chain} -m comment --comment default/service-{number} -s {endpoint}/32 -j KUBE-MARK-MASQ")
                rules.append(f"-A {chain} -p {protocol} -m comment --comment default/service-{number} -m {protocol} "
                             f"-j DNAT --to-destination {endpoint}:80")
    return chains, rules


def iptables_dispatch(services):
    return [f'-A KUBE-SERVICES -d {address}/32 -p {protocol} -m comment --comment "default/service-{number} cluster IP" '
            f'-m {protocol} --dport 80 -j {name("SVC", number, protocol)}' for number, address, _ in services for protocol in PROTOCOLS]


def iptables(services):
    """All of it, for iptables-restore."""
    chains, rules = iptables_chains(services)
    lines = ["*nat", ":KUBE-SERVICES - [0:0]", ":KUBE-POSTROUTING - [0:0]", ":KUBE-MARK-MASQ - [0:0]"]
    lines += [f":{chain} - [0:0]" for chain in chains]
    lines += ['-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
              '-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',
              f"-A KUBE-POSTROUTING -m mark ! --mark {MARK} -j RETURN", f"-A KUBE-POSTROUTING -j MARK --set-xmark {MARK}",
              "-A KUBE-POSTROUTING -j MASQUERADE --random-fully", f"-A KUBE-MARK-MASQ -j MARK --set-xmark {MARK}"]
    return "\n".join(lines + rules + iptables_dispatch(services) + ["COMMIT", ""])


def iptables_addition(service):
    """One more, for iptables-restore --noflush: kinder than kube-proxy, which writes KUBE-SERVICES anew."""
    chains, rules = iptables_chains([service])
    return "\n".join(["*nat"] + [f":{chain} - [0:0]" for chain in chains] + rules + iptables_dispatch([service]) + ["COMMIT", ""])


def nftables_frame():
    return """table ip kube-proxy {
 map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
 chain mark-for-masquerade { meta mark set meta mark | 0x4000; }
 chain services { ip daddr . meta l4proto . th dport vmap @service-ips; }
 chain nat-prerouting { type nat hook prerouting priority dstnat; policy accept; jump services; }
 chain nat-postrouting { type nat hook postrouting priority srcnat; policy accept; meta mark & 0x4000 == 0x4000 masquerade fully-random; }
}
"""


def nftables(services):
    """Services for the frame, in one transaction."""
    lines, elements = [], []
    for number, address, endpoints in services:
        for protocol in PROTOCOLS:
            service = f"service-{number}-{protocol}"
            for i, endpoint in enumerate(endpoints):
                lines.append(f"add chain ip kube-proxy endpoint-{number}-{protocol}-{i}")
                lines.append(f"add rule ip kube-proxy endpoint-{number}-{protocol}-{i} ip saddr {endpoint} jump mark-for-masquerade")
                lines.append(f"add rule ip kube-proxy endpoint-{number}-{protocol}-{i} meta l4proto {protocol} dnat to {endpoint}:80")
            lots = ", ".join(f"{i} : goto endpoint-{number}-{protocol}-{i}" for i in range(len(endpoints)))
            lines.append(f"add chain ip kube-proxy {service}")
            lines.append(f"add rule ip kube-proxy {service} numgen random mod {len(endpoints)} vmap {{ {lots} }}")
            elements.append(f"{address} . {protocol} . 80 : goto {service}")
    lines.append(f"add element ip kube-proxy service-ips {{ {', '.join(elements)} }}")
    return "\n".join(lines) + "\n"
