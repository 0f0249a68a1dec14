"""The page in a real browser: hostile e-mails, many e-mails, narrow and wide windows."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from .pipelines import Pipeline
from .ui import samples
from .ui.browser import Browser, running_browser
from .ui.running import served, services_of

pytestmark = pytest.mark.system

RAN = "document.documentElement.dataset.ran = 1"
# Each of these runs a script or asks another host if it is taken as markup.
VECTORS = [
    f"<script>{RAN}</script>",
    f'"><img src=x onerror="{RAN}">',
    f"'><svg onload='{RAN}'>",
    f"</textarea></title></style><script>{RAN}</script>",
    f"javascript:{RAN}",
    "<img src=https://evil.example/pixel>",
    "<link rel=preconnect href=https://evil.example><link rel=dns-prefetch href=//evil.example>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<iframe src=https://evil.example/></iframe><object data=https://evil.example/></object>",
    "<base href=https://evil.example/><style>@import url(https://evil.example/x.css);</style>",
    "{{ 7 * 7 }}{% for x in y %}",
    "\u202egnp.exe\u0000\u001b[31m",
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser, pipeline: Pipeline, tmp_path: Path) -> Iterator[Browser]:
    with served(services_of(pipeline.environment, tmp_path)) as address:
        chromium.look()
        chromium.open(address)
        yield chromium
        chromium.driver.get("about:blank")


def _hostile(pipeline: Pipeline, number: int, vector: str, content_type: str | None) -> str:
    fields = dict.fromkeys(("email_subject", "email_sender", "email_content", "email_timestream", vector), vector)
    if content_type:
        fields["content_type"] = content_type
        link = "<a href=https://evil.example/ id=a>a link</a>"
        fields["email_content"] = f"<html><body><h1>shown</h1><p>{link}</p>{vector}</body></html>"
    attachments = [{"file_name": vector, "content_type": vector, "size_bytes": 1, "sha256": vector}]
    metadata = dict.fromkeys(("trace_id", "source", "sqs_message_id"), vector)
    received_at = datetime.now(UTC) - timedelta(seconds=number)
    return samples.put(pipeline, received_at, number, fields, attachments=attachments, metadata=metadata)


def _nothing_happened(browser: Browser) -> None:
    """Check that no script ran, in the page or a frame, and that nothing was asked of another host."""
    assert browser.script("return document.documentElement.dataset.ran ?? null") is None
    asked = {urlsplit(url).netloc for url in browser.requested() if url.startswith("http")}
    assert asked == {urlsplit(browser.base_url).netloc}
    assert browser.trap.connections == 0


def test_an_email_whose_every_field_is_hostile_is_shown_and_does_nothing(browser: Browser, pipeline: Pipeline) -> None:
    ids = [_hostile(pipeline, number, vector, None) for number, vector in enumerate(VECTORS)]
    letter = {"DataType": "String", "StringValue": VECTORS[0]}
    for vector in VECTORS[:-1]:
        pipeline.sqs.send_message(QueueUrl=pipeline.dlq_url, MessageBody=vector, MessageAttributes={"source": letter})
    for path in ("/", "/search?q=after:1d", "/queues/dead-letters"):
        browser.go(path)
        browser.wait(lambda: RAN in browser.script("return document.body.textContent"), "the text of the script")
        _nothing_happened(browser)
    for message_id, vector in zip(ids, VECTORS, strict=True):
        for view in ("text", "json"):
            browser.go(f"/email?id={message_id}&view={view}")
            browser.one(".email")
            if view == "text" and "\u202e" not in vector:
                assert browser.text("pre.text") == vector
                assert browser.text(".email h1") == vector
            _nothing_happened(browser)
    assert r"\u202egnp.exe\x00\x1b[31m" in browser.text(".email h1") or r"\u202egnp.exe" in browser.text(".email h1")
    assert browser.complaints() == []


def test_a_hostile_html_email_is_shown_in_its_frame_and_reaches_nothing(browser: Browser, pipeline: Pipeline) -> None:
    for number, vector in enumerate(VECTORS[:-1]):
        browser.go(f"/email?id={_hostile(pipeline, number, vector, 'text/html')}")
        frame = browser.one("iframe")
        browser.driver.switch_to.frame(frame)
        browser.wait(lambda: browser.driver.find_element("tag name", "h1").text == "shown", "the HTML")
        browser.driver.find_element("id", "a").click()
        assert browser.script("return document.documentElement.dataset.ran ?? null") is None
        browser.driver.switch_to.default_content()
        _nothing_happened(browser)


def test_outside_of_the_page_the_same_scripts_run_and_the_trap_counts(browser: Browser) -> None:
    browser.driver.get(f"data:text/html,<h1>shown</h1>{VECTORS[0]}<img src=http://evil.example/>")
    assert browser.script("return document.documentElement.dataset.ran") == "1"
    browser.wait(lambda: browser.trap.connections, "a connection")
    browser.trap.connections = 0


def test_ten_thousand_emails_in_a_day_stay_quick(browser: Browser, pipeline: Pipeline) -> None:
    now = datetime.now(UTC)
    day = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda n: samples.put(pipeline, day + timedelta(seconds=8 * n), n, {"email_subject": f"No {n}"}),
                range(10_000),
            )
        )
    browser.go(f"/day/{day:%Y-%m-%d}")
    browser.shows("10,000 e-mails", "#count")
    assert browser.one(".row .subject").text == "No 9999"
    browser.requested()
    began = time.monotonic()
    for page in range(1, 6):
        browser.driver.find_element("link text", "Older").click()
        browser.shows(f"No {9999 - 50 * page}", "#rows")
    print(f"five pages of ten thousand e-mails: {time.monotonic() - began:.2f} s")
    assert len(browser.all(".row")) == 50
    browser.go('/search?q=subject:"No 9950" after:2d')
    browser.shows("1 match")


@pytest.mark.parametrize("width", [390, 1024, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_the_window_or_complains(
    browser: Browser, pipeline: Pipeline, width: int, scheme: str
) -> None:
    long = "x" * 400
    samples.put(
        pipeline, datetime.now(UTC), 1, dict.fromkeys(("email_subject", "email_sender", "email_content", long), long)
    )
    message_id = samples.put_html(pipeline, datetime.now(UTC))
    samples.put_letters(pipeline, redrivable=1, broken=1)
    browser.look(width=width, scheme=scheme)
    browser.go("/")
    first = browser.script("return [...document.querySelectorAll('.row a')].map(e => e.getAttribute('href'))")
    paths = [
        "/",
        *first,
        f"/email?id={message_id}&view=json",
        "/search",
        "/search?q=x",
        "/queues",
        "/queues/dead-letters",
    ]
    for path in [*paths, "/figures", "/send", "/keys", "/day/2020-01-01"]:
        browser.go(path)
        browser.one("main")
        over = browser.script("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over == 0, path
        small = browser.script(
            "return [...document.querySelectorAll('button, .button, .bar nav a')]"
            ".filter(e => e.offsetParent && e.offsetHeight < 24).map(e => e.innerText)"
        )
        assert small == [], path  # WCAG 2.2, 2.5.8
    assert browser.complaints() == []


def test_the_first_view_does_not_shift(browser: Browser, pipeline: Pipeline) -> None:
    samples.fill(pipeline, datetime.now(UTC), 60)
    own_id = samples.put_html(pipeline, datetime.now(UTC))
    browser.wait(lambda: browser.go("/") or browser.text("#count") == "61 e-mails", "all e-mails")  # type: ignore[func-returns-value]  # None
    for path in ("/", "/figures", "/queues", f"/email?id={own_id}"):
        browser.go(path)
        browser.script(
            "window.shift = 0; new PerformanceObserver(list => list.getEntries().forEach(e => window.shift += e.value))"
            ".observe({type: 'layout-shift', buffered: true})"
        )
        browser.wait(lambda: browser.script("return performance.now() > 2500"), "one update")
        assert browser.script("return window.shift") < 0.01, path


def test_a_page_of_another_origin_cannot_open_or_post(browser: Browser, pipeline: Pipeline) -> None:
    samples.put_letters(pipeline, redrivable=1, broken=0)
    other = (
        f"data:text/html,<form method=post action={browser.base_url}/queues/dead-letters/plan><button>x</button></form>"
    )
    browser.driver.get(other)
    browser.driver.find_element("tag name", "button").click()
    browser.shows("another origin")
    browser.driver.get(f"data:text/html,<a href={browser.base_url}/>x</a>")
    browser.driver.find_element("tag name", "a").click()
    browser.shows("another origin")
