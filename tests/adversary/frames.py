"""Frames of IPv4, byte by byte: what an honest socket would not send."""

import socket
import struct


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ipv4(source, destination, protocol, payload, identification=1, offset=0, more=False, dont_fragment=False, ttl=64):
    """`offset` in units of eight bytes."""
    fragment = offset | (0x2000 if more else 0) | (0x4000 if dont_fragment else 0)
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), identification, fragment, ttl, protocol, 0,
                         socket.inet_aton(source), socket.inet_aton(destination))
    return header[:10] + struct.pack(">H", checksum(header)) + header[12:] + payload


def udp(source, destination, source_port, destination_port, payload=b""):
    header = struct.pack(">HHHH", source_port, destination_port, 8 + len(payload), 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack(">HH", 17, 8 + len(payload))
    return header[:6] + struct.pack(">H", checksum(pseudo + header + payload) or 0xffff) + payload


def tcp(source_port, destination_port, flags=0x10, sequence=1):
    """Without a checksum: only to be quoted, or to be a fragment."""
    return struct.pack(">HHIIBBHHH", source_port, destination_port, sequence, 0, 0x50, flags, 8192, 0, 0)


def too_big(mtu, about, is_right=True):
    """An ICMP message: fragmentation needed."""
    message = struct.pack(">BBHHH", 3, 4, 0, 0, mtu) + about
    return message[:2] + struct.pack(">H", checksum(message) ^ (0 if is_right else 0x0101)) + message[4:]


def ethernet(destination, source, payload, tags=()):
    """`tags`: pairs of an EtherType and a VLAN."""
    frame = bytes.fromhex(destination.replace(":", "") + source.replace(":", ""))
    return frame + b"".join(struct.pack(">HH", kind, vlan) for kind, vlan in tags) + b"\x08\x00" + payload


def write(path, frames):
    """For `flood ... frames`."""
    with open(path, "wb") as file:
        for frame in frames:
            file.write(struct.pack("<I", len(frame)) + frame)
