"""200,000 messages through one consumer: does it grow? `python -m bench.soak [--messages N]` prints the curve.

It fails if, after the first fifth, resident memory grows by more than a tenth or open files by more than a few.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.consumer_run import OURS, Stub, memory_mb, running

RESULTS = Path(__file__).parent / "results" / "soak.json"
SIZE_BYTES = 2048
ROWS = 20  # of the curve
WARM_UP = 0.2
MOST_GROWTH = 1.10
MOST_NEW_FILES = 10  # sockets come and go


@dataclass(frozen=True, slots=True)
class Row:
    """One point of the curve."""

    messages: int
    seconds: float
    rss_mb: float
    open_files: int
    threads: int


def curve(messages: int) -> list[Row]:
    """Feed the consumer in portions, so that the queue stays short, and read what it holds after each."""
    rows = []
    begun = time.monotonic()
    with running(OURS, 0, {}) as (stub, consumer):
        print(f"{'messages':>9} {'seconds':>8} {'RSS MiB':>8} {'files':>6} {'threads':>8}")
        for number in range(1, ROWS + 1):
            stub.call("fill", count=messages // ROWS, bytes=SIZE_BYTES)
            _wait_for(stub, number * (messages // ROWS))
            row = Row(
                messages=number * (messages // ROWS),
                seconds=round(time.monotonic() - begun, 1),
                rss_mb=round(memory_mb(consumer.pid, "VmRSS"), 1),
                open_files=len(list(Path(f"/proc/{consumer.pid}/fd").iterdir())),
                threads=len(list(Path(f"/proc/{consumer.pid}/task").iterdir())),
            )
            rows.append(row)
            print(f"{row.messages:9} {row.seconds:8} {row.rss_mb:8} {row.open_files:6} {row.threads:8}", flush=True)
    return rows


def _wait_for(stub: Stub, deleted: int) -> None:
    deadline = time.monotonic() + 300
    while stub.call("stats")["deleted"] < deleted:
        if time.monotonic() > deadline:
            raise SystemExit("the consumer has stopped consuming")
        time.sleep(0.1)


def main() -> int:
    """Print and write the curve; give 1 if it grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=200_000)
    rows = curve(parser.parse_args().messages)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"curve": [asdict(row) for row in rows]}, indent=2) + "\n")
    warm, last = rows[int(ROWS * WARM_UP) - 1], rows[-1]
    grown = last.rss_mb > warm.rss_mb * MOST_GROWTH or last.open_files > warm.open_files + MOST_NEW_FILES
    print(f"after warm-up: RSS {warm.rss_mb} to {last.rss_mb} MiB, open files {warm.open_files} to {last.open_files}")
    return 1 if grown else 0


if __name__ == "__main__":
    raise SystemExit(main())
