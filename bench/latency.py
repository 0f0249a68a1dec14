"""The time from an accepted e-mail (the 200) to its object in S3, one e-mail at a time on an idle local stack.

`make bench-latency` prints the percentiles and writes bench/results/latency.json.
"""

import json
import statistics
import tempfile
from pathlib import Path

from common.testing.ports import free_port
from local_stack.programs import Options
from local_stack.sample import round_trip
from local_stack.stack import LocalStack

_EMAILS = 200
_RESULT = Path(__file__).parent / "results" / "latency.json"


def main() -> None:
    """Send the sample e-mail many times through a stack of its own; print and write the percentiles."""
    with (
        tempfile.TemporaryDirectory() as directory,
        LocalStack(Options(Path(directory), free_port(), free_port(), free_port(), free_port())) as stack,
    ):
        milliseconds = [round_trip(stack.environment).seconds * 1000 for _ in range(_EMAILS)]
    figures = summary(milliseconds)
    _RESULT.parent.mkdir(exist_ok=True)
    _RESULT.write_text(json.dumps(figures, indent=2) + "\n")
    print("accepted to stored, idle stack: " + ", ".join(f"{name} {value}" for name, value in figures.items()))


def summary(milliseconds: list[float]) -> dict[str, float]:
    """Return the number of e-mails and the percentiles of their times."""
    percentiles = statistics.quantiles(milliseconds, n=100)
    return {
        "emails": len(milliseconds),
        "p50_ms": round(statistics.median(milliseconds), 1),
        "p95_ms": round(percentiles[94], 1),
        "p99_ms": round(percentiles[98], 1),
        "max_ms": round(max(milliseconds), 1),
    }


if __name__ == "__main__":
    main()
