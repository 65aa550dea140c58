"""Sends one TCP segment that belongs to no connection, and prints the flags of what comes back.

    stray_segment.py SOURCE DESTINATION PORT
"""

import socket
import struct
import sys

SOURCE_PORT = 45678


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


source, destination, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
segment = struct.pack("!HHIIBBHHH", SOURCE_PORT, port, 1000, 2000, 5 << 4, 0x10, 1024, 0, 0)
pseudo = socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack("!BBH", 0, 6, len(segment))
segment = segment[:16] + struct.pack("!H", checksum(pseudo + segment)) + segment[18:]
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
raw.settimeout(30)
raw.sendto(segment, (destination, 0))
while True:
    packet = raw.recv(2048)
    header = (packet[0] & 15) * 4
    if struct.unpack("!H", packet[header + 2:header + 4])[0] != SOURCE_PORT:
        continue
    print("RST" if packet[header + 13] & 4 else f"flags {packet[header + 13]:#x}")
    break
