"""Sends many messages through one service and prints the growth of memory, open files and threads.

1. The consumer: 200,000 messages from a stub of AWS.
2. The API: 100,000 e-mails of several sizes over 64 connections.

Run: .venvs/dev/bin/python -m bench.soak [--only api|consumer] [--messages N]
It fails if resident memory grows by more than 10 % or open files by more than 10 after the first fifth.
"""

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from bench import api
from bench.consumer_run import OURS, Stub, running
from bench.processes import memory_mib, process_tree, running_server
from common.testing.ports import free_port

RESULTS = Path(__file__).parent / "results" / "soak.json"
SIZE_BYTES = 2048
ROWS = 20  # of the curve
WARM_UP = 0.2
MAX_GROWTH = 1.10
MAX_NEW_FILES = 10  # the number of sockets varies
MESSAGES = {"consumer": 200_000, "api": 100_000}
LOAD_SECONDS = 3.0  # of one run of the load on the API
EMAIL_BYTES = (500, 2048, 16_000, 2048, 100_000, 2048)  # one per run, in turn: varying sizes fragment an allocator


@dataclass(frozen=True, slots=True)
class Row:
    """The resources of a service after a number of messages."""

    messages: int
    seconds: float
    rss_mb: float
    open_files: int
    threads: int


class Soaked(Protocol):
    """A service under load."""

    pid: int

    def feed(self, total: int) -> int:
        """Send messages until the service has handled `total` since its start; return the number handled."""
        ...


class SoakedConsumer:
    """The consumer; the queue stays short, because it is filled in portions."""

    def __init__(self, stub: Stub, pid: int) -> None:
        self.pid = pid
        self._stub = stub
        self._fed = 0

    def feed(self, total: int) -> int:
        """Fill the queue and wait until it is empty."""
        self._stub.call("fill", count=total - self._fed, bytes=SIZE_BYTES)
        self._fed = total
        deadline = time.monotonic() + 300
        while self._stub.call("stats")["deleted"] < total:
            if time.monotonic() > deadline:
                raise SystemExit("the consumer has stopped consuming")
            time.sleep(0.1)
        return total


class SoakedApi:
    """The worker process of the API."""

    def __init__(self, server: api.Server, bodies: list[Path]) -> None:
        self.pid = process_tree(server.pid)[1]
        self._server = server
        self._bodies = itertools.cycle(bodies)
        self._accepted = 0

    def feed(self, total: int) -> int:
        """Post e-mails over 64 connections, a few seconds at a time."""
        while self._accepted < total:
            self._accepted += int(api.loaded(self._server, 64, LOAD_SECONDS, next(self._bodies))["accepted"])
        return self._accepted


@contextmanager
def consumer_running() -> Iterator[Soaked]:
    """Run the consumer against its stub until the block ends."""
    with running(OURS, 0, {}) as (stub, consumer):
        yield SoakedConsumer(stub, consumer.pid)


@contextmanager
def api_running() -> Iterator[Soaked]:
    """Run the API against its stub until the block ends."""
    port = free_port()
    stub = [sys.executable, "-m", "bench.api_stub", str(port), "0", api.TOKEN]
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(stub, api.REPOSITORY, {}, api.OTHER_CORE, port),
        api.case_running("pillarbox", port) as server,
    ):
        bodies = [Path(folder) / f"{size}.json" for size in EMAIL_BYTES]
        for body, size in zip(bodies, EMAIL_BYTES, strict=True):
            body.write_bytes(api.request_body(size))
        yield SoakedApi(server, bodies)


SERVICES = {"consumer": consumer_running, "api": api_running}


def curve(service: str, messages: int) -> list[Row]:
    """Return the resources of a service after each twentieth of the messages."""
    rows = []
    begun = time.monotonic()
    with SERVICES[service]() as soaked:
        print(f"{service:>9} {'seconds':>8} {'RSS MiB':>8} {'files':>6} {'threads':>8}")
        for number in range(1, ROWS + 1):
            handled = soaked.feed(number * (messages // ROWS))
            row = Row(
                messages=handled,
                seconds=round(time.monotonic() - begun, 1),
                rss_mb=round(memory_mib(soaked.pid, "VmRSS"), 1),
                open_files=len(list(Path(f"/proc/{soaked.pid}/fd").iterdir())),
                threads=len(list(Path(f"/proc/{soaked.pid}/task").iterdir())),
            )
            rows.append(row)
            print(f"{row.messages:9} {row.seconds:8} {row.rss_mb:8} {row.open_files:6} {row.threads:8}", flush=True)
    return rows


def has_grown(rows: list[Row]) -> bool:
    """Print the growth since the warm-up; return whether it exceeds the limits."""
    warm, last = rows[int(ROWS * WARM_UP) - 1], rows[-1]
    print(f"after warm-up: RSS {warm.rss_mb} to {last.rss_mb} MiB, open files {warm.open_files} to {last.open_files}")
    return last.rss_mb > warm.rss_mb * MAX_GROWTH or last.open_files > warm.open_files + MAX_NEW_FILES


def main() -> int:
    """Print and write the curves. Exit codes: 0 no growth, 1 a service grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int)
    parser.add_argument("--only", choices=SERVICES)
    options = parser.parse_args()
    services = [options.only] if options.only else list(SERVICES)
    curves = {service: curve(service, options.messages or MESSAGES[service]) for service in services}
    RESULTS.parent.mkdir(exist_ok=True)
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    known |= {name: [asdict(row) for row in rows] for name, rows in curves.items()}
    RESULTS.write_text(json.dumps(known, indent=2) + "\n")
    return int(sum(has_grown(rows) for rows in curves.values()) > 0)


if __name__ == "__main__":
    raise SystemExit(main())
