"""The session: the endpoint of a service, and the time-outs of STS."""

import os
from pathlib import Path
from typing import Any

import pytest

from pillarbox_aws.session import ca_bundle, endpoint_url, new_session


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    path = tmp_path / "config"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    return path


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"AWS_ENDPOINT_URL": "http://all"}, "http://all"),
        ({"AWS_ENDPOINT_URL": "http://all", "AWS_ENDPOINT_URL_SQS": "http://sqs"}, "http://sqs"),
        ({"AWS_ENDPOINT_URL": "http://all", "AWS_ENDPOINT_URL_S3": "http://s3"}, "http://all"),
    ],
)
def test_endpoint_of_the_service_takes_precedence(config: Path, environ: dict[str, str], expected: str | None) -> None:
    assert endpoint_url(new_session("eu-central-1"), "sqs", environ) == expected


def test_endpoint_of_the_environment_takes_precedence_over_the_profile(config: Path) -> None:
    config.write_text(
        "[default]\nendpoint_url = http://all\nservices = mine\nca_bundle = /ca.pem\n"
        "[services mine]\nsqs =\n  endpoint_url = http://sqs\n"
    )
    session = new_session("eu-central-1")
    assert endpoint_url(session, "sqs", {}) == "http://sqs"
    assert endpoint_url(session, "s3", {}) == "http://all"
    assert endpoint_url(session, "sqs", {"AWS_ENDPOINT_URL": "http://env"}) == "http://env"
    assert ca_bundle(session) == "/ca.pem"


def test_configured_endpoints_can_be_ignored(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert endpoint_url(new_session("eu-central-1"), "sqs", {"AWS_ENDPOINT_URL": "http://all"}) is None


def test_sts_has_short_timeouts_and_one_attempt(config: Path) -> None:
    client = new_session("eu-central-1").create_client("sts", aws_access_key_id="k", aws_secret_access_key="s")
    settings: Any = client.meta.config
    assert client.meta.region_name == "eu-central-1"
    assert settings.connect_timeout + settings.read_timeout <= 5
    assert settings.retries["total_max_attempts"] == 1
