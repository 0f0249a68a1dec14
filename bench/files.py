"""Measures the cost of an archived e-mail file: service2-consumer with INTAKE=files and the naive loop, in one run.

`python -m bench.files` prints a table and writes bench/results/files.json. `rss_mb` is the largest resident set.
"""

import json
from dataclasses import asdict

from bench.consumer import RESULTS as CONSUMER_RESULTS
from bench.consumer_run import NAIVE_FILES, OURS, Cost, measure
from bench.stub_content import BUCKET

RESULTS = CONSUMER_RESULTS.with_name("files.json")
SIZES = {"3kib": 3 * 1024, "1mib": 1024 * 1024}
COUNTS = {("naive", "3kib"): 2_500, ("pillarbox", "3kib"): 12_000, ("naive", "1mib"): 300, ("pillarbox", "1mib"): 1_000}
SETTINGS = {"INTAKE": "files", "INBOX_BUCKET_NAME": BUCKET}


def run(name: str, size: str, count: int) -> Cost:
    """Return the cost of one case."""
    module, settings = (OURS, SETTINGS) if name == "pillarbox" else (NAIVE_FILES, {})
    return measure(module, settings, latency_ms=0, count=count, size_bytes=SIZES[size], fill="fill-files")


def main() -> None:
    """Print each case, then the ratios, and write the results."""
    cases: dict[str, dict[str, dict[str, float]]] = {}
    print(f"{'case':20} {'CPU us/file':>12} {'files/s':>8} {'peak RSS MiB':>13} {'stub CPU us':>12}")
    for (name, size), count in COUNTS.items():
        cost = run(name, size, count)
        cases.setdefault(name, {})[size] = asdict(cost)
        print(
            f"{name + ' ' + size:20} {cost.cpu_us:12} {cost.rate:8} {cost.rss_mb:13} {cost.stub_cpu_us:12}", flush=True
        )
    for size in SIZES:
        ratio = cases["naive"][size]["cpu_us"] / cases["pillarbox"][size]["cpu_us"]
        print(f"{size}: {ratio:.1f} times less CPU than boto3 with the standard library")
    RESULTS.write_text(json.dumps({"cases": cases}, indent=2) + "\n")


if __name__ == "__main__":
    main()
