"""Frames that scapy has made with fuzz(), into a file for `flood ... frames`: each behind its length.

    bent.py FILE COUNT SEED VIP PORT CLIENT HOST SERVER

Of the family of VIP. Ethernet addresses are whoever's: `flood` sets them.
"""

import random
import struct
import sys

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (ICMPv6DestUnreach, ICMPv6EchoRequest, ICMPv6PacketTooBig, ICMPv6TimeExceeded, IPv6, IPv6ExtHdrDestOpt,
                                IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting)
from scapy.layers.l2 import ARP, GRE, Dot1Q, Ether
from scapy.layers.sctp import SCTP, SCTPChunkData, SCTPChunkInit
from scapy.packet import Raw, fuzz, raw

FILE, COUNT, SEED, VIP, PORT, CLIENT, HOST, SERVER = sys.argv[1:9]
COUNT, PORT = int(COUNT), int(PORT)
V6 = ":" in VIP
IpClass = IPv6 if V6 else IP


def payload():
    return Raw(random.randbytes(random.choice((0, 1, 7, 40, 300, 1200))))


def stranger():
    if V6:
        return f"fd64::{random.randrange(0x1000, 0xffff):x}"
    return f"10.{random.randrange(128, 256)}.{random.randrange(256)}.{random.randrange(1, 255)}"


def ip(source, destination, **fields):
    return IpClass(src=source, dst=destination, **fields)


def transport():
    port = PORT + random.randrange(3)  # of the services that bent_test.py makes
    # Not from ports that the streams have: what is bent must not be theirs by chance.
    source = random.randrange(1, 30000)
    return random.choice((
        lambda: fuzz(TCP(sport=source, dport=port)),
        lambda: TCP(sport=source, dport=port, flags=random.randrange(256), dataofs=random.randrange(16)),
        lambda: fuzz(UDP(sport=source, dport=port)),
        lambda: UDP(sport=source, dport=port, len=random.randrange(65536)),
        lambda: SCTP(sport=source, dport=port) / fuzz(random.choice((SCTPChunkInit, SCTPChunkData))()),
    ))() / payload()


def flow():
    return ip(stranger(), VIP) / transport()


def strange_header():
    if V6:
        extension = random.choice((IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt, IPv6ExtHdrRouting, IPv6ExtHdrFragment))()
        return ip(stranger(), VIP, hlim=random.choice((0, 1, 64))) / fuzz(extension) / transport()
    return fuzz(IP(src=stranger(), dst=VIP, ttl=random.choice((0, 1, 64)), proto=random.choice((1, 6, 17, 132)))) / transport()


def strange_address():
    source = random.choice(("::", "::1", "ff02::1", "::ffff:10.64.0.2", "::ffff:10.99.0.1", "::10.64.0.2") if V6 else
                           ("0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", VIP, HOST, SERVER))
    return ip(source, VIP) / transport() if random.random() < 0.7 else ip(stranger(), source) / transport()


def fragment():
    if V6:
        header = IPv6ExtHdrFragment(offset=random.randrange(8192), m=random.randrange(2), id=random.randrange(64))
        return ip(stranger(), VIP) / header / transport()
    offset = random.choice((0, 0, 1, random.randrange(8192)))
    return ip(stranger(), VIP, frag=offset, flags=random.choice((0, 1)), id=random.randrange(64)) / transport()


def error():
    about = ip(VIP, stranger()) / transport()
    if random.random() < 0.4:
        outer = ip(HOST, SERVER)
        gue = UDP(sport=40000, dport=6080) / Raw(b"\x00\x29\x00\x00" if V6 else b"\x00\x04\x00\x00")
        about = random.choice((outer / about, outer / GRE() / about, outer / gue / about))
    quoted = Raw(raw(about)[:random.choice((20, 28, 48, 200, 1000))])
    if V6:
        too_big = ICMPv6PacketTooBig(mtu=random.randrange(1 << 32))
        kind = random.choice((too_big, ICMPv6DestUnreach(), ICMPv6TimeExceeded(), ICMPv6EchoRequest()))
    else:
        too_big = ICMP(type=3, code=4, nexthopmtu=random.randrange(65536))
        kind = random.choice((too_big, fuzz(ICMP()), ICMP(type=11), ICMP(type=8)))
    return ip(stranger(), random.choice((VIP, HOST))) / kind / quoted


def frame():
    inner = random.choice((flow, flow, strange_header, strange_address, fragment, error))()
    ethernet = Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:02")
    kind = random.randrange(40)
    if kind == 0:
        return ethernet / fuzz(ARP())
    if kind == 1:
        return ethernet / Dot1Q(vlan=random.randrange(4096), prio=random.randrange(8)) / inner
    if kind == 2:
        return ethernet / Dot1Q(vlan=1) / Dot1Q(vlan=2) / inner
    if kind == 3:
        return Ether(dst=random.choice(("ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "33:33:00:00:00:01")), src="02:00:00:00:00:02") / inner
    return ethernet / inner


def main():
    random.seed(int(SEED))
    with open(FILE, "wb") as file:
        written = 0
        while written < COUNT:
            try:
                bytes_ = raw(frame())
            except Exception:  # fuzz() makes values that scapy itself cannot write: another one then
                continue
            file.write(struct.pack("<I", len(bytes_)) + bytes_)
            written += 1


if __name__ == "__main__":
    main()
