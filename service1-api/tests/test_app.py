"""The application: routes match by path only, and nothing is redirected."""

import pytest
from flask.testing import FlaskClient


@pytest.mark.parametrize("path", ["//health", "/health/", "/HEALTH", "/heal%00th", "/%ff", "/docs/../health"])
def test_unknown_path_is_404_without_redirect(client: FlaskClient, path: str) -> None:
    response = client.get(path)
    assert (response.status_code, response.get_json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("host", ["", "other.example", "[::1", "a b", "h" * 300])
def test_app_serves_any_host(client: FlaskClient, host: str) -> None:
    assert client.get("/health", headers={"Host": host}).status_code == 200


def test_app_sets_no_cookie(client: FlaskClient) -> None:
    response = client.get("/health", headers={"Cookie": "session=x"})
    assert "Set-Cookie" not in response.headers
    assert "Cookie" not in response.headers.get("Vary", "")


def test_head_and_options_are_answered(client: FlaskClient) -> None:
    assert client.head("/health").status_code == 200
    assert set(client.options("/process").headers["Allow"].split(", ")) == {"OPTIONS", "POST"}
