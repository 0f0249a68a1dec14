"""The parts of a dashboard: places, thresholds, links."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from monitoring.panels import Board, Panel, Row


def panel(**changes: object) -> Panel:
    return Panel(**{"title": "t", "unit": "s", "queries": {"up": "up", "1": "one"}, "description": "d"} | changes)  # type: ignore[arg-type]


def board(*rows: Row) -> Board:
    return Board("name", "Title", "What it shows.", '{namespace="n"}', '{resource.service.name="s"}', rows)


def test_panels_stand_side_by_side_until_the_row_is_full() -> None:
    rows = (Row("first", [panel(width=12), panel(width=12), panel(stat=True)]), Row("second", [panel()]))
    models = board(*rows).model()["panels"]
    places = [(m["type"], *(m["gridPos"][axis] for axis in "xywh")) for m in models]
    assert places == [
        ("row", 0, 0, 24, 1),
        ("timeseries", 0, 1, 12, 8),
        ("timeseries", 12, 1, 12, 8),
        ("stat", 0, 9, 8, 4),
        ("row", 0, 13, 24, 1),
        ("timeseries", 0, 14, 8, 8),
    ]
    assert [m["id"] for m in models] == [1, 2, 3, 4, 5, 6]


def test_each_query_is_a_target_with_a_letter_of_its_own() -> None:
    targets = panel().model(1, 0, 0)["targets"]
    assert [(t["refId"], t["expr"], t["legendFormat"]) for t in targets] == [("A", "up", "up"), ("B", "1", "one")]


@pytest.mark.parametrize(("good_above", "colors"), [(False, ["green", "red"]), (True, ["red", "green"])])
def test_an_objective_is_drawn_as_a_line_with_red_on_its_bad_side(good_above: bool, colors: list[str]) -> None:
    defaults = panel(objective=0.5, good_above=good_above).model(1, 0, 0)["fieldConfig"]["defaults"]
    assert [step["color"] for step in defaults["thresholds"]["steps"]] == colors
    assert [step["value"] for step in defaults["thresholds"]["steps"]] == [None, 0.5]
    assert defaults["custom"]["thresholdsStyle"] == {"mode": "dashed"}


def test_without_an_objective_no_line_is_drawn() -> None:
    defaults = panel().model(1, 0, 0)["fieldConfig"]["defaults"]
    assert defaults["custom"]["thresholdsStyle"] == {"mode": "off"}
    assert len(defaults["thresholds"]["steps"]) == 1


def test_the_links_lead_to_the_runbook_and_to_logs_and_traces_of_the_same_time() -> None:
    links = {link["title"]: link.get("url", "") for link in board().model()["links"]}
    assert links["Runbook"] == "${runbook}#alerts"
    for title, variable, query in (
        ("Logs", "logs", '{namespace="n"}'),
        ("Traces", "traces", '{resource.service.name="s"}'),
    ):
        assert urlsplit(links[title]).path == "/explore"
        (panes,) = parse_qs(urlsplit(links[title]).query)["panes"]
        pane = json.loads(panes)["a"]
        assert pane["datasource"] == f"${{{variable}}}"
        assert query in pane["queries"][0].values()
        assert pane["range"] == {"from": "${__from}", "to": "${__to}"}
