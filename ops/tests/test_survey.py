from datetime import UTC, datetime

from pillarbox_ops.dead_letters import DeadLetter
from pillarbox_ops.reasons import Verdict
from pillarbox_ops.survey import survey

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def _letter(name: str, reason: str = "redrivable") -> DeadLetter:
    return DeadLetter(name, "secret", {}, NOW, 1, Verdict(reason))


LETTERS = [_letter(str(number), "redrivable" if number % 3 else "not_an_email") for number in range(9)]


def test_a_survey_counts_what_matches_by_reason_and_shows_five() -> None:
    found = survey(LETTERS, lambda letter: letter.sqs_message_id != "1", None, NOW)
    assert found.ids == set("02345678")
    assert found.summary() == "5 redrivable, 3 not_an_email"
    assert [row["sqs_message_id"] for row in found.sample] == list("02345")
    assert "secret" not in repr(found)


def test_a_survey_ends_with_the_number_wanted_and_reads_no_further() -> None:
    letters = iter(LETTERS)
    found = survey(letters, lambda letter: letter.reason == "redrivable", 2, NOW)
    assert found.ids == {"1", "2"}
    assert next(letters).sqs_message_id == "3"


def test_exactly_the_messages_of_a_survey_are_chosen_later() -> None:
    found = survey(LETTERS[:3], lambda _letter: True, None, NOW)
    later = iter([_letter("new"), *reversed(LETTERS)])
    assert [letter.sqs_message_id for letter in found.chosen(later)] == ["2", "1", "0"]
    assert list(later) == []


def test_nothing_found_reads_nothing_later() -> None:
    letters = iter(LETTERS)
    assert list(survey([], lambda _letter: True, None, NOW).chosen(letters)) == []
    assert next(letters).sqs_message_id == "0"
