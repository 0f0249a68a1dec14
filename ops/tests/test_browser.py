"""The page in a real browser: list, open, search, keys, e-mails that arrive, sending and mending."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium.webdriver.common.keys import Keys

from pillarbox.ids import time_of

from .pipelines import Pipeline
from .ui import samples
from .ui.browser import Browser, running_browser
from .ui.fake_services import TOKEN, FakeServices, running_services
from .ui.running import served, services_of

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture
def fakes(pipeline: Pipeline) -> Iterator[FakeServices]:
    with running_services(pipeline) as services:
        yield services


@pytest.fixture
def browser(chromium: Browser, pipeline: Pipeline, fakes: FakeServices, tmp_path: Path) -> Iterator[Browser]:
    """Yield a browser that shows the archive of a pipeline. Require at the end: no other host, no warning."""
    addresses = {"API_URL": fakes.url, "CONSUMER_URL": fakes.url, "API_TOKEN": TOKEN}
    with served(services_of(pipeline.environment | addresses, tmp_path)) as address:
        chromium.look()
        chromium.open(address)
        yield chromium
        chromium.driver.get("about:blank")
        assert {urlsplit(url).netloc for url in chromium.requested() if url.startswith("http")} == {
            urlsplit(address).netloc
        }
        assert chromium.complaints() == []
        assert chromium.trap.connections == 0


def _now() -> datetime:
    return datetime.now(UTC)


def _list(browser: Browser, count: int) -> None:
    """Show today's archive as soon as it has so many e-mails on its first page."""
    browser.go("/")
    browser.wait(lambda: len(_subjects(browser)) == count, f"{count} e-mails")


def _subjects(browser: Browser) -> list[str]:
    found: list[str] = browser.script("return [...document.querySelectorAll('.row .subject')].map(e => e.innerText)")
    return found


def test_the_archive_is_listed_and_an_email_opened(browser: Browser, pipeline: Pipeline) -> None:
    samples.fill(pipeline, _now(), 20)
    _list(browser, 20)
    browser.all(".row a")[1].click()
    browser.shows("Invoice 40037", ".email h1")
    browser.shows("Dear customer,\n\nhere is the invoice", "pre.text")


def test_an_arriving_email_appears_at_the_top_by_itself(browser: Browser, pipeline: Pipeline) -> None:
    browser.shows("No e-mails yet today")
    for number in (1, 2):
        samples.put(pipeline, _now(), number, {"email_subject": f"Arrival {number}"})
        expected = [f"Arrival {number}"]
        browser.wait(lambda expected=expected: _subjects(browser)[:1] == expected, expected[0])  # type: ignore[misc]  # a default
    assert "No e-mails" not in browser.text()
    browser.shows("2 e-mails", "#count")


def test_who_reads_further_down_is_not_disturbed_by_an_arrival(browser: Browser, pipeline: Pipeline) -> None:
    samples.fill(pipeline, _now(), 60)
    _list(browser, 50)
    browser.script("window.scrollTo(0, 600)")
    before = _subjects(browser)
    samples.put(pipeline, _now() + timedelta(seconds=1), 999, {"email_subject": "The arrival"})
    browser.wait(lambda: browser.one("#fresh").is_displayed(), "the button of new e-mails")
    assert _subjects(browser) == before
    browser.press(".")
    browser.wait(lambda: _subjects(browser)[:1] == ["The arrival"], "the arrival")
    assert browser.script("return document.activeElement.innerText").count("The arrival") == 1


def test_an_arrival_leaves_the_focus_where_it_is(browser: Browser, pipeline: Pipeline) -> None:
    samples.fill(pipeline, _now(), 5)
    _list(browser, 5)
    browser.press("j", "j")
    focused = browser.script("return document.activeElement.href")
    samples.put(pipeline, _now(), 999, {"email_subject": "The arrival"})
    browser.wait(lambda: "The arrival" in _subjects(browser), "the arrival")
    assert browser.script("return document.activeElement.href") == focused


def test_the_keyboard_alone_is_enough(browser: Browser, pipeline: Pipeline) -> None:
    samples.fill(pipeline, _now(), 3)
    _list(browser, 3)
    browser.press("j", "j", "k", "j", Keys.ENTER)
    browser.shows("Invoice 40037", ".email h1")
    browser.press("j")
    browser.shows("Build 40074", ".email h1")
    browser.press("k", "k")
    browser.shows("Your order 40000", ".email h1")
    browser.press(Keys.ESCAPE)
    browser.wait(lambda: len(_subjects(browser)) == 3, "the list")
    browser.press("?")
    assert browser.one("#keys").is_displayed()
    browser.press(Keys.ESCAPE)
    browser.wait(lambda: not browser.one("#keys").is_displayed(), "the closed dialog")
    browser.press("/")
    browser.press("subject:build", Keys.ENTER)
    browser.shows("1 match")
    browser.press("j", Keys.ENTER)
    browser.shows("Build 40074", ".email h1")
    browser.press(Keys.ESCAPE)
    browser.shows("1 match")


