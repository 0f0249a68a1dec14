"""Measures what an accepted e-mail costs in service1-api, beside what a user would write instead.

1. Start a stand-in for SQS that answers after 5 ms, and beside it the load, both on one core.
2. Start each case under gunicorn, pinned to another core: pillarbox (production settings, logs and metrics on),
   naive (4 workers of 2 threads, a SendMessage a request), and a Flask route that returns a constant.
3. In several rounds over all cases: 64 connections for throughput and CPU, then 1 and 8 for latency.
4. Print the medians, and write them to bench/results/api.json.

Run: .venvs/dev/bin/python -m bench.api [--rounds 3] [--seconds 5]
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
SERVICE = REPOSITORY / "service1-api"
RESULTS = REPOSITORY / "bench/results/api.json"
GUNICORN = REPOSITORY / ".venvs/service1-api/bin/gunicorn"
TOKEN = "a-token-of-the-benchmark"  # noqa: S105  # known to the stand-in alone
DELAY_SECONDS = 0.005
EMAIL_BYTES = 2048
MEASURED_CORE, OTHER_CORE = (sorted(os.sched_getaffinity(0)) * 2)[:2]
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")

PLAIN = ["--no-control-socket", "--worker-tmp-dir", "/dev/shm", "--keep-alive", "75", "--worker-class", "gthread"]  # noqa: S108
IMAGE_ENVIRONMENT = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "65536"}  # of service1-api/Dockerfile
CASES = {
    "pillarbox": (SERVICE, ["--config", "gunicorn.conf.py", "service1_api.wsgi:app"]),
    "naive": (REPOSITORY, [*PLAIN, "--workers", "4", "--threads", "2", "bench.naive_api:app"]),
    "flask_constant": (REPOSITORY, [*PLAIN, "--threads", "64", "bench.api_flask_constant:app"]),
}


@dataclass(frozen=True)
class Server:
    """A case that is running."""

    port: int
    pid: int


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def process(command: list[str], cwd: Path, environment: dict[str, str], core: int, port: int) -> Iterator[int]:
    """Run a server pinned to a core until the block ends; give its process id once the port answers."""
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(  # noqa: S603  # our own commands
            ["taskset", "--cpu-list", str(core), *command],  # noqa: S607
            cwd=cwd,
            env=os.environ | environment,
            stdout=log,
            stderr=log,
        )
        try:
            wait_for(port, child)
            yield child.pid
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(30)


def wait_for(port: int, child: "subprocess.Popen[bytes]") -> None:
    """Wait until the port answers; raises RuntimeError if it does not within 20 s."""
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if child.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"nothing answers on port {port}")


def tree(pid: int) -> list[int]:
    """Give a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(int(child) for child in children)]


def cpu_seconds(pid: int) -> float:
    """Give the user and system time of a process and its children."""
    fields = [Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split() for member in tree(pid)]
    return sum(int(f[11]) + int(f[12]) for f in fields) / TICKS_A_SECOND


def resident_mb(pid: int) -> float:
    """Give the memory of a process and its children, pages that they share counted once (PSS), in MB."""
    rollups = [Path(f"/proc/{member}/smaps_rollup").read_text() for member in tree(pid)]
    return sum(int(rollup.partition("\nPss:")[2].split()[0]) for rollup in rollups) / 1000


def counts(stub_port: int) -> dict[str, int]:
    """Give what the stand-in has taken."""
    with urllib.request.urlopen(f"http://127.0.0.1:{stub_port}/counts") as reply:  # our own server
        answer: dict[str, int] = json.load(reply)
        return answer


def loaded(server: Server, connections: int, seconds: float, body: Path) -> dict[str, float]:
    """Run the load once and give what it saw; raises RuntimeError if anything was refused."""
    command = [sys.executable, "-m", "bench.api_load", str(server.port), "/api/message", str(connections), str(seconds)]
    output = subprocess.run(  # noqa: S603
        ["taskset", "--cpu-list", str(OTHER_CORE), *command, str(body)],  # noqa: S607
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    ).stdout
    seen: dict[str, float] = json.loads(output)
    if seen["refused"]:
        raise RuntimeError(f"{seen['refused']} requests were refused")
    return seen


