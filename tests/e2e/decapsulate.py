"""The far end of a tunnel, for kernels without one: takes packets out of IPIP, GRE or GUE and hands them to this host.

    decapsulate.py ipip|gre|gue ADDRESS 4|6
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys

GUE_PORT = 6080
TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x1001


def open_tun(name):  # several kinds may be taken out on one host
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN_NO_PI))
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    for interface in ("all", name):
        with open(f"/proc/sys/net/ipv4/conf/{interface}/rp_filter", "w", encoding="utf8") as file:
            file.write("0")
    return tun


def packets(kind, address, inner):
    """The inner packets, of family `inner`; what is not sound is left out. The outer ones are of the address's."""
    outer_is_v6 = ":" in address
    family = socket.AF_INET6 if outer_is_v6 else socket.AF_INET
    protocol = 4 if inner == 4 else 41
    if kind == "gue":
        listener = socket.socket(family, socket.SOCK_DGRAM)
        listener.bind((address, GUE_PORT))
        print("ready", flush=True)
        while True:
            data = listener.recv(65536)
            if data[:4] == bytes([0, protocol, 0, 0]):
                yield data[4:]
    listener = socket.socket(family, socket.SOCK_RAW, protocol if kind == "ipip" else 47)
    listener.bind((address, 0))
    print("ready", flush=True)
    while True:
        data = listener.recv(65536)
        outer = 0 if outer_is_v6 else (data[0] & 15) * 4  # of IPv6 the kernel keeps the header
        if kind == "ipip":
            yield data[outer:]
            continue
        flags, ether_type = struct.unpack("!HH", data[outer:outer + 4])
        if ether_type == (0x0800 if inner == 4 else 0x86DD):
            yield data[outer + (8 if flags & 0x8000 else 4):]


device = open_tun(f"tun-{sys.argv[1]}")
for packet in packets(sys.argv[1], sys.argv[2], int(sys.argv[3])):
    os.write(device, packet)
