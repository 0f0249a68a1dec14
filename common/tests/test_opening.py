"""Which tracer a process gets."""

import subprocess
import sys
from importlib import metadata

import pytest

from common.testing.otlp import receiving
from pillarbox.tracing import NO_TRACER
from pillarbox_otel.opening import check_or_exit, open_tracer
from pillarbox_otel.tracer import OtelTracer

URL = "https://sqs.eu-central-1.amazonaws.com/000000000000/emails"


def test_without_an_endpoint_nothing_is_traced() -> None:
    check_or_exit({"OTEL_TRACES_SAMPLER": "a name that would be refused"})
    assert open_tracer("service", "1", queue_url=URL, bucket="archive", environ={}) is NO_TRACER


def test_with_an_endpoint_the_queue_is_named_by_the_end_of_its_url(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as receiver:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_TRACES_SAMPLER": "always_on"}
        for name, value in environ.items():  # the exporter reads the process's own
            monkeypatch.setenv(name, value)
        check_or_exit(environ)
        tracer = open_tracer("service", "1", queue_url=URL, bucket="archive", environ=environ)
        assert isinstance(tracer, OtelTracer)
        tracer.put([]).end()
        tracer.send([]).end()
        tracer.close()
    assert [(span.service, span.name) for span in receiver.spans] == [
        ("service", "put archive"),
        ("service", "send emails"),
    ]


def test_missing_packages_end_the_start_with_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(SystemExit) as ended:
        check_or_exit({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"})
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("OTEL_EXPORTER_OTLP_ENDPOINT: this environment has no OpenTelemetry.")


def test_choosing_imports_nothing_of_opentelemetry_while_traces_are_off() -> None:
    program = """
import sys
from pillarbox_otel.opening import check_or_exit, open_tracer
check_or_exit({})
open_tracer("service", "1", queue_url="https://sqs/0/emails", bucket="archive", environ={})
print([name for name in sys.modules if name.startswith(("opentelemetry", "google"))])
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  # our own
    assert done.stdout == "[]\n"
