"""Generates files from the code: the tables in the READMEs and docs, and each `.env.example`.

`make docs` runs it; a test checks that the files are current.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

import service1_api.metrics
import service1_api.settings
import service2_consumer.metrics
import service2_consumer.settings
from docs.log_events import EVENTS
from pillarbox.settings import variables
from service1_api.problems import PROBLEMS, ProblemType

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Service:
    """A service's folder and the sources of its tables; the metrics are the attributes of one object."""

    folder: Path
    settings: type[BaseSettings]
    metrics: object
    problems: Mapping[str, ProblemType] = dataclasses.field(default_factory=dict)


SERVICES = (
    Service(
        REPOSITORY / "service1-api",
        service1_api.settings.Settings,
        service1_api.metrics.Metrics(CollectorRegistry()),
        PROBLEMS,
    ),
    Service(
        REPOSITORY / "service2-consumer",
        service2_consumer.settings.Settings,
        service2_consumer.metrics.Metrics(CollectorRegistry()),
    ),
)


def generated(service: Service) -> Iterator[tuple[Path, str]]:
    """Yield each generated file of a service with its text."""
    readme = service.folder / "README.md"
    text = _between(readme.read_text(), "settings", settings_table(service.settings))
    text = _between(text, "metrics", metrics_table(service.metrics))
    yield readme, _between(text, "problems", problems_table(service.problems)) if service.problems else text
    yield service.folder / ".env.example", env_example(service.settings)


def pages() -> Iterator[tuple[Path, str]]:
    """Yield each page with generated tables with the text that it should have."""
    logs, operations = REPOSITORY / "docs/logs.md", REPOSITORY / "docs/operations.md"
    yield logs, _between(logs.read_text(), "events", events_table())
    figures = json.loads((REPOSITORY / "bench/results/tracing.json").read_text())
    yield operations, _between(operations.read_text(), "cost of traces", tracing_table(figures))


def tracing_table(figures: Mapping[str, Mapping[str, float]]) -> str:
    """Return what traces cost, by the results of `make bench-tracing`, as a Markdown table."""
    rows = ["| CPU for one e-mail | off | 1 % | 100 % |", "|---|---|---|---|"]
    for name, label in (("api_cpu_us", "API"), ("consumer_cpu_us", "consumer")):
        cells = " | ".join(f"{figures[name][case]:.0f} µs" for case in ("off", "one_percent", "all"))
        rows.append(f"| {label} | {cells} |")
    return "\n".join(rows)


def events_table() -> str:
    """Return the log events as a Markdown table: event, level, service, fields, meaning."""
    rows = ["| event | level | service | fields | meaning |", "|---|---|---|---|---|"]
    for event in EVENTS:
        fields = "; ".join(filter(None, [", ".join(f"`{name}`" for name in event.fields), event.more]))
        rows.append(f"| `{event.text}` | {event.levels} | {event.service} | {fields} | {_cell(event.meaning)} |")
    return "\n".join(rows)


def settings_table(settings: type[BaseSettings]) -> str:
    """Return the settings as a Markdown table: names with aliases, values, default, description."""
    rows = ["| variable | values | default | what it does |", "|---|---|---|---|"]
    for names, field, schema in _fields(settings):
        first, *others = (f"`{name}`" for name in names)
        alias = f" (also {', '.join(others)})" if others else ""
        default = "**required**" if field.is_required() else f"`{_text(field)}`" if _text(field) else "empty"
        rows.append(f"| {first}{alias} | {_values(schema)} | {default} | {_cell(field.description or '')} |")
    return "\n".join(rows)


def metrics_table(metrics: object) -> str:
    """Return the metrics as a Markdown table: name with labels, type, description."""
    rows = ["| metric | type | what it says |", "|---|---|---|"]
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            names: Sequence[str] = metric._labelnames  # noqa: SLF001  the library has no public attribute
            labels = f"{{{','.join(names)}}}" if names else ""
            name = family.name + ("_total" if family.type == "counter" else "")
            rows.append(f"| `{name}{labels}` | {family.type} | {_cell(family.documentation)} |")
    return "\n".join(rows)


def problems_table(problems: Mapping[str, ProblemType]) -> str:
    """Return the problems as a Markdown table: code, status, title, remedy."""
    rows = [f"| `{code}` | {kind.status} | {kind.title} | {kind.remedy} |" for code, kind in problems.items()]
    return "\n".join(["| code | status | what | what to do |", "|---|---|---|---|", *rows])


def env_example(settings: type[BaseSettings]) -> str:
    """Return a file of all settings: required ones are empty, the others are comments with their defaults."""
    lines = ["# All settings of the service. Copy to .env, fill in the required ones, keep secrets out of git."]
    for names, field, schema in _fields(settings):
        required = field.is_required()
        lines += [
            "",
            f"# {field.description} ({'required' if required else _values(schema)})".replace("`", ""),
            f"{names[0]}=" if required else f"# {names[0]}={_text(field)}",
        ]
    return "\n".join(lines) + "\n"


def _fields(settings: type[BaseSettings]) -> Iterator[tuple[list[str], FieldInfo, Mapping[str, Any]]]:
    properties = settings.model_json_schema(by_alias=False)["properties"]
    for name, field in settings.model_fields.items():
        yield variables(name, field), field, properties[name]


def _text(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    return "" if default is None else str(default).lower() if isinstance(default, bool) else str(default)


def _values(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return next(_values(choice) for choice in schema["anyOf"] if choice.get("type") != "null")
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"] if value)
    if schema.get("type") == "boolean":
        return "`true`, `false`"
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    kind = {"integer": "whole number", "number": "number"}.get(schema.get("type", ""), "text")
    if low is not None and high is not None:
        return f"{kind}, {low}–{high}"  # noqa: RUF001  a range in print has an en dash
    return f"{kind}, at least {low}" if low is not None else f"{kind}, at most {high}" if high is not None else kind


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _between(text: str, name: str, table: str) -> str:
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"the page lacks the markers {start} and {end}")
    return f"{before}{start}\n{table}\n{end}{after}"


def main() -> None:
    """Write each generated file that differs and print its name."""
    for path, text in [*(derived for service in SERVICES for derived in generated(service)), *pages()]:
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            print(f"written: {path.relative_to(REPOSITORY)}")


if __name__ == "__main__":
    main()
