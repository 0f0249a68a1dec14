"""The derived files: current, and equal to their sources."""

import json

import yaml

from monitoring import generate, objectives


def test_the_derived_files_are_current() -> None:
    files = list(generate.generated())
    assert len(files) > 5
    assert not [path.name for path, text in files if path.read_text() != text], "out of date: run `make docs`"


def test_the_operator_gets_the_rules_and_the_objectives_unchanged() -> None:
    rule = yaml.safe_load((generate.COMPONENT / "rules.yaml").read_text())
    rules = yaml.safe_load(generate.RULES.read_text())["groups"]
    slo = yaml.safe_load((generate.MONITORING / "slo.yaml").read_text())["groups"]
    assert (rule["apiVersion"], rule["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert rule["spec"]["groups"] == rules + slo
    assert slo == objectives.document()["groups"]
    names = [group["name"] for group in rules + slo]
    assert len(names) == len(set(names))


def test_grafana_gets_the_dashboards_unchanged() -> None:
    config_map = yaml.safe_load((generate.COMPONENT / "dashboards.yaml").read_text())
    files = {f"pillarbox-{path.name}": path for path in (generate.MONITORING / "dashboards").iterdir()}
    assert set(config_map["data"]) == set(files)
    for name, text in config_map["data"].items():
        assert json.loads(text) == json.loads(files[name].read_text())


def test_a_text_of_several_lines_is_written_as_a_block() -> None:
    text = (generate.MONITORING / "slo.yaml").read_text()
    assert "expr: |-\n" in text
    assert "\\n" not in text
