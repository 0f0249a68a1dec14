import json
from collections.abc import Iterator
from typing import Any

import pytest

from pillarbox_ops import reasons
from pillarbox_ops.errors import OpsError
from pillarbox_ops.ui.queues import Depth, Queue, Queues

from ..pipelines import Pipeline
from .fake_services import running_services
from .samples import put_letters


@pytest.fixture
def queues(pipeline: Pipeline) -> Queues:
    return Queues(lambda: pipeline.sqs, pipeline.aws["AWS_ENDPOINT_URL"])


@pytest.fixture
def queue(pipeline: Pipeline) -> Queue:
    return Queue("dead-letters", "Dead letters", pipeline.dlq_url, reasons.of_email)


def test_a_look_shows_every_message_and_spends_no_receive(queues: Queues, queue: Queue, pipeline: Pipeline) -> None:
    put_letters(pipeline, redrivable=12, broken=2)
    assert queues.is_free
    for _ in range(2):
        found = queues.look(queue)
        assert [letter.reason for letter in found] == ["redrivable"] * 12 + ["not_an_email", "invalid_json"]
        assert {letter.receives for letter in found} == {0}
        assert all(letter.message_id for letter in found)
    assert queues.depth(queue) == Depth(14, 0, 0)
    assert queues.depth(queue).total == 14


def test_an_empty_queue_shows_nothing(queues: Queues, queue: Queue) -> None:
    assert queues.look(queue) == []
    assert queues.receive(queue) == []


def test_a_receive_shows_up_to_ten_and_hides_none(queues: Queues, queue: Queue, pipeline: Pipeline) -> None:
    put_letters(pipeline, redrivable=12, broken=0)
    found = queues.receive(queue)
    assert 0 < len(found) <= 10
    assert {letter.receives for letter in found} == {1}
    assert queues.depth(queue).visible == 12


@pytest.mark.parametrize("endpoint", ["", "https://sqs.eu-west-1.amazonaws.com", "http://127.0.0.1:1"])
def test_only_an_emulator_that_answers_on_this_machine_is_free(endpoint: str) -> None:
    assert not Queues(_none, endpoint).is_free


@pytest.fixture
def another() -> Iterator[str]:
    with running_services() as services:
        yield services.url


def test_another_server_on_this_machine_is_not_taken_for_the_emulator(another: str, queue: Queue) -> None:
    assert not Queues(_none, another).is_free
    with pytest.raises(OpsError, match="does not show its queues"):
        Queues(_none, another).look(queue)


class _Http:
    def __init__(self, document: object) -> None:
        self.status, self.data = 200, json.dumps(document).encode()

    def request(self, _method: str, _address: str) -> "_Http":
        return self


@pytest.mark.parametrize("document", [[], {"messages": []}, {"messages": {"a": {"b": {"c": [{}]}}}}, {"messages": {}}])
def test_a_list_of_another_shape_is_an_error_or_empty(document: object, queue: Queue) -> None:
    http: Any = _Http(document)
    queues = Queues(_none, "http://127.0.0.1:1", http)
    if document == {"messages": {}}:
        assert queues.look(queue) == []
    else:
        with pytest.raises(OpsError, match="does not show its queues"):
            queues.look(queue)


def _none() -> Any:
    raise AssertionError("SQS is not asked")
