"""Settings: names, bounds and timings that depend on each other."""

import pytest
from pydantic import ValidationError

from pillarbox.settings import explain
from service2_consumer.settings import Settings

REQUIRED = {
    "AWS_REGION": "eu-central-1",
    "SQS_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/000000000000/emails",
    "S3_BUCKET_NAME": "archive",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POLL_INTERVAL", "POLL_INTERVAL_SECONDS", "S3_PREFIX", "PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)


def lines(monkeypatch: pytest.MonkeyPatch, **variables: str) -> list[str]:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    return explain(Settings, caught.value)


def test_three_variables_are_sufficient() -> None:
    settings = Settings()
    assert (settings.lanes, settings.prefix, settings.port) == (4, "messages/", 8080)


@pytest.mark.parametrize("name", ["POLL_INTERVAL_SECONDS", "POLL_INTERVAL"])
def test_poll_interval_has_two_names(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "7")
    assert Settings().poll_interval_seconds == 7


def test_each_invalid_variable_has_a_line_with_what_is_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SQS_QUEUE_URL")
    found = lines(monkeypatch, PORT="0", MAX_MESSAGES_PER_POLL="eleven", POLL_INTERVAL="-1")
    assert [line.partition(":")[0] for line in found] == [
        "SQS_QUEUE_URL",
        "PORT",
        "MAX_MESSAGES_PER_POLL",
        "POLL_INTERVAL_SECONDS",
    ]
    assert found[0].startswith("SQS_QUEUE_URL: is required")
    assert "eleven" not in "".join(found)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("MAX_MESSAGES_PER_POLL", "1", "0"),
        ("MAX_MESSAGES_PER_POLL", "10", "11"),
        ("LONG_POLL_SECONDS", "0", "-1"),
        ("LONG_POLL_SECONDS", "20", "21"),
        ("LANES", "64", "65"),
        ("POLL_INTERVAL_SECONDS", "250", "301"),
        ("STORE_DEADLINE_SECONDS", "1", "0"),
        ("S3_BUCKET_NAME", "a.b-c", "Upper"),
        ("SQS_QUEUE_URL", "http://127.0.0.1:4566/000000000000/q", "emails"),
        ("S3_SSE", "AES256", "aes"),
        ("LOG_LEVEL", "DEBUG", "LOUD"),
        ("STORE_TRIES", "100", "0"),
        ("ALLOW_OVERWRITE", "true", "maybe"),
        ("OBJECT_LAYOUT", "message", "file"),
    ],
)
def test_bounds_are_checked(monkeypatch: pytest.MonkeyPatch, name: str, good: str, bad: str) -> None:
    monkeypatch.setenv(name, good)
    Settings()
    (line,) = lines(monkeypatch, **{name: bad})
    assert line.startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"VISIBILITY_TIMEOUT_SECONDS": "59"}, "STORE_DEADLINE_SECONDS"),
        ({"STORE_DEADLINE_SECONDS": "90"}, "LONG_POLL_SECONDS"),
        ({"LIVENESS_SECONDS": "49"}, "LIVENESS_SECONDS"),
        ({"OBJECT_LAYOUT": "batch", "BATCH_MAX_SECONDS": "111"}, "BATCH_MAX_SECONDS"),
        ({"S3_KMS_KEY_ID": "key"}, "S3_KMS_KEY_ID"),
        ({"S3_KEY_TEMPLATE": "{prefix}{date:%Y}"}, "S3_KEY_TEMPLATE"),
        ({"S3_PREFIX": "/messages/"}, "S3_KEY_TEMPLATE"),
        ({"S3_KEY_TEMPLATE": "emails/{message_id}.json"}, "S3_KEY_TEMPLATE"),
    ],
)
def test_inconsistent_settings_are_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], named: str
) -> None:
    (line,) = lines(monkeypatch, **variables)
    assert line.startswith(f"{named}: ")


@pytest.mark.parametrize(
    "variables",
    [
        {"VISIBILITY_TIMEOUT_SECONDS": "60"},
        {"STORE_DEADLINE_SECONDS": "89"},
        {"LIVENESS_SECONDS": "50"},
        {"OBJECT_LAYOUT": "batch", "BATCH_MAX_SECONDS": "110"},
        {"S3_KMS_KEY_ID": "key", "S3_SSE": "aws:kms"},
    ],
)
def test_consistent_settings_at_the_bound_are_accepted(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Settings().drain_seconds < 120


def test_every_setting_has_a_description() -> None:
    assert all(field.description for field in Settings.model_fields.values())
