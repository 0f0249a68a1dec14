import re
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.datastructures import Headers

from pillarbox_ops.ui.access import EMAIL_POLICY, POLICY, Access, refusal

from .pages import Page, shown

ACCESS = Access(8025, "the-secret")
EVIL = "http://evil.example"


def _refusal(method: str = "GET", host: str = "127.0.0.1:8025", endpoint: str = "archive.day", **headers: str) -> Any:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return refusal(ACCESS, endpoint, method, Headers(given), host)


@pytest.mark.parametrize("host", ["127.0.0.1:8025", "localhost:8025", "[::1]:8025"])
def test_the_names_of_loopback_are_let_through(host: str) -> None:
    assert _refusal(host=host) is None


@pytest.mark.parametrize(
    "host", ["evil.example:8025", "127.0.0.1", "127.0.0.1:8026", "127.0.0.1.evil.example:8025", ""]
)
@pytest.mark.parametrize("endpoint", ["archive.day", "login", "static", "ready"])
def test_another_host_is_refused_on_every_route(host: str, endpoint: str) -> None:
    assert "Host" in _refusal(host=host, endpoint=endpoint)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_is_refused_even_another_port_of_this_machine(site: str) -> None:
    assert _refusal(Sec_Fetch_Site=site)
    assert _refusal("POST", Sec_Fetch_Site=site, Origin="null")


def test_a_link_elsewhere_may_lead_to_the_login_only() -> None:
    assert _refusal(endpoint="login", Sec_Fetch_Site="cross-site") is None


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://127.0.0.1:8025"},
        {"Origin": "null", "Sec_Fetch_Site": "same-origin"},
        {"Sec_Fetch_Site": "same-origin"},
    ],
)
def test_a_form_of_this_page_is_let_through(headers: dict[str, str]) -> None:
    assert _refusal("POST", **headers) is None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": EVIL},
        {"Origin": EVIL, "Sec_Fetch_Site": "same-origin"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "https://127.0.0.1:8025.evil.example"},
        {"Sec_Fetch_Site": "none"},
    ],
)
def test_any_other_form_is_refused(headers: dict[str, str]) -> None:
    assert _refusal("POST", **headers)


@pytest.mark.parametrize("port_in_host", ["", ":80"])
def test_at_port_80_the_port_may_be_left_out(port_in_host: str) -> None:
    access = Access(80, "the-secret")
    for name in ("127.0.0.1", "localhost", "[::1]"):
        headers = Headers({"Origin": f"http://{name}{port_in_host}"})
        assert refusal(access, "archive.day", "POST", headers, name + port_in_host) is None
    assert refusal(access, "archive.day", "GET", Headers(), f"evil.example{port_in_host}")


def _routes(page: Page) -> list[str]:
    rules = page.client.application.url_map.iter_rules()
    return [re.sub(r"<[^>]*>", "x", rule.rule) for rule in rules if rule.endpoint not in ("login", "ready", "static")]


def test_every_other_route_needs_the_cookie(page: Page) -> None:
    page.client.delete_cookie(page.access.cookie_name, domain="127.0.0.1")
    for path in _routes(page):
        for method in ("GET", "POST"):
            headers = {"Origin": page.base_url}
            answer = page.client.open(path, method=method, base_url=page.base_url, headers=headers)
            assert answer.status_code == 401, path


def test_a_cookie_of_another_start_is_no_use(page: Page) -> None:
    page.client.set_cookie(page.access.cookie_name, Access(8025).derived("cookie"), domain="127.0.0.1")
    assert "full address" in shown(page.get("/", 401))


def test_every_post_needs_the_token_of_its_form(page: Page) -> None:
    for rule in page.client.application.url_map.iter_rules():
        if "POST" in (rule.methods or ()):
            path = re.sub(r"<[^>]*>", "dead-letters", rule.rule)
            assert "reload the page" in shown(page.post(path, 403, csrf="wrong")), path


def test_the_login_sets_a_strict_cookie_without_the_secret_and_continues_by_itself(page: Page) -> None:
    answer = page.get(f"/login?token={page.access.secret}")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert page.access.secret not in cookie + answer.text
    assert 'http-equiv="refresh" content="0;url=/"' in answer.text


@pytest.mark.parametrize("token", ["", "wrong", "\u00e9"])
def test_a_wrong_token_is_refused(page: Page, token: str) -> None:
    assert "Set-Cookie" not in page.get(f"/login?token={token}", 401).headers


def test_the_logout_forgets_the_cookie(page: Page) -> None:
    page.post("/logout", 303)
    page.get("/", 401)


def test_every_answer_has_the_headers_of_safety(page: Page) -> None:
    for path, status in (("/", 200), ("/nope", 404), ("/login", 401), ("/static/app.js", 200)):
        headers = page.get(path, status).headers
        assert headers["Content-Security-Policy"] == POLICY
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == ("no-cache" if "static" in path else "no-store")


def test_the_policies_allow_nothing_by_default_and_no_inline_code() -> None:
    assert POLICY.startswith("default-src 'none'; ")
    assert "unsafe" not in POLICY
    assert "script" not in EMAIL_POLICY
    assert EMAIL_POLICY.endswith("; sandbox")


def test_the_secret_is_new_in_each_start_and_not_shown(new_page: Callable[..., Page]) -> None:
    assert Access(1).secret != Access(1).secret
    assert "the-secret" not in repr(ACCESS)
    assert ACCESS.address() == "http://127.0.0.1:8025/login?token=the-secret"
