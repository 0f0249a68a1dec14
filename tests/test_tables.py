import pytest

from docs import tables


@pytest.mark.parametrize("service", tables.SERVICES, ids=lambda service: service.folder.name)
def test_generated_tables_and_env_examples_are_current(service: tables.Service) -> None:
    for path, text in tables.generated(service):
        assert path.read_text() == text, f"{path.name} is out of date: run `make docs`"


@pytest.mark.parametrize("service", tables.SERVICES, ids=lambda service: service.folder.name)
def test_every_setting_and_metric_is_described(service: tables.Service) -> None:
    assert all(field.description for field in service.settings.model_fields.values())
    rows = tables.metrics_table(service.metrics).splitlines()[2:]
    assert rows
    assert not [row for row in rows if row.endswith("|  |")]


def test_generated_tables_of_the_docs_are_current() -> None:
    for path, text in tables.pages():
        assert path.read_text() == text, f"{path.name} is out of date: run `make docs`"


def test_the_cost_of_traces_is_a_row_for_each_service() -> None:
    cpu = {"off": 250.4, "one_percent": 260.0, "all": 350.0}
    table = tables.tracing_table({"api_cpu_us": cpu, "consumer_cpu_us": {**cpu, "off": 100.0}})
    assert table.splitlines()[2:] == ["| API | 250 µs | 260 µs | 350 µs |", "| consumer | 100 µs | 260 µs | 350 µs |"]
