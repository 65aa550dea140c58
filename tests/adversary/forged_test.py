"""What is forged: path-MTU errors about others' packets, frames of other VLANs, fragments that never make a whole."""

import json
import random
import socket
import struct
import time
import unittest
from pathlib import Path

import frames
from siege import PORT, SMALL, Siege, note, print_figures
from common import SILENCE, in_namespace, main, wait_until

TUNNEL, HOST_PORT = 7004, 7005
MAC = "02:00:00:00:00:02"
LARGE = 1400  # with all headers less than a link takes
FOREIGN_VLAN = 77
SERVER_MAC = "02:00:00:00:00:01"  # `flood` puts the right one


def raw_socket(lab, name, interface, protocol=0):
    def make():
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
        opened.bind((interface, protocol))
        return opened

    opened = in_namespace(lab.ns(name), make)
    lab.connections.append(opened)
    return opened


class Tunnel:
    """A service whose server is behind a tunnel, seen from both ends."""

    def __init__(self, siege):
        self.lab = siege.lab
        self.server = self.lab.server_address(0)
        self.mac = siege.gateway_mac()
        self.lab.adm(f"-A -u {self.lab.vip}:{TUNNEL} -s rr")
        self.lab.adm(f"-a -u {self.lab.vip}:{TUNNEL} -r {self.server}:{TUNNEL} -i")
        self.out = raw_socket(self.lab, "client", "eth0")
        self.end = raw_socket(self.lab, "server0", "eth0", 0x0800)
        self.end.settimeout(0.2)

    def send(self, ip):
        self.out.send(frames.ethernet(self.mac, MAC, ip))

    def datagram(self, port, size):
        client, vip = self.lab.client, self.lab.vip
        return frames.ipv4(client, vip, 17, frames.udp(client, vip, port, TUNNEL, bytes(size)), dont_fragment=True)

    def arrives(self, port, size):
        """Whether a datagram of that size, which must not be cut, comes out of the tunnel."""
        for _ in range(3):
            self.send(self.datagram(port, size))
            end = time.monotonic() + 2
            while time.monotonic() < end:
                try:
                    ip = self.end.recv(2048)[14:]
                except TimeoutError:
                    continue
                if ip[9] == 4 and struct.unpack(">HH", ip[40:44]) == (port, TUNNEL) and struct.unpack(">H", ip[22:24])[0] == 28 + size:
                    return True
        return False

    def forge(self, mtu, outer_source, outer_destination, is_right=True):
        inner = self.datagram(4001, 64)
        about = frames.ipv4(outer_source, outer_destination, 4, inner)
        self.send(frames.ipv4(self.lab.client, self.lab.back, 1, frames.too_big(mtu, about, is_right)))


