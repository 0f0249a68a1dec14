from collections.abc import Iterator
from typing import cast

import pytest

from pillarbox_ops.app import App
from pillarbox_ops.archive import Archive
from pillarbox_ops.errors import ExitCode, OpsError
from pillarbox_ops.output import Output
from pillarbox_ops.records import StoredObject
from pillarbox_ops.search import Query
from pillarbox_ops.selection import Reading, Selection, listed_ahead

from .emails import NOON, archived, id_at
from .pipelines import Pipeline

OBJECTS = [StoredObject(f"key-{number}", number, NOON) for number in range(5)]


def _reading(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, selection: Selection) -> Reading:
    for name, value in pipeline.environment.items():
        monkeypatch.setenv(name, value)
    app = App(Output("jsonl"))
    return Reading(app.archive, app.output, selection, NOON)


def test_a_selection_is_everything_without_ids_and_conditions() -> None:
    assert Selection(Query(), limit=3).is_everything
    assert not Selection(Query(sender=("a",))).is_everything
    assert not Selection(Query(), (id_at(0),)).is_everything


def test_an_id_given_twice_is_one_email(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    message_id = archived(pipeline)
    reading = _reading(pipeline, monkeypatch, Selection(Query(), (message_id, message_id)))
    assert [email.message_id for email in reading.emails()] == [message_id]


def test_without_a_time_the_last_seven_days_are_read(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    day = 24 * 60
    archived(pipeline, -7 * day - 1)
    ids = [archived(pipeline, minutes) for minutes in (-7 * day + 1, -1)]
    reading = _reading(pipeline, monkeypatch, Selection(Query()))
    assert [email.message_id for email in reading.emails()] == ids


@pytest.mark.parametrize(
    ("matched", "missing", "unreadable", "expected"),
    [
        (0, [], 0, ExitCode.NOTHING_MATCHED),
        (0, ["x"], 0, ExitCode.NOTHING_MATCHED),
        (1, [], 0, ExitCode.DONE),
        (1, ["x"], 0, ExitCode.DONE_IN_PART),
        (0, [], 1, ExitCode.DONE_IN_PART),
    ],
)
def test_the_exit_code_says_how_much_was_read(
    matched: int, missing: list[str], unreadable: int, expected: ExitCode
) -> None:
    reading = Reading(cast("Archive", None), Output("jsonl"), Selection(Query()), NOON)
    reading.missing, reading.unreadable = missing, unreadable
    assert reading.exit_code(matched) is expected


def test_a_thread_lists_ahead_and_counts() -> None:
    counted: list[None] = []
    assert list(listed_ahead(OBJECTS, lambda: counted.append(None))) == OBJECTS
    assert len(counted) == 5


def test_an_error_of_the_listing_comes_after_what_was_listed() -> None:
    def listing() -> Iterator[StoredObject]:
        yield OBJECTS[0]
        raise OpsError("the bucket is gone")

    objects = listed_ahead(listing(), lambda: None)
    assert next(objects) == OBJECTS[0]
    with pytest.raises(OpsError, match="the bucket is gone"):
        next(objects)


def test_a_reader_that_stops_ends_a_listing_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pillarbox_ops.selection._LISTED_AHEAD", 2)
    monkeypatch.setattr("pillarbox_ops.selection._LOOK_SECONDS", 0.01)

    def listing() -> Iterator[StoredObject]:
        while True:
            yield OBJECTS[0]

    objects = listed_ahead(listing(), lambda: None)
    assert next(objects) == OBJECTS[0]
    objects.close()  # type: ignore[attr-defined]  # a generator; it returns only when the thread has ended
