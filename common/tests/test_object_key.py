"""Object keys, and the templates that are refused."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.ids import message_id_at
from pillarbox.object_key import KeyTemplate, conflict_prefix, sender_slug

START = datetime(2026, 12, 10, 14, 30, 22, tzinfo=UTC)
DEFAULT_TEMPLATE = "{prefix}{date:%Y/%m/%d}/{message_id}.json"


def message_id(number: int) -> str:
    return message_id_at(START, number.to_bytes(10, "big"))


LAYOUTS = [
    ("{prefix}{date:%Y/%m/%d}/{message_id}.json", "messages/2026/12/10/{id}.json"),
    ("{prefix}{date:%Y/%m/%d/%H}/{message_id}.json", "sqs-messages/2026/12/10/14/{id}.json"),
    (
        "{prefix}{date:%Y/%m/%d}/{sender}/{message_id}_{date:%H%M%S}.json",
        "emails/2026/12/10/jane/{id}_143022.json",
    ),
]


@pytest.mark.parametrize(("template", "key"), LAYOUTS)
def test_template_and_prefix_give_the_three_documented_layouts(template: str, key: str) -> None:
    prefix = key.partition("/")[0] + "/"
    made = KeyTemplate(template, prefix).key(message_id(1), START, "Jane Doe <jane@example.com>")
    assert made == key.replace("{id}", message_id(1))


@pytest.mark.parametrize(
    "template", ["emails/{message_id}.json", "{date:%Y}/{prefix}{message_id}", "x{prefix}{message_id}"]
)
def test_template_outside_the_prefix_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"must begin with \{prefix\}"):
        KeyTemplate(template, "messages/")


def test_empty_prefix_is_accepted() -> None:
    assert KeyTemplate("{prefix}{message_id}", "").key(message_id(1), START, "") == message_id(1)


BAD_TEMPLATES = [
    ("{prefix}{date:%Y}.json", "message_id"),
    ("{message_id", "format syntax"),
    ("{message_id}{uuid}", "fields"),
    ("{message_id}{}", "fields"),
    ("{message_id}{date.year}", "fields"),
    ("{message_id!r}", "conversions"),
    ("{message_id:.8}", "only date"),
    ("{message_id}{date}", "directives"),
    ("{message_id}{date:%s}", "directives"),  # seconds in the machine's own time zone
    ("{message_id}{date:%c}", "directives"),  # depends on the locale
    ("{message_id}{date:%-d}", "directives"),
    ("{message_id}{date:{sender}}", "directives"),
    ("{prefix}/{message_id}", "slashes"),
    ("{prefix}a//{message_id}", "slashes"),
    ("{prefix}../{message_id}", "slashes"),
    ("{prefix}{message_id}/.", "slashes"),
    ("{prefix}a\n{message_id}", "printable"),
    ("{prefix}" + "a" * 600 + "{message_id}", "at most 512 bytes"),
]


@pytest.mark.parametrize(("template", "text"), BAD_TEMPLATES)
def test_unsafe_or_ambiguous_template_is_refused(template: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        KeyTemplate(template, "messages/")


@pytest.mark.parametrize("prefix", ["conflicts/", "health/"])
def test_reserved_prefix_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match=f"{prefix}.*reserved"):
        KeyTemplate(DEFAULT_TEMPLATE, prefix)


def test_refused_template_shows_an_example_of_its_keys() -> None:
    with pytest.raises(ValueError, match=r"look like //2025/"):
        KeyTemplate("{prefix}/{date:%Y}/{message_id}", "/")


@pytest.mark.parametrize(
    ("sender", "slug"),
    [
        ("jane.doe@example.com", "jane.doe"),
        ("Jane Doe <Jane.Doe+news@example.com>", "jane.doe+news"),
        ('"a@b"@example.com', "a-b"),
        ("John doe", "john-doe"),
        ("José Ñandú", "jose-nandu"),
        ("../../etc/passwd", "etc-passwd"),
        ("a/b\\c", "a-b-c"),
        ("...", "unknown"),
        ("@example.com", "example.com"),
        ("山田太郎", "unknown"),
        ("", "unknown"),
        ("x" * 5000, "x" * 64),
    ],
)
def test_sender_becomes_a_safe_part_of_a_key(sender: str, slug: str) -> None:
    assert sender_slug(sender) == slug


@given(st.text(max_size=300))
def test_any_sender_makes_a_safe_key(sender: str) -> None:
    key = KeyTemplate("{prefix}{sender}/{message_id}", "").key(message_id(1), START, sender)
    assert set(key) <= set("abcdefghijklmnopqrstuvwxyz0123456789._+-/")
    assert key.count("/") == 1
    assert not key.startswith(("/", ".", "-"))


@pytest.mark.parametrize(("template", "depends"), [(DEFAULT_TEMPLATE, False), ("{prefix}{sender}/{message_id}", True)])
def test_template_tells_whether_keys_depend_on_the_sender(template: str, depends: bool) -> None:
    assert KeyTemplate(template, "messages/").depends_on_sender == depends


def test_conflicts_of_an_id_lie_below_its_day() -> None:
    assert conflict_prefix(message_id(1), START) == f"conflicts/2026/12/10/{message_id(1)}/"