class ForgedTest(unittest.TestCase):
    def test_path_mtu_of_a_tunnel(self):
        with Siege("--connections", SMALL) as siege:
            tunnel = Tunnel(siege)
            self.assertTrue(tunnel.arrives(4001, 64), "the stranger's own flow")
            self.assertTrue(tunnel.arrives(4002, LARGE), "somebody else's")
            lab = siege.lab
            forgeries = {"of a tunnel that is none of ours": (lab.client, tunnel.server, True),
                         "of a tunnel to a server of nobody": (lab.back, "10.65.0.77", True),
                         "whose checksum is wrong": (lab.back, tunnel.server, False)}
            believed = []
            for number, (what, (source, destination, is_right)) in enumerate(forgeries.items()):
                for _ in range(3):
                    tunnel.forge(700, source, destination, is_right)
                if not tunnel.arrives(4100 + number, LARGE):
                    believed.append(what)
            # Who sees the way of a tunnel can tell the truth about it, but not that less than the least passes.
            for _ in range(3):
                tunnel.forge(68, lab.back, tunnel.server)
            least = 552 - 20 - 28
            floor_holds = tunnel.arrives(4200, least)
            note("forged path-MTU errors about a tunnel", believed=len(believed), of=len(forgeries), floor_holds=floor_holds)
            siege.check_streams(self)
            self.assertEqual(believed, [], "forged errors that were believed")
            self.assertTrue(floor_holds, "no error makes a path smaller than Linux would")

    def test_path_mtu_of_a_flow(self):
        with Siege("--connections", SMALL) as siege:
            lab = siege.lab
            out = raw_socket(lab, "client", "eth0")
            mac = siege.gateway_mac()

            def ports():
                lines = Path("/proc/thread-self/net/tcp").read_text(encoding="utf8").splitlines()[1:]
                return [int(line.split()[1].split(":")[1], 16) for line in lines if line.split()[2].endswith(f":{PORT:04X}")]

            of_streams = in_namespace(lab.ns("client"), ports)
            self.assertEqual(len(of_streams), 50)
            before = siege.counters()
            for port in of_streams:
                about = frames.ipv4(lab.vip, lab.client, 6, frames.tcp(PORT, port, sequence=random.randrange(1 << 32)))
                for is_right in (True, False):
                    out.send(frames.ethernet(mac, MAC, frames.ipv4("10.128.0.1", lab.vip, 1, frames.too_big(576, about, is_right))))
            self.assertTrue(wait_until(lambda: siege.counters()["drop_icmp_checksum"] >= before["drop_icmp_checksum"] + 50))
            siege.check_streams(self)
            lowered = 0
            for i in range(lab.servers):
                route = json.loads(lab.inside(f"server{i}", "ip", "-j", "route", "get", lab.client).stdout)
                lowered += any("mtu" in metric for metric in route[0].get("metrics", []))
            note("forged path-MTU errors about flows", sent=2 * len(of_streams), servers_that_believed=lowered)
            self.assertEqual(lowered, 0)

    def test_vlan_hopping(self):
        with Siege("--connections", SMALL) as siege:
            lab = siege.lab
            out = raw_socket(lab, "client", "eth0")
            mac = siege.gateway_mac()
            # A service of this address and port makes XDP look at such frames, but the host listens there, too.
            lab.adm(f"-A -u {lab.vip}:{HOST_PORT} -s rr")
            lab.adm(f"-a -u {lab.vip}:{HOST_PORT} -r {lab.server_address(0)}:{HOST_PORT} -m")

            def listen(address):
                opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                opened.bind((address, HOST_PORT))
                opened.settimeout(SILENCE)
                return opened

            hosts = {address: in_namespace(lab.ns("lb"), lambda address=address: listen(address)) for address in (lab.vip, lab.front)}
            lab.connections.extend(hosts.values())

            def send(address, word, tags=()):
                ip = frames.ipv4(lab.client, address, 17, frames.udp(lab.client, address, 4001, HOST_PORT, word))
                out.send(frames.ethernet(mac, MAC, ip, tags))

            send(lab.front, b"untagged")
            self.assertEqual(hosts[lab.front].recv(100), b"untagged", "what is addressed to the host reaches it")
            kinds = {"802.1Q": [(0x8100, FOREIGN_VLAN)], "802.1ad": [(0x88a8, FOREIGN_VLAN)],
                     "priority tag and 802.1Q": [(0x8100, 0), (0x8100, FOREIGN_VLAN)],
                     "two tags": [(0x88a8, FOREIGN_VLAN), (0x8100, FOREIGN_VLAN)]}
            for address in hosts:
                for what, tags in kinds.items():
                    for _ in range(5):
                        send(address, what.encode(), tags)
            reached = set()
            for address, host in hosts.items():
                try:
                    while True:
                        reached.add(f"{host.recv(100).decode()} to {address}")
                except TimeoutError:
                    pass
            note("frames of a foreign VLAN", kinds=2 * len(kinds), reached_the_host=len(reached))
            siege.check_streams(self)
            self.assertEqual(reached, set())

    def test_evil_fragments(self):
        with Siege("--connections", SMALL) as siege:
            lab = siege.lab
            evil = list(self.evil_fragments(lab.vip))
            path = lab.folder / "fragments"
            frames.write(path, evil)
            before = siege.counters()
            # A legitimate client sends datagrams in fragments meanwhile.
            honest = in_namespace(lab.ns("client"), lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            lab.connections.append(honest)
            honest.connect((lab.vip, PORT))
            honest.settimeout(2)
            words = ("eth0", siege.gateway_mac(), "frames", path, len(evil), 4000, 1)
            flood = lab.start("client", lab.build / "bin/flood", *words)
            tried = answered = 0
            while flood.poll() is None or tried == 0:
                word = random.randbytes(3000)
                honest.send(word)
                tried += 1
                try:
                    answered += honest.recv(4000)[:-1] == word  # and the number of the server
                except TimeoutError:
                    pass
                time.sleep(0.02)
            named = {name: value - before[name] for name, value in siege.counters().items() if value != before[name]}
            figures = siege.check_streams(self)
            note("fragments of every evil kind", frames=len(evil), honest_datagrams=f"{answered}/{tried}",
                 longest_stall_ms=figures["longest_ms"])
            self.assertGreater(named.get("fragments_evicted", 0), 0, "fragments that wait make room for others")
            self.assertGreaterEqual(answered, 0.95 * tried, "datagrams in fragments of an honest client")

    @staticmethod
    def evil_fragments(vip):
        chance = random.Random(20)
        for number in range(2000):
            source = f"10.128.{number >> 8}.{number & 255}"

            def fragment(protocol, payload, offset, more, identification=number):
                return frames.ethernet(SERVER_MAC, MAC, frames.ipv4(source, vip, protocol, payload, identification, offset, more))

            whole = frames.udp(source, vip, 4001, PORT, chance.randbytes(1000))
            yield fragment(17, whole[512:], 64, False)                             # the last first,
            yield fragment(17, whole[:512], 0, True)                               # and it waits for this
            yield fragment(17, chance.randbytes(512), 32, True)                    # overlapping
            yield fragment(17, whole[:512], 0, True)                               # twice the first
            yield fragment(17, chance.randbytes(64), 80, False, number + 10_000)   # never a first
            yield fragment(6, frames.tcp(4001, PORT, 0x02)[:8], 0, True, number + 20_000)  # tiny: no TCP flags
            yield fragment(6, frames.tcp(4001, PORT, 0x02)[8:], 1, False, number + 20_000)
            yield fragment(17, b"x", 100, False, number + 30_000)                  # one byte
            yield fragment(17, chance.randbytes(1400), 8191, True, number + 30_000)  # ends behind the largest packet
            yield fragment(132, struct.pack(">HHIIBBHI", 4001, PORT, 0, 0, 1, 0, 20, 7) + bytes(40), 0, True, number + 40_000)
            yield fragment(132, chance.randbytes(40), 8, False, number + 40_000)
            yield fragment(chance.choice((0, 1, 47, 50, 255)), chance.randbytes(80), chance.randrange(8192), True, number + 50_000)


if __name__ == "__main__":
    main(print_figures)
