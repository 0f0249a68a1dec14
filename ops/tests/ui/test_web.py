import logging

import pytest
from botocore.exceptions import EndpointConnectionError

from pillarbox_ops.errors import OpsError

from .pages import Page, shown


def test_a_page_that_does_not_exist_says_so(page: Page) -> None:
    assert "There is no such page" in shown(page.get("/nope", 404))


def test_a_form_that_is_too_large_is_refused(page: Page) -> None:
    assert "larger than 2 MiB" in shown(page.post("/send", 413, email_content="x" * 3 * 1024 * 1024))


def _failing(page: Page, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(_day: object) -> None:
        raise error

    monkeypatch.setattr(page.services.emails, "entries", fail)


def test_a_known_error_is_shown_and_asked_again(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    _failing(page, monkeypatch, OpsError("the bucket <b> is not there"))
    answer = page.get("/", 502)
    assert "the bucket <b> is not there" in shown(answer)
    assert "Try again" in shown(answer)
    assert "<html" not in page.get("/day/2026-11-28?part=1", 502).text


def test_an_endpoint_that_does_not_answer_is_explained(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    _failing(page, monkeypatch, EndpointConnectionError(endpoint_url="http://127.0.0.1:1/"))
    assert "AWS cannot be called" in shown(page.get("/", 502))


def test_a_defect_is_logged_by_kind_and_place_without_its_text(
    page: Page, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _failing(page, monkeypatch, KeyError("private words"))
    with caplog.at_level(logging.ERROR):
        answer = page.get("/", 500)
    assert "KeyError" in shown(answer)
    assert "private words" not in answer.text + caplog.text
    assert "test_web.py:" in caplog.text
