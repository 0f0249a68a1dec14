from datetime import UTC, datetime
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from pillarbox_ops.app import App
from pillarbox_ops.dead_letters import Selection
from pillarbox_ops.errors import OpsError
from pillarbox_ops.letter_options import with_letters
from pillarbox_ops.letter_work import Wanted
from pillarbox_ops.options import with_app

from .pipelines import Pipeline


@pytest.fixture
def given(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> list[Wanted]:
    """Return the list of what the command of `_run` was given, in the environment of a pipeline."""
    for name, value in (pipeline.environment | {"FILES_DLQ_URL": "http://files", "FILES_QUEUE_URL": ""}).items():
        monkeypatch.setenv(name, value)
    return []


def _run(given: list[Wanted], *arguments: str) -> Result:
    @click.command()
    @with_app
    @with_letters
    def command(app: App, wanted: Wanted, **_options: Any) -> None:
        given.append(wanted)

    return CliRunner().invoke(command, arguments)


def test_without_options_all_messages_of_the_queue_of_e_mails_are_meant(
    given: list[Wanted], pipeline: Pipeline
) -> None:
    _run(given)
    assert (given[0].selection, given[0].maximum, given[0].hold_seconds) == (Selection(), None, 60)
    assert (given[0].queue.url, given[0].source_url) == (pipeline.dlq_url, pipeline.queue_url)


def test_options_become_conditions(given: list[Wanted]) -> None:
    conditions = ("--reason", "too_deep", "--reason", "redrivable", "--sender", "jane", "--id", "a", "--id", "b")
    _run(given, *conditions, "--older-than", "2026-12-01", "--max", "3", "--hold", "10")
    before = datetime(2026, 12, 1, tzinfo=UTC)
    assert given[0].selection == Selection(("too_deep", "redrivable"), ("jane",), ("a", "b"), before)
    assert (given[0].maximum, given[0].hold_seconds) == (3, 10)


def test_files_have_queues_of_their_own(given: list[Wanted]) -> None:
    _run(given, "--files", "--reason", "not_an_event")
    assert given[0].queue.url == "http://files"
    with pytest.raises(OpsError, match="FILES_QUEUE_URL is not set"):
        _ = given[0].source_url


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--reason", "not_an_event"), "here there are redrivable, invalid_json"),
        (("--files", "--reason", "too_deep"), "here there are redrivable, not_an_event"),
        (("--reason", "bad"), "is not one of"),
        (("--hold", "9"), "--hold"),
        (("--max", "0"), "--max"),
        (("--older-than", "soon"), "expected a time"),
    ],
)
def test_a_wrong_option_is_wrong_usage(given: list[Wanted], arguments: tuple[str, ...], text: str) -> None:
    result = _run(given, *arguments)
    assert (result.exit_code, text in result.output, given) == (2, True, [])
