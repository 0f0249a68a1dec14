"""All dashboards as Grafana reads them: the published schema, and what the house asks of each."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.boards import api, overview
from monitoring.generate import BOARDS, MONITORING
from monitoring.objectives import OBJECTIVES
from monitoring.panels import Board
from monitoring.tests.exposed import exposed, families
from service1_api.metrics import Metrics as ApiMetrics

Json = dict[str, Any]
# Grafana's plug-in of Prometheus reads them; the schema leaves the fields of data sources open.
OF_PROMETHEUS = {f"/annotations/list/0/{name}" for name in ("step", "textFormat", "titleFormat", "useValueForTime")}
UNITS = {"short", "s", "reqps", "Bps", "percentunit"}
each_board = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)

plugins.register_default_plugins()


def lost(given: Any, kept: Any, path: str = "") -> set[str]:
    """Return the places of what a copy lacks or holds otherwise."""
    if isinstance(given, Mapping) and isinstance(kept, Mapping):
        return {place for key in given for place in lost(given[key], kept.get(key), f"{path}/{key}")}
    if isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        return {place for n, pair in enumerate(zip(given, kept, strict=True)) for place in lost(*pair, f"{path}/{n}")}
    return set() if given == kept else {path}


def graphs(board: Board) -> list[Json]:
    return [panel for panel in board.model()["panels"] if panel["type"] != "row"]


@each_board
def test_the_published_schema_knows_every_field(board: Board) -> None:
    model = json.loads((MONITORING / f"dashboards/{board.name}.json").read_text())
    read = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(model)))
    assert lost(model, read) == OF_PROMETHEUS
    wrong = json.loads(json.dumps(model).replace('"gridPos"', '"gridPosition"'))
    assert lost(wrong, json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(wrong)))) > OF_PROMETHEUS


@each_board
def test_a_dashboard_can_be_imported_as_it_is_and_keeps_its_address(board: Board) -> None:
    model = board.model()
    assert model["uid"] == f"pillarbox-{board.name}"
    assert not {"__inputs", "__requires", "id"} & set(model)
    variables = {variable["name"]: variable for variable in model["templating"]["list"]}
    assert list(variables) == ["datasource", "logs", "traces", "namespace", "environment", "runbook"]
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    for name in ("namespace", "environment"):
        assert (variables[name]["includeAll"], variables[name]["allValue"]) == (True, ".*")


@each_board
def test_every_panel_says_what_it_shows_in_which_unit_and_asks_the_chosen_data_source(board: Board) -> None:
    assert graphs(board)
    for panel in graphs(board):
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        for asker in (panel, *panel["targets"]):
            assert asker["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    titles = [panel["title"] for panel in graphs(board)]
    assert len(titles) == len(set(titles))


@each_board
def test_no_two_panels_overlap(board: Board) -> None:
    cells: list[tuple[int, int]] = []
    for panel in board.model()["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells += [(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])]
    assert len(cells) == len(set(cells))


@each_board
def test_every_query_obeys_the_variables_and_the_interval_that_grafana_chooses(board: Board) -> None:
    for panel in graphs(board):
        for target in panel["targets"]:
            expression = target["expr"]
            assert set(re.findall(r"rate\([^\[]*\[([^\]]+)\]", expression)) <= {"$__rate_interval"}
            if re.search(r"\b(pillarbox_|slo:|process_)", expression):
                assert 'namespace=~"$namespace",environment=~"$environment"' in expression
            if re.search(r"\b(kube_|container_memory|container_cpu)", expression):
                assert 'namespace=~"$namespace"' in expression


@each_board
def test_every_metric_of_the_services_is_one_that_they_expose(board: Board) -> None:
    known = exposed()
    text = " ".join(target["expr"] for panel in graphs(board) for target in panel["targets"])
    used = set(re.findall(r"\bpillarbox_(?:api|consumer)_\w+", text))
    assert used
    assert used <= known


@each_board
def test_a_deployment_is_marked_at_the_time_when_its_replica_set_was_made(board: Board) -> None:
    (deployments,) = board.model()["annotations"]["list"]
    assert deployments["expr"] == 'kube_replicaset_created{namespace=~"$namespace"} * 1000'
    assert deployments["useValueForTime"] is True


def lines(board: Board) -> dict[str, float]:
    return {
        panel["title"]: panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1]["value"]
        for panel in graphs(board)
        if len(panel["fieldConfig"]["defaults"]["thresholds"]["steps"]) > 1
    }


def test_the_overview_draws_the_objectives() -> None:
    drawn = lines(overview())
    availability, latency = OBJECTIVES
    assert drawn["Requests answered with 5xx"] == availability.budget
    assert drawn["E-mails archived late"] == latency.budget
    assert drawn["Time from accepted to archived"] == 60
    assert drawn["Budget: requests without 5xx"] == drawn["Budget: archived within 60 s"] == 0


def test_the_board_of_the_api_draws_what_is_slow_and_what_is_too_large() -> None:
    assert lines(api()) == {"Response time": 2, "Memory by its limit": 0.9}


def test_every_metric_of_the_api_is_on_its_board() -> None:
    text = json.dumps(api().model())
    names = {family.name for family in families(ApiMetrics)} - {
        "pillarbox_api_published",
        "pillarbox_api_probes",
    }  # on the overview
    assert [name for name in names if name not in text] == []
