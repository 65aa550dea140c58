"""Sends a SYN that may live for one hop only, and prints what comes back: short_lived.py ADDRESS PORT."""

import socket
import sys

address, port = sys.argv[1], int(sys.argv[2])
listener = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
listener.settimeout(30)
client = socket.socket()
client.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
client.setblocking(False)
client.connect_ex((address, port))
try:
    packet, sender = listener.recvfrom(2048)
    icmp_type = packet[(packet[0] & 15) * 4]
    print("time exceeded, says" if icmp_type == 11 else f"ICMP {icmp_type} from", sender[0])
except TimeoutError:
    print("nothing")
