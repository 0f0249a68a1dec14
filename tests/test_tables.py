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