def measure(server: Server, stub_port: int, seconds: float, body: Path) -> dict[str, float]:
    """Measure a running case once."""
    loaded(server, 64, 1, body)
    cpu, before = cpu_seconds(server.pid), counts(stub_port)
    seen = loaded(server, 64, seconds, body)
    spent, after, emails = cpu_seconds(server.pid) - cpu, counts(stub_port), seen["accepted"]
    return {
        "cpu_us": 1e6 * spent / emails,
        "rps": emails / seen["seconds"],
        "p50_ms": seen["p50_ms"],
        "p99_ms": seen["p99_ms"],
        "p50_ms_1_connection": loaded(server, 1, seconds / 2, body)["p50_ms"],
        "p50_ms_8_connections": loaded(server, 8, seconds / 2, body)["p50_ms"],
        "rss_mb": resident_mb(server.pid),
        "sqs_calls_per_email": (after["calls"] - before["calls"]) / emails,
    }


def run(rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    """Give each case's medians over the rounds."""
    samples: dict[str, list[dict[str, float]]] = {case: [] for case in CASES}
    with tempfile.NamedTemporaryFile(suffix=".json") as file, contextlib.ExitStack() as stack:
        file.write(request_body())
        file.flush()
        stub_port = free_port()
        stub = [sys.executable, "-m", "bench.api_stub", str(stub_port), str(DELAY_SECONDS), TOKEN]
        stack.enter_context(process(stub, REPOSITORY, {}, OTHER_CORE, stub_port))
        for number in range(rounds):
            for case in CASES:
                print(f"round {number + 1} of {rounds}: {case}", file=sys.stderr)
                with case_running(case, stub_port) as server:
                    samples[case].append(measure(server, stub_port, seconds, Path(file.name)))
    return {
        case: {name: statistics.median(sample[name] for sample in runs) for name in runs[0]}
        for case, runs in samples.items()
    }


@contextlib.contextmanager
def case_running(case: str, stub_port: int) -> Iterator[Server]:
    """Run one case against the stand-in."""
    folder, arguments = CASES[case]
    port = free_port()
    environment = {
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{stub_port}",
        "SQS_QUEUE_URL": f"http://127.0.0.1:{stub_port}/000000000000/emails",
        "SSM_PARAMETER_NAME": "/bench/token",
        "BIND_HOST": "127.0.0.1",
        "PORT": str(port),
        "DRAIN_SECONDS": "0",
    }
    if case == "pillarbox":
        environment |= IMAGE_ENVIRONMENT
    command = [str(GUNICORN), "--bind", f"127.0.0.1:{port}", *arguments]
    with process(command, folder, environment, MEASURED_CORE, port) as pid:
        wait_until_accepting(port)
        yield Server(port, pid)


def wait_until_accepting(port: int) -> None:
    """Wait until a request is answered with 200: the token has been read, and every worker has started."""
    request = urllib.request.Request(  # our own server
        f"http://127.0.0.1:{port}/api/message", request_body(), {"Content-Type": "application/json"}
    )
    for _ in range(100):
        with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=5):  # noqa: S310
            return
        time.sleep(0.1)
    raise RuntimeError("no request was accepted within 10 s")


def request_body(email_bytes: int = EMAIL_BYTES) -> bytes:
    """Give a request whose e-mail has about so many bytes."""
    sentence = "A pillar box is a street letter box; this one takes e-mails and loses none. "
    email: dict[str, Any] = {
        "email_subject": "A letter of the benchmark",
        "email_sender": "sender@example.org",
        "email_timestream": "1693561101",
        "email_content": (sentence * (email_bytes // len(sentence) + 1))[: email_bytes - 150],
    }
    return json.dumps({"data": email, "token": TOKEN}).encode()


def report(cases: dict[str, dict[str, float]]) -> str:
    """Give the table, and the ratios that the goals are set in."""
    names = list(cases["pillarbox"])
    rows = [f"{'':<24}" + "".join(f"{case:>16}" for case in cases)]
    rows += [f"{name:<24}" + "".join(f"{figures[name]:>16.2f}" for figures in cases.values()) for name in names]
    cost = {case: figures["cpu_us"] for case, figures in cases.items()}
    rows.append(f"CPU: {cost['pillarbox'] / cost['flask_constant']:.2f} times the constant, ")
    rows[-1] += f"{cost['naive'] / cost['pillarbox']:.2f} times cheaper than the naive version"
    return "\n".join(rows)


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description="What an accepted e-mail costs in service1-api.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    cases = run(options.rounds, options.seconds)
    print(report(cases))
    RESULTS.parent.mkdir(exist_ok=True)
    rounded = {case: {name: round(value, 3) for name, value in figures.items()} for case, figures in cases.items()}
    RESULTS.write_text(json.dumps({"cases": rounded}, indent=2) + "\n")


if __name__ == "__main__":
    main()
