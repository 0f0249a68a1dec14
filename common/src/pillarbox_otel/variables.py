"""The OTEL_* variables that decide whether and how traces are exported. It imports nothing of OpenTelemetry."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"
_EXPORTER = "otlp"
_PACKAGE = "opentelemetry-exporter-otlp-proto-http"
_BASES = ("always_on", "always_off", "traceidratio")
_PARENT_BASED = "parentbased_"
SAMPLERS = (*_BASES, *(f"{_PARENT_BASED}{base}" for base in _BASES))
DEFAULT_SAMPLER = "parentbased_traceidratio"
DEFAULT_RATIO = 0.01
# The SDK takes its default for a number that it cannot read, or raises. Empty: its default.
_QUEUE_SIZE, _BATCH_SIZE = "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
_SIZES = {_QUEUE_SIZE: 2048, _BATCH_SIZE: 512}
_WHOLE_NUMBERS = (*_SIZES, "OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_EXPORT_TIMEOUT")
_LARGEST = 2**31 - 1
_SECONDS = ("OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")
_LONGEST_SECONDS = _LARGEST // 1000  # a socket takes no more
LINK_LIMIT = "OTEL_SPAN_LINK_COUNT_LIMIT"
_LIMITS = (  # empty: no limit
    LINK_LIMIT,
    "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
)


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which traces are sampled: all, none or a share; `parent_based` follows the decision that came with the work."""

    base: str
    parent_based: bool
    ratio: float = DEFAULT_RATIO


def is_on(environ: Mapping[str, str]) -> bool:
    """Return whether the environment asks for traces: an endpoint is set, and neither switch turns them off."""
    off = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return not off and environ.get("OTEL_TRACES_EXPORTER") != "none" and any(map(environ.get, _ENDPOINTS))


def problems(environ: Mapping[str, str]) -> list[str]:
    """Return one line for each reason why traces that are on cannot be exported. No line quotes a value."""
    found = []
    if not _installed():
        found.append(
            "OTEL_EXPORTER_OTLP_ENDPOINT: this environment has no OpenTelemetry. Use an image that was built with "
            "`make images TRACING=yes`, or install requirements-tracing.txt, or unset the variable"
        )
    if environ.get("OTEL_TRACES_EXPORTER", _EXPORTER) not in ("", _EXPORTER):
        found.append(f"OTEL_TRACES_EXPORTER: expected {_EXPORTER} or none")
    if _first(environ, _PROTOCOLS, _PROTOCOL) != _PROTOCOL:
        found.append(f"OTEL_EXPORTER_OTLP_PROTOCOL: expected {_PROTOCOL}, usually on port 4318")
    found += [
        f"{name}: expected http:// or https:// and a host"
        for name in _ENDPOINTS
        if not environ.get(name, "http://").startswith(("http://", "https://")) and environ[name]
    ]
    found += _wrong_numbers(environ)
    try:
        sampling(environ)
    except ValueError as exc:
        found.append(str(exc))
    return found


def _wrong_numbers(environ: Mapping[str, str]) -> list[str]:
    found = [
        f"{name}: expected a whole number from 1 to {_LARGEST}"
        for name in _WHOLE_NUMBERS
        if not _is_whole(environ.get(name) or "1", 1)
    ]
    if not found and _size(environ, _BATCH_SIZE) > _size(environ, _QUEUE_SIZE):
        found.append(
            f"{_BATCH_SIZE}: expected at most {_QUEUE_SIZE}, which is {_SIZES[_QUEUE_SIZE]} unless set"
            if environ.get(_BATCH_SIZE)
            else f"{_QUEUE_SIZE}: expected at least {_BATCH_SIZE}, which is {_SIZES[_BATCH_SIZE]} unless set"
        )
    found += [
        f"{name}: expected a number of seconds above 0 and up to {_LONGEST_SECONDS}"
        for name in _SECONDS
        if not _is_duration(environ.get(name) or "1")
    ]
    return found + [
        f"{name}: expected a whole number from 0 to {_LARGEST}"
        for name in _LIMITS
        if not _is_whole(environ.get(name, "").strip() or "0", 0)
    ]


def sampling(environ: Mapping[str, str]) -> Sampling:
    """Return what OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG ask for. Raise ValueError with a complete line."""
    name = environ.get("OTEL_TRACES_SAMPLER") or DEFAULT_SAMPLER
    if name not in SAMPLERS:
        raise ValueError(f"OTEL_TRACES_SAMPLER: expected one of {', '.join(SAMPLERS)}")
    try:
        ratio = float(environ.get("OTEL_TRACES_SAMPLER_ARG") or DEFAULT_RATIO)
    except ValueError:
        ratio = -1
    if not 0 <= ratio <= 1:
        raise ValueError("OTEL_TRACES_SAMPLER_ARG: expected a number from 0 to 1, such as 0.01")
    return Sampling(name.removeprefix(_PARENT_BASED), name.startswith(_PARENT_BASED), ratio)


def _first(environ: Mapping[str, str], names: tuple[str, ...], default: str) -> str:
    return next((value for name in names if (value := environ.get(name))), default)


def _size(environ: Mapping[str, str], name: str) -> int:
    return int(environ.get(name) or _SIZES[name])


def _is_whole(text: str, smallest: int) -> bool:
    try:
        return smallest <= int(text) <= _LARGEST
    except ValueError:
        return False


def _is_duration(text: str) -> bool:
    try:
        return 0 < float(text) <= _LONGEST_SECONDS
    except ValueError:
        return False


def _installed() -> bool:
    try:
        metadata.version(_PACKAGE)
    except metadata.PackageNotFoundError:
        return False
    return True
