from datetime import UTC, datetime

import pytest

from pillarbox_ops.ui import text


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("<script>", "&lt;script&gt;"),
        ("\" onx='", "&#34; onx=&#39;"),
        ("a\nb\tc\r\nd", "a\nb\tc\nd"),
        ("naïve ‍é 👨‍👩‍👧", "naïve ‍é 👨‍👩‍👧"),
    ],
)
def test_text_is_escaped_and_otherwise_as_it_is(given: str, shown: str) -> None:
    assert text.visible(given).replace("\r", "") == shown


@pytest.mark.parametrize(
    ("character", "code"),
    [("\x00", "\\x00"), ("\x1b", "\\x1b"), ("\u202e", "\\u202e"), ("\u200b", "\\u200b"), ("\ud800", "\\ud800")],
)
def test_a_hidden_character_is_shown_as_its_code(character: str, code: str) -> None:
    shown = text.visible(f"a{character}b")
    assert character not in shown
    assert f">{code}</span>b" in shown
    shown.encode()


def test_a_lone_carriage_return_is_shown() -> None:
    assert "\\x0d" in text.visible("a\rb")


def test_long_text_is_cut_and_says_so() -> None:
    assert text.visible("x" * 300, 10) == 'xxxxxxxxxx<span class="ctl">…</span>'


def test_a_line_has_no_line_breaks() -> None:
    assert text.line("  a\r\n\n b\tc ") == "a b c"


def test_plain_text_is_one_line_without_tags_and_with_codes_for_what_is_hidden() -> None:
    assert text.plain(" a\n<b>\u202e ", 80) == "a <b>\\u202e"
    assert text.plain("x" * 80, 80) == "x" * 80
    assert text.plain("x" * 81, 80) == "x" * 80 + "…"


def test_a_snippet_of_html_has_the_words_without_tags_and_styles() -> None:
    html = "<html><style>p{color:red}</style><p>Dear <b>Sir</b> &amp;&lt; Madam</p><script>x()</script>"
    assert text.snippet(html) == "Dear Sir &amp;&lt; Madam"
    assert text.snippet("1 < 2 > 0") == "1 &lt; 2 &gt; 0"
    assert text.snippet("<style>" + "x" * 5000) == ""


@pytest.mark.parametrize(
    ("sender", "parts"),
    [
        ("Jane Doe <jane@example.com>", ("Jane Doe", "jane@example.com")),
        ('"Doe, Jane" <jane@example.com>', ("Doe, Jane", "jane@example.com")),
        ("jane@example.com", ("jane@example.com", "")),
        ("<jane@example.com>", ("<jane@example.com>", "")),
        ("a <b> <c>", ("a <b> <c>", "")),
        ("", ("", "")),
    ],
)
def test_a_sender_has_a_name_and_an_address(sender: str, parts: tuple[str, str]) -> None:
    assert text.who(sender) == parts


@pytest.mark.parametrize(
    "html",
    [
        "<a href=//evil.example>",
        "<AREA href=//x>",
        "</A>",
        "<iframe src=//evil.example>",
        "<OBJECT data=//evil.example>",
        "<embed>",
        "<frame>",
        "<LINK rel=preconnect href=//evil.example>",
        "<meta http-equiv=refresh content='0'>",
        "</base>",
        "<me\x00ta x>",
    ],
)
def test_tags_that_a_policy_does_not_stop_become_unknown_ones(html: str) -> None:
    assert text.harmless(html).lower().startswith("<x-")


def test_other_tags_stay() -> None:
    assert text.harmless("<p>linked <metal> <b>x</b><abbr>").startswith("<p>linked <metal> <b>x</b><abbr>")


def test_sizes_ages_and_counts_are_short() -> None:
    assert [text.size(n) for n in (0, 1023, 1024, 1_500_000)] == ["0 B", "1023 B", "1.0 KiB", "1.4 MiB"]
    assert [text.age(n) for n in (-3, 119, 120, 7200, 200_000)] == ["0 s", "119 s", "2 min", "2 h", "2 d"]
    assert text.plural(1, "match", "matches") == "1 match"
    assert text.plural(1200, "e-mail") == "1,200 e-mails"
    assert text.count(12345) == "12,345"
    assert text.stamp(datetime(2026, 12, 1, 14, 30, 5, tzinfo=UTC)) == "2026-12-01 14:30:05"


def test_a_record_is_indented_json_in_its_own_letters() -> None:
    assert text.pretty({"a": "é"}) == '{\n  "a": "é"\n}'
