"""Measures the CPU that traces cost both services: off, at 1 % and at 100 %, one round after the other.

The services run in the development environment, the only one with OpenTelemetry, and send their spans to a collector
that counts them. The sampler ignores the flag of the parent, because the stub's messages carry none.

`python -m bench.tracing [--rounds 3] [--seconds 5] [--messages 20000]` prints the medians and writes
bench/results/tracing.json.
"""

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from bench import api, consumer_run
from bench.processes import cpu_seconds, running_server
from common.testing.ports import free_port

RESULTS = Path(__file__).parent / "results" / "tracing.json"
GUNICORN = api.REPOSITORY / ".venvs/dev/bin/gunicorn"
CASES = {"off": "", "one_percent": "0.01", "all": "1"}  # the share of sampled traces; empty: no endpoint is set
CONNECTIONS = 64


def settings(share: str, sink_port: int) -> dict[str, str]:
    """Return the variables that switch traces on for a share of the traces; none for an empty share."""
    if not share:
        return {}
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{sink_port}",
        "OTEL_TRACES_SAMPLER": "traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": share,
    }


def api_cpu_us(stub_port: int, more: Mapping[str, str], seconds: float, body: Path) -> float:
    """Return the CPU of the API for one accepted e-mail, in microseconds."""
    with api.case_running("pillarbox", stub_port, gunicorn=GUNICORN, settings=more) as server:
        api.loaded(server, CONNECTIONS, 1, body)
        before = cpu_seconds(server.pid)
        emails = api.loaded(server, CONNECTIONS, seconds, body)["accepted"]
        return 1e6 * (cpu_seconds(server.pid) - before) / emails


def consumer_cpu_us(more: Mapping[str, str], messages: int) -> float:
    """Return the CPU of the consumer for one stored e-mail, in microseconds."""
    cost = consumer_run.measure(
        consumer_run.OURS, more, latency_ms=0, count=messages, size_bytes=api.EMAIL_BYTES, fill="fill"
    )
    return cost.cpu_us


def run(rounds: int, seconds: float, messages: int) -> dict[str, dict[str, float]]:
    """Return the medians of the rounds by service and case, and the bytes that the collector took in each case."""
    samples: dict[str, dict[str, list[float]]] = {
        name: {case: [] for case in CASES} for name in ("api_cpu_us", "consumer_cpu_us", "collector_bytes")
    }
    with tempfile.NamedTemporaryFile(suffix=".json") as body, contextlib.ExitStack() as stack:
        body.write(api.request_body())
        body.flush()
        stub_port, sink_port = free_port(), free_port()
        stub = [sys.executable, "-m", "bench.api_stub", str(stub_port), str(api.DELAY_SECONDS), api.TOKEN]
        sink = [sys.executable, "-m", "bench.otlp_sink", str(sink_port)]
        for command, port in ((stub, stub_port), (sink, sink_port)):
            stack.enter_context(running_server(command, api.REPOSITORY, {}, api.OTHER_CORE, port))
        for number in range(rounds):
            for case, share in CASES.items():
                print(f"round {number + 1} of {rounds}: {case}", file=sys.stderr)
                more, taken = settings(share, sink_port), taken_bytes(sink_port)
                samples["api_cpu_us"][case].append(api_cpu_us(stub_port, more, seconds, Path(body.name)))
                samples["consumer_cpu_us"][case].append(consumer_cpu_us(more, messages))
                samples["collector_bytes"][case].append(taken_bytes(sink_port) - taken)
    return {
        name: {case: round(statistics.median(found), 1) for case, found in cases.items()}
        for name, cases in samples.items()
    }


def taken_bytes(sink_port: int) -> int:
    """Return how many bytes of spans the collector has taken."""
    with urllib.request.urlopen(f"http://127.0.0.1:{sink_port}/counts") as answer:  # our own server
        return int(json.load(answer)["bytes"])


def report(figures: Mapping[str, Mapping[str, float]]) -> str:
    """Return a table, a row for each service, with the cost beside that of traces that are off."""
    rows = [f"{'CPU us an e-mail':<18}" + "".join(f"{case:>22}" for case in CASES)]
    for name in ("api_cpu_us", "consumer_cpu_us"):
        off = figures[name]["off"]
        cells = (f"{figures[name][case]:.1f} ({100 * (figures[name][case] / off - 1):+.1f} %)" for case in CASES)
        rows.append(f"{name.removesuffix('_cpu_us'):<18}" + "".join(f"{cell:>22}" for cell in cells))
    return "\n".join(rows)


def main() -> None:
    """Measure, print the table and write the results."""
    parser = argparse.ArgumentParser(description="What traces cost both services.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--messages", type=int, default=20_000)
    options = parser.parse_args()
    figures = run(options.rounds, options.seconds, options.messages)
    print(report(figures))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
