import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.testing.ports import free_port
from local_stack.processes import Process, StackError, answers, end_leftovers, require_free_port

SERVER = """
import http.server, os, signal, sys
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
print("serving", flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/ready" else 404)
        self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

MakeProcess = Callable[..., Process]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[MakeProcess]:
    made: list[Process] = []

    def make(*command: str, port: int | None = None) -> Process:
        port = port or free_port()
        process = Process(
            "server",
            [sys.executable, *(command or ("-c", SERVER, str(port)))],
            environment=dict(os.environ),
            directory=tmp_path,
            working_directory=tmp_path,
            ready_url=f"http://127.0.0.1:{port}/ready",
        )
        made.append(process)
        return process

    yield make
    for process in made:
        process.kill()
        process.stop(5)


def test_a_process_starts_answers_and_stops_by_sigterm(make: MakeProcess, tmp_path: Path) -> None:
    server = make()
    server.start()
    server.wait_ready(10)
    assert answers(server.ready_url)
    assert (tmp_path / "run/server.pid").read_text() == f"{server.pid}\n{sys.executable}\n"
    assert server.stop(5) == 0
    assert not answers(server.ready_url)
    assert not (tmp_path / "run/server.pid").exists()


def test_a_process_that_ignores_sigterm_is_killed(make: MakeProcess) -> None:
    port = free_port()
    server = make("-c", SERVER, str(port), "stubborn", port=port)
    server.start()
    server.wait_ready(10)
    assert server.stop(0.2) == -signal.SIGKILL


def test_a_process_that_ends_at_once_is_reported_with_its_last_lines(make: MakeProcess) -> None:
    broken = make("-c", "import sys; print('the reason'); sys.exit(3)")
    broken.start()
    with pytest.raises(StackError, match=r"(?s)server ended with exit code 3.*the reason"):
        broken.wait_ready(10)


def test_a_process_that_never_answers_is_reported(make: MakeProcess) -> None:
    silent = make("-c", "import time; time.sleep(60)")
    silent.start()
    with pytest.raises(StackError, match=r"server was not ready within 0 s"):
        silent.wait_ready(0.1)


def test_a_process_never_started_has_no_pid_and_stops_silently(make: MakeProcess) -> None:
    idle = make()
    assert idle.stop(1) is None
    assert idle.exit_code() is None
    with pytest.raises(StackError, match="has not been started"):
        _ = idle.pid
    with pytest.raises(StackError, match="has not been started"):
        idle.wait(1)


def test_only_what_was_logged_since_the_start_is_shown(make: MakeProcess, tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log/server.log").write_text("of an earlier run\n")
    broken = make("-c", "print('of this one')")
    broken.start()
    assert broken.wait(10) == 0
    assert "of this one" in broken.log_end()
    assert "earlier" not in broken.log_end()


def test_an_answer_from_another_process_is_no_readiness(make: MakeProcess) -> None:
    port = free_port()
    other, broken = make("-c", SERVER, str(port), port=port), make("-c", "raise SystemExit(3)", port=port)
    other.start()
    other.wait_ready(10)
    broken.start()
    assert broken.wait(10) == 3
    with pytest.raises(StackError, match="server ended with exit code 3"):
        broken.wait_ready(10)


def test_what_a_killed_run_left_running_is_ended(tmp_path: Path) -> None:
    left = subprocess.Popen(["sleep", "60"])  # noqa: S607
    try:
        (tmp_path / "run").mkdir()
        (tmp_path / "run/server.pid").write_text(f"{left.pid}\nsleep\n")
        reaper = threading.Thread(target=left.wait)  # a child stays in the table until it is waited for
        reaper.start()
        end_leftovers(tmp_path, ["another", "server"])
        reaper.join(10)
        assert left.returncode == -signal.SIGTERM
        assert not (tmp_path / "run/server.pid").exists()
    finally:
        left.kill()


@pytest.mark.parametrize("content", ["{pid}\nanother-program\n", "{pid}\n\n", "{pid}\n", "-1\nsleep\n", "garbage", ""])
def test_a_pid_that_is_not_the_stacks_own_is_left_alone(tmp_path: Path, content: str) -> None:
    other = subprocess.Popen(["sleep", "60"])  # noqa: S607
    try:
        (tmp_path / "run").mkdir()
        (tmp_path / "run/server.pid").write_text(content.format(pid=other.pid))
        end_leftovers(tmp_path, ["server"])
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_port_in_use_is_named_with_the_way_out() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(StackError, match=rf"port {port} cannot be used .*: PORT=\d+ make run"):
            require_free_port(port, "PORT")


def test_a_free_port_is_taken_without_complaint() -> None:
    require_free_port(free_port(), "PORT")
