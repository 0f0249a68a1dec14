"""How long an accepted e-mail takes to S3 on an idle local stack: one at a time, from the 200 to the object.

`make bench-latency` prints the percentiles and writes bench/results/latency.json.
"""

import json
import statistics
import tempfile
from pathlib import Path

from common.testing.ports import free_port
from local_stack.sample import take_through
from local_stack.stack import LocalStack, Options

_EMAILS = 200
_RESULT = Path(__file__).parent / "results" / "latency.json"


def main() -> None:
    """Take the sample e-mail through a stack of its own many times, then print and write the figures."""
    with (
        tempfile.TemporaryDirectory() as directory,
        LocalStack(Options(Path(directory), free_port(), free_port(), free_port(), free_port())) as stack,
    ):
        milliseconds = [take_through(stack.environment).seconds * 1000 for _ in range(_EMAILS)]
    percentiles = statistics.quantiles(milliseconds, n=100)
    figures = {
        "emails": _EMAILS,
        "p50_ms": round(statistics.median(milliseconds), 1),
        "p95_ms": round(percentiles[94], 1),
        "p99_ms": round(percentiles[98], 1),
        "max_ms": round(max(milliseconds), 1),
    }
    _RESULT.parent.mkdir(exist_ok=True)
    _RESULT.write_text(json.dumps(figures, indent=2) + "\n")
    print("accepted to stored, idle stack: " + ", ".join(f"{name} {value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
