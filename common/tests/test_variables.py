"""What the OTEL_* variables mean, and which values are refused."""

from importlib import metadata

import pytest

from pillarbox_otel import variables
from pillarbox_otel.variables import Sampling

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(
    ("environ", "on"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "TRUE"}, False),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "false"}, True),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_SERVICE_NAME": "a name", "OTEL_TRACES_SAMPLER": "always_on"}, False),
    ],
)
def test_traces_are_on_only_if_an_endpoint_is_set_and_no_switch_is_off(environ: dict[str, str], on: bool) -> None:
    assert variables.is_on(environ) is on


@pytest.mark.parametrize(
    ("environ", "chosen"),
    [
        ({}, Sampling("traceidratio", True, 0.01)),
        ({"OTEL_TRACES_SAMPLER": "", "OTEL_TRACES_SAMPLER_ARG": ""}, Sampling("traceidratio", True, 0.01)),
        ({"OTEL_TRACES_SAMPLER_ARG": "0.5"}, Sampling("traceidratio", True, 0.5)),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1"}, Sampling("traceidratio", False, 1.0)),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, Sampling("always_on", False)),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, Sampling("always_off", True)),
    ],
)
def test_one_trace_in_a_hundred_is_sampled_unless_the_environment_says_otherwise(
    environ: dict[str, str], chosen: Sampling
) -> None:
    assert variables.sampling(environ) == chosen


def test_a_complete_environment_has_no_problem() -> None:
    more = {"OTEL_BSP_MAX_QUEUE_SIZE": "4096", "OTEL_EXPORTER_OTLP_TIMEOUT": "2.5", "OTEL_TRACES_EXPORTER": "otlp"}
    more |= {"OTEL_SPAN_LINK_COUNT_LIMIT": "0", "OTEL_ATTRIBUTE_COUNT_LIMIT": "", "OTEL_BSP_SCHEDULE_DELAY": ""}
    assert variables.problems(ENDPOINT | more) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "grpc://collector:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("OTEL_TRACES_SAMPLER_ARG", "1 %"),
        ("OTEL_TRACES_SAMPLER_ARG", "nan"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
        ("OTEL_BSP_SCHEDULE_DELAY", "2.5"),
        ("OTEL_BSP_SCHEDULE_DELAY", "inf"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "1e3"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "511"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "99999999999999999999"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2049"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "-1"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "inf"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "nan"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "-1"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "many"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "1.5"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "inf"),
        ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "-2"),
        ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "x"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "-3"),
        ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "1k"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_variable_and_not_the_value(name: str, value: str) -> None:
    (line,) = variables.problems(ENDPOINT | {name: value})
    assert line.startswith(f"{name}: expected ")
    assert f'"{value}"' not in line


@pytest.mark.parametrize(
    ("queue_size", "batch_size", "wrong"),
    [
        ("16", "16", []),
        ("16", "17", ["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"]),
        ("511", "", ["OTEL_BSP_MAX_QUEUE_SIZE"]),
        ("", "2048", []),
        ("4096", "2049", []),
    ],
)
def test_a_batch_is_no_larger_than_the_queue(queue_size: str, batch_size: str, wrong: list[str]) -> None:
    sizes = {"OTEL_BSP_MAX_QUEUE_SIZE": queue_size, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": batch_size}
    assert [line.partition(":")[0] for line in variables.problems(ENDPOINT | sizes)] == wrong


def test_missing_packages_are_one_line_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    (line,) = variables.problems(ENDPOINT)
    assert "make images TRACING=yes" in line
    assert "requirements-tracing.txt" in line
