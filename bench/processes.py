"""Processes of the benchmarks: servers pinned to a core, and what they use according to /proc."""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running_server(command: list[str], cwd: Path, environment: dict[str, str], core: int, port: int) -> Iterator[int]:
    """Run a server on one core until the block ends; yield its process id when the port answers."""
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(  # noqa: S603  # our own commands
            ["taskset", "--cpu-list", str(core), *command],  # noqa: S607
            cwd=cwd,
            env=os.environ | environment,
            stdout=log,
            stderr=log,
        )
        try:
            _wait_for(port, child)
            yield child.pid
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(30)


def _wait_for(port: int, child: "subprocess.Popen[bytes]") -> None:
    """Wait until the port answers. Raise RuntimeError if it does not within 20 s or the process ends."""
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if child.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"nothing answers on port {port}")


def process_tree(pid: int) -> list[int]:
    """Return the ids of a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(int(child) for child in children)]


def cpu_seconds(pid: int) -> float:
    """Return the user and system time of a process and its children."""
    fields = [Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split() for member in process_tree(pid)]
    return sum(int(f[11]) + int(f[12]) for f in fields) / TICKS_PER_SECOND


def pss_mb(pid: int) -> float:
    """Return the memory of a process and its children in MB; pages that they share are counted once (PSS)."""
    rollups = [Path(f"/proc/{member}/smaps_rollup").read_text() for member in process_tree(pid)]
    return sum(int(rollup.partition("\nPss:")[2].split()[0]) for rollup in rollups) / 1000


def memory_mib(pid: int, field: str) -> float:
    """Return VmRSS or VmHWM of one process in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))
