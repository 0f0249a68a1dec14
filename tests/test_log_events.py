"""docs/logs.md names every log event in the code, with its level and fields, and no other."""

import functools
import re
from pathlib import Path

import pytest

from common.testing.emulator import ROOT
from docs.log_calls import LogCall, calls_in
from docs.log_event import Event
from docs.log_events import EVENTS

SOURCES = [ROOT / folder / "src" for folder in ("common", "service1-api", "service2-consumer")]
PACKAGES = [package for source in SOURCES for package in sorted(source.iterdir()) if (package / "__init__.py").exists()]


@functools.cache
def calls() -> list[LogCall]:
    return [call for package in PACKAGES for call in calls_in(package)]


def source_of(event: Event) -> tuple[str, str]:
    return event.module, event.source or event.text


def call_of(event: Event) -> LogCall:
    (call,) = (call for call in calls() if (call.module, call.event) == source_of(event))
    return call


def test_every_log_call_is_in_the_table_and_every_row_is_in_the_code() -> None:
    assert {path.name for path in PACKAGES} >= {"pillarbox", "pillarbox_otel", "service1_api", "service2_consumer"}
    assert {source_of(event) for event in EVENTS} == {(call.module, call.event) for call in calls()}
    assert len({(event.module, event.text) for event in EVENTS}) == len(EVENTS)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.text)
def test_an_event_has_the_level_and_the_fields_of_its_call(event: Event) -> None:
    call = call_of(event)
    if call.level:
        assert event.levels == call.level
    assert set(event.fields) == call.fields
    assert not event.more or call.open_ended
    assert event.meaning


@pytest.mark.parametrize("event", [event for event in EVENTS if event.source], ids=lambda event: event.text)
def test_a_text_that_is_put_together_has_its_parts_in_the_code(event: Event) -> None:
    package = next(path for path in PACKAGES if path.name == event.module.partition(".")[0])
    code = "".join(path.read_text() for path in package.rglob("*.py"))
    for part in re.split(r"…,? ?|, ", event.text):
        for words in re.findall(r"(?:SQS|S3)|(?:[a-z][\w ;]+)", part):
            assert words.strip() in code, words


def test_a_line_that_speaks_of_an_email_names_its_trace() -> None:
    for call in calls():
        assert ("message_id" in call.fields) <= ("trace_id" in call.fields), call
        assert ("message_ids" in call.fields) <= ("trace_ids" in call.fields), call


def test_the_scan_finds_calls_however_their_fields_are_put_together(tmp_path: Path) -> None:
    package = tmp_path / "some_package"
    package.mkdir()
    (package / "module.py").write_text(
        """
def work(self, other):
    log.info("plain")
    extra: dict[str, object] = {"a": 1, **{"b": 2}}
    logger.warning("named", extra=extra | {"c": 3})
    self._logger.log(level, "late %s", name, extra={"a": 1, **other})
    logger.exception("raised")
    log.error("with", exc_info=True, extra={"a": 1})
    print("no log"); log.setLevel(1); math.log(2)
"""
    )
    assert list(calls_in(package)) == [
        LogCall("some_package.module", "plain", "INFO", frozenset(), open_ended=False),
        LogCall("some_package.module", "named", "WARNING", frozenset("abc"), open_ended=False),
        LogCall("some_package.module", "late %s", "", frozenset("a"), open_ended=True),
        LogCall("some_package.module", "raised", "ERROR", frozenset({"exception"}), open_ended=False),
        LogCall("some_package.module", "with", "ERROR", frozenset({"a", "exception"}), open_ended=False),
    ]
