"""Chooses the tracer of a process: OpenTelemetry's if the environment asks for it, else the one that does nothing."""

import sys
from collections.abc import Mapping

from pillarbox.settings import EXIT_WRONG_SETTINGS
from pillarbox.tracing import NO_TRACER, Tracer
from pillarbox_otel import variables


def check_or_exit(environ: Mapping[str, str]) -> None:
    """If traces are wanted and cannot be exported, print one line for each reason and exit with code 2."""
    problems = variables.problems(environ) if variables.is_on(environ) else []
    if problems:
        print(*problems, sep="\n", file=sys.stderr)
        raise SystemExit(EXIT_WRONG_SETTINGS)


def open_tracer(service: str, version: str, *, queue_url: str, bucket: str, environ: Mapping[str, str]) -> Tracer:
    """Return the tracer of a process. Call it after the fork, and after `check_or_exit`."""
    if not variables.is_on(environ):
        return NO_TRACER
    from pillarbox_otel.sdk import open_recorder  # noqa: PLC0415  # not imported while traces are off
    from pillarbox_otel.tracer import OtelTracer  # noqa: PLC0415

    recorder = open_recorder(service, version, variables.sampling(environ), environ)
    return OtelTracer(recorder, queue=queue_url.rpartition("/")[2], bucket=bucket)
