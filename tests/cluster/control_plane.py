"""A real Kubernetes control plane on 127.0.0.1, without containers: kwok simulates the nodes and the pods.

All programs are child processes of the tests, listen on free ports and end with them. Data and logs are in a folder.
"""

import base64
import fcntl
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml

from common.testing.emulator import outer_environment
from local_stack.processes import Process, end_leftovers
from tests.cluster.cluster import Cluster, eventually
from tests.cluster.programs import PORTS, PROGRAMS, Ports, arguments_of

HERE = Path(__file__).resolve().parent
# The users and groups to which Kubernetes binds its own roles.
USERS = {
    "admin": ("admin", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
}


def build(question: str) -> str:
    """Return the output of build.sh: a folder (`--path`, `--crds`) or the missing programs (`--missing`)."""
    done = subprocess.run([str(HERE / "build.sh"), question], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@contextmanager
def control_plane(directory: Path) -> Iterator[Cluster]:
    """Run a control plane with an empty store until the block ends; yield the cluster when its nodes are ready."""
    if missing := build("--missing").split():
        pytest.fail(f"not built: {', '.join(missing)}; `make test-cluster` builds what is missing")
    directory.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(only_one(directory.with_suffix(".lock")))
        end_leftovers(directory, tuple(reversed(PROGRAMS)))
        shutil.rmtree(directory)
        directory.mkdir()
        yield _start(stack, directory, free_ports())


def _start(stack: ExitStack, directory: Path, ports: Ports) -> Cluster:
    write_keys(directory)
    write_access(directory, ports["kube-apiserver"])
    cluster = Cluster(directory / "admin.conf", Path(build("--path")))
    started: list[Process] = []

    def start(*names: str) -> None:
        for name in names:
            started.append(start_program(name, cluster.programs, directory, ports))
            stack.callback(started[-1].stop, 20)

    def wait_until(what: str, *command: str) -> None:
        eventually(lambda: all_run(started) and cluster.run(*command).returncode == 0, what)

    start("etcd", "kube-apiserver")
    wait_until("the API server is ready", "get", "--raw", "/readyz")
    start("kube-controller-manager", "kube-scheduler", "metrics-server")
    install(cluster, ports)
    start("kwok")
    wait_until("the nodes are ready", "wait", "node", "--all", "--for=condition=Ready", "--timeout=5s")
    # A namespace can be deleted only if every registered API answers.
    wait_until("all APIs answer", "wait", "apiservice", "--all", "--for=condition=Available", "--timeout=5s")
    return cluster


def all_run(processes: Sequence[Process]) -> bool:
    """Fail with the end of the log if a process has ended."""
    for process in processes:
        assert process.exit_code() is None, f"{process.name} ended with {process.exit_code()}{process.log_end()}"
    return True


def start_program(name: str, programs: Path, directory: Path, ports: Ports) -> Process:
    """Start a program; its log is `log/<name>.log` in the folder."""
    process = Process(
        name,
        (programs / name, *arguments_of(name, ports)),
        environment=outer_environment() | {"KUBECONFIG": "/dev/null"},
        directory=directory,
        working_directory=directory,
        ready_url="",
    )
    process.start()
    return process


def install(cluster: Cluster, ports: Ports) -> None:
    """Apply the definitions of KEDA, the load balancer controller, the Prometheus operator and kwok, then the nodes."""
    folder = Path(build("--crds"))
    apply = ("apply", "--server-side", "--filename")
    cluster.kubectl(*apply, str(folder / "definitions"))
    cluster.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=60s")
    cluster.kubectl(*apply, str(folder / "kwok"), "--filename", str(HERE / "kwok.yaml"))
    addons = (HERE / "addons.yaml").read_text().replace("METRICS_PORT", str(ports["metrics-server"]))
    cluster.kubectl(*apply, "-", typed=addons)


def write_keys(directory: Path) -> None:
    """Write the certificates of the API server and its aggregation layer, and the key of the service accounts."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    for name, more in {"apiserver": ("-addext", "subjectAltName=IP:127.0.0.1"), "front-proxy": ()}.items():
        files = ("-keyout", f"{name}.key", "-out", f"{name}.crt")
        _openssl(directory, "req", "-x509", *key, "-subj", f"/CN={name}", *more, *files)
    _openssl(directory, "genpkey", "-algorithm", "RSA", "-out", "service-accounts.key")


def _openssl(directory: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=directory, capture_output=True, check=True)


def write_access(directory: Path, port: int) -> None:
    """Write a random token and a kubeconfig for each user."""
    authority = base64.b64encode((directory / "apiserver.crt").read_bytes()).decode()
    tokens = {name: secrets.token_hex(16) for name in USERS}
    server = {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": authority}
    for name, token in tokens.items():
        text = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "local", "cluster": server}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": "local", "context": {"cluster": "local", "user": name}}],
            "current-context": "local",
        }
        (directory / f"{name}.conf").write_text(yaml.safe_dump(text))
    # https://kubernetes.io/docs/reference/access-authn-authz/authentication/#static-token-file
    rows = [f'{tokens[name]},{user},{name},"{group}"' for name, (user, group) in USERS.items()]
    (directory / "tokens.csv").write_text("\n".join(rows) + "\n")


def free_ports() -> Ports:
    """Return a different free port for each name."""
    with ExitStack() as stack:
        probes = {name: stack.enter_context(socket.socket()) for name in PORTS}
        for probe in probes.values():
            probe.bind(("127.0.0.1", 0))
        return {name: probe.getsockname()[1] for name, probe in probes.items()}


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold a lock until the block ends; fail if another run of this checkout holds it."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pytest.fail(f"another run of these tests holds {path}")
        yield
