"""Servers of the benchmarks, and what they use according to /proc."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.processes import cpu_seconds, memory_mib, process_tree, pss_mb, running_server
from common.testing.ports import free_port

CORE = min(os.sched_getaffinity(0))
SERVER = ["-m", "http.server", "--bind", "127.0.0.1"]


def test_server_runs_on_its_core_until_the_block_ends(tmp_path: Path) -> None:
    port = free_port()
    with running_server([sys.executable, *SERVER, str(port)], tmp_path, {}, CORE, port) as pid:
        assert os.sched_getaffinity(pid) == {CORE}
        assert process_tree(pid) == [pid]
        assert 0 < cpu_seconds(pid) < 60
        assert pss_mb(pid) > 1
        assert 1 < memory_mib(pid, "VmRSS") <= memory_mib(pid, "VmHWM")
    assert not Path(f"/proc/{pid}").exists()


def test_server_that_ends_is_reported(tmp_path: Path) -> None:
    port = free_port()
    with (
        pytest.raises(RuntimeError, match=f"nothing answers on port {port}"),
        running_server([sys.executable, "-c", ""], tmp_path, {}, CORE, port),
    ):
        pass


def test_children_belong_to_the_tree() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert child.pid in process_tree(os.getpid())
    finally:
        child.communicate(b"\n")
