"""The application: routes match by path only, and nothing is redirected."""

import pytest
from flask.testing import FlaskClient


@pytest.mark.parametrize("path", ["//health", "/health/", "/HEALTH", "/heal%00th", "/%ff", "/docs/../health"])
def test_a_path_that_is_not_a_route_is_404_and_never_a_redirect(client: FlaskClient, path: str) -> None:
    response = client.get(path)
    assert (response.status_code, response.get_json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("host", ["", "other.example", "[::1", "a b", "h" * 300])
def test_any_host_is_served(client: FlaskClient, host: str) -> None:
    assert client.get("/health", headers={"Host": host}).status_code == 200


def test_no_cookie_is_set_or_wanted(client: FlaskClient) -> None:
    response = client.get("/health", headers={"Cookie": "session=x"})
    assert "Set-Cookie" not in response.headers
    assert "Cookie" not in response.headers.get("Vary", "")


def test_head_and_options_are_answered_as_for_any_route(client: FlaskClient) -> None:
    assert client.head("/health").status_code == 200
    assert set(client.options("/process").headers["Allow"].split(", ")) == {"OPTIONS", "POST"}
