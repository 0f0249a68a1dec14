from collections import Counter
from functools import partial

import pytest

from pillarbox_ops import reasons
from pillarbox_ops.dead_letters import DeadLetterQueue
from pillarbox_ops.errors import OpsError
from pillarbox_ops.ui.mending import Action, Plan, Plans, carry_out
from pillarbox_ops.ui.queues import Queue, Queues

from ..pipelines import Pipeline
from .samples import put_letters


def _letters(pipeline: Pipeline, source_url: str | None = None) -> DeadLetterQueue:
    url = pipeline.queue_url if source_url is None else source_url
    return DeadLetterQueue(pipeline.sqs, pipeline.dlq_url, url, partial(reasons.of_email, payload_bucket=""))


def _bodies(pipeline: Pipeline, url: str) -> Counter[str]:
    queues = Queues(lambda: pipeline.sqs, pipeline.aws["AWS_ENDPOINT_URL"])
    return Counter(letter.body for letter in queues.look(Queue("", "", url, reasons.of_email)))


def _plan(pipeline: Pipeline, action: Action, reason: str) -> Plan:
    queues = Queues(lambda: pipeline.sqs, pipeline.aws["AWS_ENDPOINT_URL"])
    found = queues.look(Queue("", "", pipeline.dlq_url, reasons.of_email))
    return Plan(action, "dead-letters", frozenset(x.sqs_message_id for x in found if x.reason == reason), ())


def test_a_redrive_moves_what_was_confirmed_and_nothing_else(pipeline: Pipeline) -> None:
    put_letters(pipeline, redrivable=12, broken=4)
    before = _bodies(pipeline, pipeline.dlq_url)
    done = carry_out(_letters(pipeline), _plan(pipeline, "redrive", "redrivable"))
    assert (done.changed, done.missing, done.failed.total()) == (12, 0, 0)
    after, moved = _bodies(pipeline, pipeline.dlq_url), _bodies(pipeline, pipeline.queue_url)
    assert moved.total() == 12
    assert after + moved == before


def test_a_delete_deletes_what_was_confirmed_and_sends_nothing(pipeline: Pipeline) -> None:
    put_letters(pipeline, redrivable=2, broken=4)
    done = carry_out(_letters(pipeline), _plan(pipeline, "delete", "invalid_json"))
    assert (done.action, done.changed) == ("delete", 2)
    assert _bodies(pipeline, pipeline.dlq_url).total() == 4
    assert _bodies(pipeline, pipeline.queue_url).total() == 0


def test_a_message_that_left_since_is_counted_as_missing(pipeline: Pipeline) -> None:
    put_letters(pipeline, redrivable=1, broken=0)
    plan = _plan(pipeline, "redrive", "redrivable")
    done = carry_out(_letters(pipeline), Plan("redrive", plan.queue_name, plan.ids | {"gone"}, ()))
    assert (done.changed, done.missing) == (1, 1)


def test_a_redrive_without_a_known_queue_is_refused(pipeline: Pipeline) -> None:
    with pytest.raises(OpsError, match="not known"):
        carry_out(_letters(pipeline, source_url=""), Plan("redrive", "x", frozenset({"a"}), ()))


def test_a_plan_is_carried_out_once_and_only_the_latest_wait() -> None:
    plans = Plans()
    numbers = [plans.add(Plan("delete", "x", frozenset(), ())) for _ in range(21)]
    assert plans.take(numbers[-1])
    for number in (numbers[-1], numbers[0], "unknown"):
        with pytest.raises(OpsError, match="already carried out"):
            plans.take(number)


def test_the_repr_of_a_plan_shows_no_message() -> None:
    assert repr(Plan("delete", "x", frozenset({"a"}), ())) == "Plan(action='delete', queue_name='x', messages=1)"
