"""Measures the cost of an accepted e-mail in service1-api, compared with a simple implementation.

1. Start a stub of SQS that answers after 5 ms, and the load generator, both on one core.
2. Start each case under gunicorn on another core: pillarbox (production settings, logs and metrics on),
   naive (4 workers with 2 threads, one SendMessage per request), and a Flask route that returns a constant.
3. Measure all cases in several rounds: 64 connections for throughput and CPU, then 1 and 8 for latency.
4. Print the medians and write them to bench/results/api.json.

Run: .venvs/dev/bin/python -m bench.api [--rounds 3] [--seconds 5]
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.processes import cpu_seconds, pss_mb, running_server
from common.testing.ports import free_port

REPOSITORY = Path(__file__).resolve().parent.parent
SERVICE = REPOSITORY / "service1-api"
RESULTS = REPOSITORY / "bench/results/api.json"
GUNICORN = REPOSITORY / ".venvs/service1-api/bin/gunicorn"
TOKEN = "a-token-of-the-benchmark"  # noqa: S105  # only the stub knows it
DELAY_SECONDS = 0.005
EMAIL_BYTES = 2048
MEASURED_CORE, OTHER_CORE = (sorted(os.sched_getaffinity(0)) * 2)[:2]

PLAIN = ["--no-control-socket", "--worker-tmp-dir", "/dev/shm", "--keep-alive", "75", "--worker-class", "gthread"]  # noqa: S108
IMAGE_ENVIRONMENT = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "65536"}  # of service1-api/Dockerfile
CASES = {
    "pillarbox": (SERVICE, ["--config", "gunicorn.conf.py", "service1_api.wsgi:app"]),
    "naive": (REPOSITORY, [*PLAIN, "--workers", "4", "--threads", "2", "bench.naive_api:app"]),
    "flask_constant": (REPOSITORY, [*PLAIN, "--threads", "64", "bench.api_flask_constant:app"]),
}


@dataclass(frozen=True)
class Server:
    """The running server of a case."""

    port: int
    pid: int


def counts(stub_port: int) -> dict[str, int]:
    """Return the numbers of calls and e-mails that the stub has received."""
    with urllib.request.urlopen(f"http://127.0.0.1:{stub_port}/counts") as reply:  # our own server
        answer: dict[str, int] = json.load(reply)
        return answer


def loaded(server: Server, connections: int, seconds: float, body: Path) -> dict[str, float]:
    """Run the load once and return its figures. Raise RuntimeError if a request was refused."""
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
    """Return the figures of one measurement of a running case."""
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
        "rss_mb": pss_mb(server.pid),
        "sqs_calls_per_email": (after["calls"] - before["calls"]) / emails,
    }


def run(rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    """Return each case's medians over the rounds."""
    samples: dict[str, list[dict[str, float]]] = {case: [] for case in CASES}
    with tempfile.NamedTemporaryFile(suffix=".json") as file, contextlib.ExitStack() as stack:
        file.write(request_body())
        file.flush()
        stub_port = free_port()
        stub = [sys.executable, "-m", "bench.api_stub", str(stub_port), str(DELAY_SECONDS), TOKEN]
        stack.enter_context(running_server(stub, REPOSITORY, {}, OTHER_CORE, stub_port))
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
def case_running(
    case: str, stub_port: int, *, gunicorn: Path = GUNICORN, settings: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run the server of one case against the stub until the block ends; `settings` are more environment variables."""
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
    environment |= settings or {}
    command = [str(gunicorn), "--bind", f"127.0.0.1:{port}", *arguments]
    with running_server(command, folder, environment, MEASURED_CORE, port) as pid:
        wait_until_accepting(port)
        yield Server(port, pid)


def wait_until_accepting(port: int) -> None:
    """Wait until a request is answered with 200, which requires a started worker that has read the token."""
    request = urllib.request.Request(  # our own server
        f"http://127.0.0.1:{port}/api/message", request_body(), {"Content-Type": "application/json"}
    )
    for _ in range(100):
        with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=5):  # noqa: S310
            return
        time.sleep(0.1)
    raise RuntimeError("no request was accepted within 10 s")


def request_body(email_bytes: int = EMAIL_BYTES) -> bytes:
    """Return the body of a request whose e-mail has about `email_bytes` bytes."""
    sentence = "A pillar box is a street letter box; this one takes e-mails and loses none. "
    email: dict[str, Any] = {
        "email_subject": "A letter of the benchmark",
        "email_sender": "sender@example.org",
        "email_timestream": "1693561101",
        "email_content": (sentence * (email_bytes // len(sentence) + 1))[: email_bytes - 150],
    }
    return json.dumps({"data": email, "token": TOKEN}).encode()


def report(cases: dict[str, dict[str, float]]) -> str:
    """Return the table of all cases, and the ratios of their CPU."""
    names = list(cases["pillarbox"])
    rows = [f"{'':<24}" + "".join(f"{case:>16}" for case in cases)]
    rows += [f"{name:<24}" + "".join(f"{figures[name]:>16.2f}" for figures in cases.values()) for name in names]
    cost = {case: figures["cpu_us"] for case, figures in cases.items()}
    rows.append(f"CPU: {cost['pillarbox'] / cost['flask_constant']:.2f} times the constant, ")
    rows[-1] += f"{cost['naive'] / cost['pillarbox']:.2f} times cheaper than the naive version"
    return "\n".join(rows)


def main() -> None:
    """Measure all cases, print the table and write the results."""
    parser = argparse.ArgumentParser(description="Measure the cost of an accepted e-mail in service1-api.")
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
