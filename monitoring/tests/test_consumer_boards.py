"""The dashboards of the two workloads of the consumer."""

import json
import re

import pytest

from monitoring.consumer_boards import consumer, files
from monitoring.panels import Board
from monitoring.tests.exposed import families
from service2_consumer.metrics import Metrics


def expressions(board: Board) -> list[str]:
    return [expression for row in board.rows for panel in row.panels for expression in panel.queries]


@pytest.mark.parametrize(
    ("board", "container"), [(consumer(), "service2-consumer"), (files(), "file-intake")], ids=["consumer", "files"]
)
def test_a_board_shows_one_workload_alone_though_both_expose_the_same_metrics(board: Board, container: str) -> None:
    for expression in expressions(board):
        assert set(re.findall(r'\b(?:container|deployment|scaledObject)="([^"]*)"', expression)) == {container}
        assert expression.count(container) == len(re.findall(r"\{", expression))


def test_both_boards_together_show_every_metric_of_the_consumer() -> None:
    text = json.dumps([consumer().model(), files().model()])
    names = {family.name for family in families(Metrics)} - {"pillarbox_consumer_probes"}  # on the overview
    assert names
    assert [name for name in names if name not in text] == []


def test_the_objective_of_the_e_mails_is_drawn_and_files_have_none() -> None:
    drawn = {
        board.name: panel.objective
        for board in (consumer(), files())
        for row in board.rows
        for panel in row.panels
        if panel.title == "Time from sent to archived"
    }
    assert drawn == {"consumer": 60, "files": None}
