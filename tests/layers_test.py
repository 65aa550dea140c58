"""Which folder may include what. Run over the sources; says in words which rule was broken.

    layers_test.py [ROOT]
"""

import re
import sys
from pathlib import Path

# From the bottom up: a folder may include itself and what is named here. See dataplane/README.md.
NET = {"dataplane/net"}
SCHEDULERS = NET | {"schedulers"}
CONFIG = SCHEDULERS | {"dataplane/config"}
CONN = CONFIG | {"dataplane/conn"}
# sluice-kube is a process of its own, as the tools are.
TOOLS = {"tools/channel", "tools/sluiceadm", "tools/sluice", "control/kubernetes"}
ALLOWED = {
    "dataplane/net": set(),
    "schedulers": NET,
    "dataplane/config": SCHEDULERS,
    "dataplane/conn": CONFIG,
    "dataplane/xdp": CONFIG,
    "dataplane/pipeline": CONN,
    "dataplane/runtime": CONN | {"dataplane/pipeline", "dataplane/xdp"},
    "control/kernel": CONFIG | {"control/mutex.h"},
    "control/ipvs": CONFIG | {"control", "control/kernel", "dataplane/conn/protocol_state.h", "dataplane/conn/sync_update.h", "dataplane/runtime/dataplane.h"},
    "control": CONFIG | {"control/ipvs", "control/kernel", "dataplane/conn/protocol_state.h", "dataplane/conn/sync_update.h", "dataplane/runtime/dataplane.h"},
    "control/kubernetes": {"dataplane/net/ip_address.h", "control/metrics/http_server.h", "control/metrics/metric_value.h",
                           "control/metrics/process_metrics.h", "control/metrics/readiness.h", "control/mutex.h",
                           "control/printable.h", "tools/channel"},
    "tools/channel": set(),
    "tools/sluiceadm": {"tools/channel"},
    "tools/sluice": {"tools/channel", "tools/sluiceadm", "control/config_file.h", "control/refusals.h"},
}
# Libraries that only some folders may know, by how their headers begin, and why.
LIBRARIES = [
    ("rte_", {"dataplane/pipeline", "dataplane/runtime"}, "DPDK stays in pipeline and runtime"),
    ("bpf/", {"dataplane/xdp", "tools/sluice"}, "libbpf stays in xdp, and the doctor"),
    ("curl/", {"control/kubernetes"}, "who talks to the API server is a process of its own"),
    ("yaml-cpp/", {"control/kubernetes"}, "YAML is what Kubernetes writes"),
    ("nftables/", {"control/ipvs"}, "nftables stays in control/ipvs"),
    ("libmnl/", {"control/ipvs", "control/kernel"}, "netlink stays in control/kernel and control/ipvs"),
    ("grpc", {"control", *TOOLS}, "gRPC stays in control and the tools"),
    ("google/protobuf", {"control", *TOOLS}, "protobuf stays in control and the tools"),
    ("sluice/v1/", {"control", "control/ipvs", *TOOLS}, "generated messages stay in control and the tools"),
    ("absl/", {"dataplane/xdp", "dataplane/runtime", "control", "control/ipvs", "control/kernel", *TOOLS},
     "net, config, conn, schedulers and pipeline are plain C++"),
]
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^">]+)[">]', re.M)


def folder_of(path):
    """The longest known folder that holds this path."""
    return max((folder for folder in ALLOWED if path.startswith(folder + "/")), key=len, default=None)


def complaints_about(path, text):
    folder = folder_of(path)
    for _, header in INCLUDE.findall(text):
        for prefix, folders, reason in LIBRARIES:
            if header.startswith(prefix) and folder not in folders:
                yield f"{path} includes {header}: {reason}"
        target = folder_of(header)
        if header.startswith(("bench/", "tests/")) or header.startswith("tools/") and folder not in TOOLS:
            yield f"{path} includes {header}: nothing builds on {header.split('/')[0]}/"
        elif target and target != folder and target not in ALLOWED[folder] and header not in ALLOWED[folder]:
            allowed = ", ".join(sorted(ALLOWED[folder])) or "nothing else of ours"
            yield f"{path} includes {header}: {folder} stands on {allowed}, not on {target}"


def check(root):
    complaints = []
    seen = set()
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.suffix not in {".h", ".cc", ".c"} or name.startswith(("build/", "tests/", "bench/")):
            continue
        if folder_of(name) is None:
            complaints.append(f"{name}: its folder is not in ALLOWED of tests/layers_test.py: say there what it may include")
            continue
        seen.add(folder_of(name))
        complaints += complaints_about(name, path.read_text(encoding="utf8"))
    complaints += [f"{folder}: is in ALLOWED of tests/layers_test.py and has no sources" for folder in set(ALLOWED) - seen]
    return complaints


def check_the_check():
    """A test that cannot fail is a defect: breaches that must be found."""
    breaches = [
        ("dataplane/conn/x.h", '#include <rte_mbuf.h>', "DPDK"),
        ("dataplane/config/x.h", '#include "dataplane/pipeline/batch.h"', "stands on"),
        ("schedulers/x.cc", '#include "dataplane/config/spec.h"', "stands on"),
        ("control/x.cc", '#include "dataplane/runtime/port.h"', "stands on"),
        ("dataplane/pipeline/x.cc", '#include "sluice/v1/config.pb.h"', "generated"),
        ("dataplane/net/x.h", '#include "absl/status/status.h"', "plain C++"),
        ("control/x.cc", '#include "tests/support/eal.h"', "nothing builds on"),
        ("tools/sluiceadm/x.cc", '#include "control/options.h"', "stands on"),
    ]
    for path, text, word in breaches:
        found = list(complaints_about(path, text))
        assert len(found) == 1 and word in found[0], (path, text, found)
    assert not list(complaints_about("control/x.cc", '#include "dataplane/runtime/dataplane.h"\n#include "dataplane/config/spec.h"'))


def main():
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    check_the_check()
    complaints = check(root)
    print("\n".join(complaints) or "every include keeps the layers")
    return 1 if complaints else 0


sys.exit(main())
