from datetime import timedelta

import pytest

from .fake_archive import NOON, FakeArchive
from .pages import Page, links, shown
from .samples import fill, put


def test_the_first_page_is_today_newest_first(page: Page, fake: FakeArchive) -> None:
    fill(fake, NOON, 3)
    text = shown(page.get("/"))
    assert "28 November 2026" in text
    assert "3 e-mails" in text
    assert text.index("Your order 40000") < text.index("Invoice 40037") < text.index("Build 40074")


def test_fifty_are_a_page_and_links_lead_through_all_of_them(page: Page, fake: FakeArchive) -> None:
    fill(fake, NOON, 120)
    seen, path = [], "/day/2026-11-28"
    while path:
        answer = page.get(path)
        seen += links(answer, " B ")
        path = next(iter(links(answer, "Older")), "")
    assert len(seen) == len(set(seen)) == 120
    back = page.get(links(answer, "Newer")[0])
    assert links(back, " B ") == seen[50:100]
    assert links(page.get(links(back, "Newest")[0]), " B ") == seen[:50]


def test_a_day_without_emails_says_what_to_do(page: Page) -> None:
    assert "No e-mails yet today" in shown(page.get("/"))
    assert "No e-mails on this day" in shown(page.get("/day/2026-11-01"))


def test_the_buttons_lead_to_the_next_day_with_emails(page: Page, fake: FakeArchive) -> None:
    put(fake, NOON - timedelta(days=40), 1, {"email_subject": "Long ago"})
    assert "Long ago" in shown(page.get("/day/2026-11-28/earlier"))
    assert "Long ago" in shown(page.get("/day/2026-10-01/later"))
    assert "None of the 96 days before this one" in shown(page.get("/day/2026-10-01/earlier"))


def test_a_part_is_the_rows_alone_and_only_todays_newest_page_follows(page: Page, fake: FakeArchive) -> None:
    fill(fake, NOON, 60)
    part = page.get("/day/2026-11-28?part=1").text
    assert "<html" not in part
    assert part.count('class="row"') == 50
    assert "data-live" in page.get("/").text
    assert "data-live" not in page.get("/day/2026-11-27").text
    assert "data-live" not in page.get(links(page.get("/"), "Older")[0]).text


@pytest.mark.parametrize(
    "day", ["2026-13-01", "x", "2026-11-28T00", "9999-12-31", "0001-01-01", "2101-01-01", "1999-12-31"]
)
def test_what_is_no_day_is_not_found(page: Page, day: str) -> None:
    page.get(f"/day/{day}", 404)
    page.get(f"/day?day={day}", 404)
    page.get(f"/day/{day}/later", 404)
    page.get(f"/day/{day}/earlier", 404)


@pytest.mark.parametrize("day", ["2000-01-01", "2100-12-31"])
def test_the_first_and_the_last_day_are_shown(page: Page, day: str) -> None:
    page.get(f"/day/{day}")


def test_a_chosen_day_is_shown(page: Page) -> None:
    assert "5 November 2026" in shown(page.get("/day?day=2026-11-05"))


@pytest.mark.parametrize("place", ["before=x&n=y", "before=messages/&n=999999999999", "after=%00"])
def test_a_place_that_does_not_exist_is_no_error(page: Page, fake: FakeArchive, place: str) -> None:
    fill(fake, NOON, 2)
    page.get(f"/day/2026-11-28?{place}")


def test_a_search_shows_what_matches(page: Page, fake: FakeArchive) -> None:
    fill(fake, NOON, 18)
    text = shown(page.get("/search?q=subject:invoice+from:example"))
    assert "Invoice 40037" in text
    assert "Your order" not in text
    assert "in 18 objects" in text


def test_a_search_finds_an_id_at_once(page: Page, fake: FakeArchive) -> None:
    message_id = put(fake, NOON - timedelta(days=300), 1, {"email_subject": "Long ago"})
    assert "Long ago" in shown(page.get(f"/search?q=id:{message_id}"))


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("sender:jane", "sender: is not a search word"),
        ("after:soon", "expected a time"),
        ("larger:big", "expected a size"),
        ("id:7", "expected a message id"),
        ("after:1d before:2d", "the range from after"),
        ("id:019b0a3c-8b8e-7c3a-9a51-0f2d4c6e8a10 after:1d before:2d", "the range from after"),
    ],
)
def test_a_wrong_word_is_named(page: Page, words: str, error: str) -> None:
    answer = page.get(f"/search?q={words}", 400)
    assert error in shown(answer)
    assert f'value="{words}"' in answer.text


def test_the_title_of_a_search_has_no_tags_and_is_escaped(page: Page) -> None:
    text = page.get("/search?q=%3Cb%3E" + "x" * 80).text
    assert f"<title>&lt;b&gt;{'x' * 57}… \u2013 Pillarbox</title>" in text


def test_a_search_without_words_explains_them(page: Page) -> None:
    assert "Search syntax" in shown(page.get("/search?q=+"))


def test_a_search_without_a_match_says_where_it_looked(page: Page) -> None:
    text = shown(page.get("/search?q=nothing"))
    assert "0 matches in 0 objects, 2026-11-21 12:00 until now" in text
    assert "after:30d" in text
