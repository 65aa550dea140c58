"""What tools/deploy/kubernetes says is what kubectl and sluice-kube understand."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from api_server import ApiServer  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent.parent
MANIFESTS = ROOT / "tools/deploy/kubernetes"
BUILD = Path(os.environ.get("SLUICE_BUILD", ROOT / "build/release"))


def run(*command, **options):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=110, **options)


def check_image():
    """Every library of what goes into the image comes with the packages that are installed there."""
    image = (MANIFESTS / "Containerfile").read_text().rsplit("FROM", 1)[1].replace("\\\n", " ")
    packages = re.search(r"--no-install-recommends(.*?)&&", image).group(1).split()
    # As on a machine without any.
    if not list(Path("/var/lib/apt/lists").glob("*_Packages*")):
        run("apt-get", "update", check=True)
    simulated = run("apt-get", "install", "--simulate", "--no-install-recommends", "-o", "Dir::State::status=/dev/null", *packages).stdout
    installed = set(re.findall(r"^Inst (\S+)", simulated, re.MULTILINE))
    assert set(packages) <= installed, set(packages) - installed
    needed = {}
    for program in ("sluiced", "sluice-kube", "sluiceadm", "sluice"):
        for library in re.findall(r"=> (/\S+)", run("ldd", BUILD / "bin" / program).stdout):
            name = Path(library).resolve().name
            # A sanitizer's runtime is of this build only, not of the image's.
            if not re.match(r"lib(a|t|ub)san\.", name):
                needed[name] = program
    owners = {}
    for line in run("dpkg", "-S", *(f"*/{name}" for name in needed)).stdout.splitlines():
        owners.setdefault(line.rsplit("/", 1)[1], set()).add(line.split(":")[0])
    for name, program in needed.items():
        assert owners.get(name, set()) & installed, f"{program} needs {name} of {owners.get(name, 'no package')}, which the image has not"


def main():
    check_image()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        # The configuration file as the ConfigMap has it.
        lines = (MANIFESTS / "config.yaml").read_text().split("config.conf: |\n")[1].splitlines()
        config = [line[4:] for line in lines[: next(i for i, line in enumerate(lines) if not line.startswith("    "))]]
        (folder / "config.conf").write_text("\n".join(config) + "\n")
        (folder / "kubeconfig").write_text("no: one\n")
        told = run(BUILD / "bin/sluice-kube", "--config", folder / "config.conf", "--kubeconfig", folder / "kubeconfig").stderr
        assert "current-context" in told and "--config" not in told, told
        (folder / "config.conf").write_text("\n".join(config).replace("scheduler: rr", "scheduler: best"))
        told = run(BUILD / "bin/sluice-kube", "--config", folder / "config.conf", "--kubeconfig", folder / "kubeconfig").stderr
        assert "ipvs.scheduler best" in told, told
        if not shutil.which("kubectl"):
            print("kubectl is not installed: the manifests were not tried")
            return 77
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", folder / "key.pem",
            "-out", folder / "cert.pem", "-days", "2", "-subj", "/CN=api", "-addext", "subjectAltName=IP:127.0.0.1", check=True)
        with ApiServer(certificate=folder / "cert.pem", key=folder / "key.pem") as server:
            access = ["kubectl", "--kubeconfig", server.kubeconfig(folder / "kubeconfig", ca=folder / "cert.pem"), "--cache-dir", folder / "cache"]
            rendered = run("kubectl", "kustomize", MANIFESTS)
            assert rendered.returncode == 0, rendered.stderr
            applied = run(*access, "apply", "--dry-run=client", "--validate=false", "-f", "-", input=rendered.stdout)
            assert applied.returncode == 0, applied.stderr
            kinds = re.findall(r"^(\S+)/sluice (?:created|configured)", applied.stdout, re.MULTILINE)
            assert sorted(kinds) == ["clusterrole.rbac.authorization.k8s.io", "clusterrolebinding.rbac.authorization.k8s.io", "configmap",
                                     "daemonset.apps", "namespace", "serviceaccount"], applied.stdout
    return 0


sys.exit(main())
