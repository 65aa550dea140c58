"""The demonstration itself; ./tools/demo calls it when everything is built."""

import collections
import json
import signal
import sys
import time

from lab import CLIENT, FRONT, VIP, Lab, wait_until

REQUESTS = 12


class Missed(Exception):
    """Something did not go as it should."""


def step(text):
    print(f"\n== {text}", flush=True)


def show(lab, words):
    print(f"$ sluiceadm {words}")
    print(lab.adm(words).stdout, end="")


def demonstrate(lab):
    step("A network: a client, the balancer, three web servers (nginx), each in a namespace of its own")
    lab.start_http_servers()
    # The host itself listens, too, behind Sluice: it answers whatever Sluice leaves to the kernel.
    lab.start_http("lb", VIP, 80, "the kernel of the balancer")
    print(f"   client {CLIENT} --- {FRONT} balancer 10.65.0.1 --- " + ", ".join(lab.server_address(i) for i in range(lab.servers)))
    print(f"   service {VIP}:80")

    step("sluiced starts: it takes the queues of both interfaces through AF_XDP")
    lab.inside("lb", "sysctl", "-qw", "net.ipv4.ip_forward=1")  # for NAT in the kernel's IPVS, if it has any
    lab.start_sluiced("--kernel-ipvs", "auto")
    print(lab.log_text(), end="")
    status = json.loads(lab.sluice("status", "--json").stdout)
    is_mirrored = status["kernelMirror"].get("on", False)

    step("A service and three real servers, in ipvsadm's words")
    for words in [f"-A -t {VIP}:80 -s rr"] + [f"-a -t {VIP}:80 -r {lab.server_address(i)}:80 -m" for i in range(lab.servers)]:
        print(f"$ sluiceadm {words}")
        lab.adm(words)

    step(f"{REQUESTS} pages through {VIP}")
    answers = [lab.fetch() for _ in range(REQUESTS)]
    for answer in answers:
        print(f"   {answer or 'NO ANSWER'}")
    counts = collections.Counter(answers)
    if counts != {f"server {i}": REQUESTS // lab.servers for i in range(lab.servers)}:
        raise Missed("the servers did not answer in turn")

    step("What Sluice knows")
    show(lab, "-L -n")
    show(lab, "-L -n --stats")

    after_kill = {"the kernel of the balancer"}
    if is_mirrored:
        step("The host's own IPVS has the same services, and is told of the connections")
        wait_until(lambda: lab.inside("lb", "ipvsadm", "-S", "-n").stdout.count("-a ") == lab.servers, 5)
        print("$ ipvsadm -L -n\n" + lab.inside("lb", "ipvsadm", "-L", "-n").stdout, end="")
        after_kill = {f"server {i}" for i in range(lab.servers)}

    step("kill -9: nobody is there to clean up, nobody has to")
    lab.sluiced.send_signal(signal.SIGKILL)
    lab.sluiced.wait()
    killed = time.monotonic()
    answer = []
    if not wait_until(lambda: answer.append(lab.fetch(timeout=1)) or answer[-1] in after_kill, 5):
        raise Missed("the kernel did not take over")
    took = time.monotonic() - killed
    print(f"   the first request afterwards was answered by: {answer[-1]} ({took * 1000:.0f} ms after the kill)")
    print("   The XDP program is still attached, finds no worker behind its queue, and passes every packet on.")

    step("sluiced starts again and takes the interfaces back")
    lab.start_sluiced("--kernel-ipvs", "auto")
    lab.add_service()
    back = [lab.fetch() for _ in range(lab.servers)]
    print("   " + ", ".join(back))
    if set(back) != {f"server {i}" for i in range(lab.servers)}:
        raise Missed("the servers did not answer after the restart")
    return counts, took


def summarize(counts, took):
    step("Summary")
    print(f"   {sum(counts.values())} requests to one address were answered by " + ", ".join(f"{name} ({n} times)" for name, n in sorted(counts.items())) + ".")
    print(f"   After kill -9 the kernel had the traffic within {took * 1000:.0f} ms; after a restart Sluice had it again.")
    print("   The packets in between were forwarded in user space: neither connection tracking nor IPVS of the kernel was used.")
    print("   ./tools/demo --vm shows what the kernel's IPVS does when sluiced is gone: live connections go on.")
    print("   Next: ./tools/demo --keep to try it by hand, README.md to run it on an interface of your own.")


def keep(lab):
    step("The network stays up. In another terminal:")
    print(f"   export SLUICE_SERVER={lab.socket} PATH=$PATH:{lab.build / 'bin'}")
    print("   sluiceadm -L -n                                                        # the table")
    print("   sluiceadm -L -n -c                                                     # connections")
    print(f"   ip netns exec {lab.ns('client')} curl http://{VIP}/                      # as the client")
    print(f"   sluiceadm -e -t {VIP}:80 -r {lab.server_address(0)}:80 -m -w 0               # drain a server")
    print(f"   sluiceadm -d -t {VIP}:80 -r {lab.server_address(1)}:80                       # remove one")
    print(f"   ip netns exec {lab.ns('client')} ping -c 3 {FRONT}                      # what is not Sluice's is the kernel's")
    print(f"   ip netns exec {lab.ns('lb')} ip link                                  # the XDP program, the tap to the kernel")
    print(f"   kill -9 {lab.sluiced.pid}                                                        # and then curl again")
    try:
        input("\nEnter (or Ctrl-C) takes it down. ")
    except EOFError:
        signal.pause()


def main(arguments):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    try:
        with Lab(heartbeat_limit_ms=None) as lab:
            counts, took = demonstrate(lab)
            summarize(counts, took)
            if "--keep" in arguments:
                keep(lab)
    except KeyboardInterrupt:
        print("\ninterrupted; everything is taken down")
        return 130
    except (Missed, RuntimeError) as error:
        print(f"\nThe demonstration failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
