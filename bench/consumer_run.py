"""Runs one consumer and the stub on separate cores, and reads the cost from /proc."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bench.processes import cpu_seconds, memory_mib
from common.testing.ports import free_port

OURS = ("-m", "service2_consumer")
NAIVE = ("-m", "bench.naive_consumer")
NAIVE_FILES = ("-m", "bench.naive_files")
IMAGE_ENVIRONMENT = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "131072"}  # of service2-consumer/Dockerfile

_CONSUMER_CORE, _STUB_CORE = 0, 1
_TIMEOUT_SECONDS = 300
_WARM_UP = 0.1  # of the messages; excludes imports, connections and the start check


@dataclass(frozen=True, slots=True)
class Reading:
    """The resources used and the messages deleted up to a point in time."""

    seconds: float
    cpu_seconds: float
    stub_cpu_seconds: float
    deleted: int


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a message: CPU of consumer and stub, messages per second, and the consumer's peak resident set."""

    cpu_us: float
    rate: float
    rss_mb: float
    stub_cpu_us: float


class Stub:
    """The stub in its own process."""

    def __init__(self, latency_ms: float) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = ["-m", "bench.consumer_stub", "--port", str(self.port), "--latency-ms", str(latency_ms)]
        self.process = _pinned(_STUB_CORE, command, os.environ)

    def call(self, action: str, **body: int) -> dict[str, float]:
        """Call an action of the stub; wait until it listens."""
        request = urllib.request.Request(f"{self.url}/stub/{action}", data=json.dumps(body).encode())  # noqa: S310
        for _ in range(100):
            try:
                with urllib.request.urlopen(request, timeout=300) as answer:  # noqa: S310
                    return dict(json.load(answer))
            except OSError:
                time.sleep(0.1)
        raise SystemExit("the stub does not answer")


@contextmanager
def running(
    module: Sequence[str], latency_ms: float, settings: Mapping[str, str]
) -> Iterator[tuple[Stub, subprocess.Popen[bytes]]]:
    """Run a stub and a consumer until the block ends. The consumer starts with an empty queue."""
    stub = Stub(latency_ms)
    try:
        image = IMAGE_ENVIRONMENT if module == OURS else {}
        consumer = _pinned(_CONSUMER_CORE, module, _environment(stub.url) | image | dict(settings))
        try:
            yield stub, consumer
        finally:
            consumer.terminate()
            consumer.wait(60)
    finally:
        stub.process.kill()
        stub.process.wait(10)


def measure(
    module: Sequence[str],
    settings: Mapping[str, str],
    *,
    latency_ms: float,
    count: int,
    size_bytes: int,
    fill: str = "fill",
) -> Cost:
    """Let a consumer empty a queue of `count` messages; return the cost of the middle four fifths."""
    with running(module, latency_ms, settings) as (stub, consumer):
        stub.call(fill, count=count, bytes=size_bytes)
        first = _when_deleted(stub, consumer, count * _WARM_UP)
        last = _when_deleted(stub, consumer, count * (1 - _WARM_UP))
        rss_mb = memory_mib(consumer.pid, "VmHWM")
    return cost(first, last, rss_mb)


def cost(first: Reading, last: Reading, rss_mb: float) -> Cost:
    """Return the cost of the messages that were deleted between two readings."""
    messages = last.deleted - first.deleted
    return Cost(
        cpu_us=round((last.cpu_seconds - first.cpu_seconds) / messages * 1e6, 1),
        rate=round(messages / (last.seconds - first.seconds)),
        rss_mb=round(rss_mb, 1),
        stub_cpu_us=round((last.stub_cpu_seconds - first.stub_cpu_seconds) / messages * 1e6, 1),
    )


def _when_deleted(stub: Stub, consumer: subprocess.Popen[bytes], wanted: float) -> Reading:
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if consumer.poll() is not None:
            raise SystemExit(f"the consumer ended with code {consumer.returncode}")
        stats = stub.call("stats")
        if stats["deleted"] >= wanted:
            return Reading(time.monotonic(), cpu_seconds(consumer.pid), stats["cpu_seconds"], int(stats["deleted"]))
        time.sleep(0.02)
    raise SystemExit(f"{stats['deleted']:.0f} of {wanted:.0f} messages were consumed in {_TIMEOUT_SECONDS} s")


def _environment(url: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return kept | {
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "SQS_QUEUE_URL": f"{url}/000000000000/bench",
        "S3_BUCKET_NAME": "bench",
        "BIND_HOST": "127.0.0.1",
        "PORT": str(free_port()),
    }


def _pinned(core: int, module: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    command = ["taskset", "-c", str(core), sys.executable, *module]
    return subprocess.Popen(command, env=dict(environment), stderr=subprocess.DEVNULL)  # noqa: S603
