"""Measures the cost of a stored e-mail: service2-consumer with production settings and the naive loop, in one run.

`python -m bench.consumer` prints a table and writes bench/results/consumer.json. `rss_mb` is the largest resident set.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.consumer_run import NAIVE, OURS, Cost, measure

RESULTS = Path(__file__).parent / "results" / "consumer.json"
SIZE_BYTES = 2048
LARGE_BYTES = 1024 * 1024 - 4096  # with its attributes close to the limit of SQS

# Messages per case: enough for some seconds of steady work. The naive loop makes 21 calls for ten messages.
COUNTS = {
    ("naive", "0ms"): 8_000,
    ("naive", "10ms"): 600,
    ("pillarbox", "0ms"): 40_000,
    ("pillarbox", "10ms"): 12_000,
    ("pillarbox_batch", "0ms"): 60_000,
    ("pillarbox_batch", "10ms"): 24_000,
}
LATENCIES_MS = {"0ms": 0.0, "10ms": 10.0}
PROGRAMS: dict[str, tuple[Sequence[str], dict[str, str]]] = {
    "naive": (NAIVE, {}),
    "pillarbox": (OURS, {}),
    "pillarbox_batch": (OURS, {"OBJECT_LAYOUT": "batch"}),
}
LARGE_COUNT = 400


def run() -> Iterator[tuple[str, str, Cost]]:
    """Measure all cases, one after the other; yield name, latency and cost."""
    for (name, latency), count in COUNTS.items():
        module, settings = PROGRAMS[name]
        latency_ms = LATENCIES_MS[latency]
        yield name, latency, measure(module, settings, latency_ms=latency_ms, count=count, size_bytes=SIZE_BYTES)
    for name in ("pillarbox", "pillarbox_batch"):
        module, settings = PROGRAMS[name]
        cost = measure(module, settings, latency_ms=0, count=LARGE_COUNT, size_bytes=LARGE_BYTES)
        yield name, "0ms_1mib", cost


def main() -> None:
    """Print each case, then the ratios, and write the results."""
    cases: dict[str, dict[str, dict[str, float]]] = {}
    print(f"{'case':26} {'CPU us/message':>15} {'messages/s':>11} {'peak RSS MiB':>13} {'stub CPU us':>12}")
    for name, latency, cost in run():
        cases.setdefault(name, {})[latency] = asdict(cost)
        label = f"{name} {latency}"
        print(f"{label:26} {cost.cpu_us:15} {cost.rate:11} {cost.rss_mb:13} {cost.stub_cpu_us:12}", flush=True)
    for name in ("pillarbox", "pillarbox_batch"):
        for latency in LATENCIES_MS:
            ratio = cases["naive"][latency]["cpu_us"] / cases[name][latency]["cpu_us"]
            print(f"{name} at {latency}: {ratio:.1f} times less CPU than the naive loop")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"cases": cases}, indent=2) + "\n")


if __name__ == "__main__":
    main()