def test_the_keys_of_one_letter_can_be_switched_off(browser: Browser, pipeline: Pipeline) -> None:
    samples.fill(pipeline, _now(), 3)
    browser.go("/keys")
    browser.one("main .keys-on").click()
    _list(browser, 3)
    browser.press("j", "?")
    assert browser.script("return document.activeElement === document.body")
    assert not browser.one("#keys").is_displayed()
    browser.script("localStorage.clear()")


def test_tab_reaches_the_content_first_and_the_focus_is_visible(browser: Browser, pipeline: Pipeline) -> None:
    samples.fill(pipeline, _now(), 3)
    _list(browser, 3)
    browser.press(Keys.TAB)
    assert browser.script("return document.activeElement.className") == "skip"
    browser.press(Keys.ENTER, Keys.TAB)
    assert browser.script("return document.activeElement.id") == "earlier"
    assert browser.script("return getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_a_sent_email_is_shown_as_soon_as_it_is_archived(browser: Browser, fakes: FakeServices) -> None:
    browser.go("/send")
    for name, value in (("sender", "jane@example.com"), ("subject", " "), ("content", "The text")):
        browser.one(f"#email_{name}").send_keys(value)
    browser.submit("main button")
    browser.shows("must not be blank")
    assert any("400" in complaint for complaint in browser.complaints())
    browser.one("#email_subject").send_keys("From the form")
    browser.submit("main button")
    browser.shows("From the form", ".email h1")
    assert fakes.accepted == 1


def test_an_email_that_is_under_way_appears_when_it_is_stored(browser: Browser, pipeline: Pipeline) -> None:
    message_id = samples.message_id(_now(), 5)
    browser.go(f"/email?id={message_id}")
    browser.shows("Not archived yet")
    samples.put(pipeline, time_of(message_id), 5, {"email_subject": "Now it is here"})
    browser.shows("Now it is here", ".email h1")
    assert all("404" in complaint for complaint in browser.complaints())


def test_dead_letters_are_redriven_after_a_confirmation(browser: Browser, pipeline: Pipeline) -> None:
    samples.put_letters(pipeline, redrivable=7, broken=4)
    browser.go("/queues")
    browser.shows("11 waiting")
    browser.one("a[href='/queues/dead-letters']").click()
    browser.one(".tabs a[href*=redrivable]").click()
    browser.wait(lambda: len(browser.all(".letters .row")) == 7, "seven rows")
    browser.submit("button[value=redrive]")
    browser.shows("Redrive 7 messages?")
    browser.submit("main form button")
    browser.shows("7 messages redriven")
    browser.go("/queues")
    browser.shows("4 waiting")
    browser.shows("7 waiting")


def test_a_ticked_dead_letter_is_deleted(browser: Browser, pipeline: Pipeline) -> None:
    samples.put_letters(pipeline, redrivable=3, broken=0)
    browser.go("/queues/dead-letters")
    browser.all(".tick input")[1].click()
    assert browser.one("#which-ticked").is_selected()
    browser.submit("button[value=delete]")
    browser.shows("Delete 1 message?")
    browser.submit("main form button")
    browser.shows("1 message deleted")


def test_a_message_of_a_queue_is_opened_in_its_place(browser: Browser, pipeline: Pipeline) -> None:
    samples.put_letters(pipeline, redrivable=2, broken=0)
    browser.go("/queues/dead-letters")
    browser.press("j", Keys.ENTER)
    browser.shows('"email_subject": "Letter 0"', "details[open] pre")


def test_the_figures_move_by_themselves(browser: Browser, fakes: FakeServices) -> None:
    browser.go("/figures")
    fakes.waiting = 41
    browser.shows("41", ".plots")


def test_the_pages_work_without_javascript(browser: Browser, pipeline: Pipeline) -> None:
    samples.fill(pipeline, _now(), 60)
    _list(browser, 50)
    browser.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.go("/")
        for _ in range(2):
            browser.driver.find_element("link text", "Older").click()
            browser.driver.find_element("link text", "Newest").click()
        browser.driver.find_element("css selector", ".row a").click()
        assert "Your order 40000" in browser.driver.find_element("css selector", ".email h1").text
    finally:
        browser.command("Emulation.setScriptExecutionDisabled", value=False)
