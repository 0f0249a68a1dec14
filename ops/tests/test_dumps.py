import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox_ops.dead_letters import DeadLetter
from pillarbox_ops.dumps import letter_from, line_of, plain_attributes, read_dump
from pillarbox_ops.errors import OpsError
from pillarbox_ops.reasons import Verdict

VERDICT = Verdict("redrivable")
TEXT = st.text(st.characters(codec=None), min_size=1)  # surrogates too
ATTRIBUTE = st.builds(lambda text: {"DataType": "String", "StringValue": text}, TEXT) | st.builds(
    lambda data: {"DataType": "Binary.x", "BinaryValue": data}, st.binary()
)
LINE = {
    "sqs_message_id": "m",
    "sent_at": "2026-11-20T10:00:00Z",
    "receives": 1,
    "reason": "redrivable",
    "attributes": {},
    "body": "secret",
}


@given(TEXT, st.dictionaries(TEXT, ATTRIBUTE, max_size=10))
def test_any_message_comes_back_unchanged(body: str, attributes: dict[str, Any]) -> None:
    sent_at = datetime(2026, 11, 20, 10, 0, 0, 123000, tzinfo=UTC)
    letter = DeadLetter("m", body, attributes, sent_at, 3, VERDICT, "Root=1")
    line = line_of(letter)
    assert "\n" not in line
    assert line.isascii()
    assert letter_from(line, lambda _body, _attributes: VERDICT) == letter


def test_a_message_is_judged_anew_with_its_texts() -> None:
    judged: list[Any] = []

    def judge(body: str, attributes: Any) -> Verdict:
        judged.append((body, attributes))
        return Verdict("not_an_email")

    attributes = {"a": {"type": "String", "text": "1"}, "b": {"type": "Binary", "base64": "AA=="}}
    letter = letter_from(json.dumps(LINE | {"attributes": attributes}), judge)
    assert (letter.reason, judged) == ("not_an_email", [("secret", {"a": "1"})])
    assert plain_attributes(letter) == attributes


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("", "is no line of a dump"),
        ("secret", "is no line of a dump"),
        ("[" * 100_000, "is no line of a dump"),
        ("[]", "the line"),
        (json.dumps(LINE | {"sqs_message_id": ""}), "sqs_message_id"),
        (json.dumps(LINE | {"body": ""}), "body"),
        (json.dumps(LINE | {"sent_at": "2026-11-20T10:00:00"}), "sent_at"),
        (json.dumps(LINE | {"more": "secret"}), "more"),
        (json.dumps(LINE | {"attributes": {"a": {"text": "secret"}}}), "attributes.a.type"),
        (json.dumps(LINE | {"attributes": {"a": {"type": "Binary", "base64": "secret!"}}}), "is no line of a dump"),
    ],
)
def test_another_line_is_refused_without_a_quote(line: str, text: str) -> None:
    with pytest.raises(ValueError, match=text) as raised:
        letter_from(line, lambda _body, _attributes: VERDICT)
    assert "secret" not in str(raised.value)


def test_a_dump_is_read_line_by_line_and_a_wrong_line_has_its_number(tmp_path: Path) -> None:
    path = tmp_path / "dump"
    path.write_text(f"{json.dumps(LINE)}\n\nsecret\n")
    letters = read_dump(path, lambda _body, _attributes: VERDICT)
    assert next(letters).body == "secret"
    with pytest.raises(OpsError, match=r"dump, line 3 is no line of a dump$"):
        next(letters)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(b"\xff")
    for name, text in (("missing", "cannot be read: No such file"), ("dump", "is not in UTF-8")):
        with pytest.raises(OpsError, match=text):
            next(read_dump(tmp_path / name, lambda _body, _attributes: VERDICT))
