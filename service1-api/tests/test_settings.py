"""The settings: what is read, what is refused, and that an error shows no value."""

import contextlib

import pytest

from pillarbox.settings import EXIT_WRONG_SETTINGS, load_or_exit
from service1_api.server.budget import Budget
from service1_api.settings import Settings


def test_required_variables_are_sufficient(environment: pytest.MonkeyPatch) -> None:
    settings = load_or_exit(Settings)
    assert (settings.aws_region, settings.port) == ("eu-central-1", 8080)
    assert settings.ssm_parameter_name == "/email-service/api-token"


def test_older_variable_of_the_parameter_is_read(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TOKEN_SSM_PARAMETER", "/older")
    assert load_or_exit(Settings).ssm_parameter_name == "/older"
    environment.setenv("SSM_PARAMETER_NAME", "/newer")
    assert load_or_exit(Settings).ssm_parameter_name == "/newer"


def test_empty_variable_counts_as_unset(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PORT", "")
    assert load_or_exit(Settings).port == 8080


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("AWS_REGION", "", "AWS_REGION: is required"),
        ("SQS_QUEUE_URL", "", "SQS_QUEUE_URL: is required"),
        ("SQS_QUEUE_URL", "emails", "SQS_QUEUE_URL: expected a queue URL such as https://"),
        ("PORT", "http", "PORT: Input should be a valid integer"),
        ("PORT", "65536", "PORT: Input should be less than or equal to 65535"),
        ("LOG_LEVEL", "verbose", "LOG_LEVEL: Input should be 'DEBUG', 'INFO'"),
        ("RATE_LIMIT", "lots", "RATE_LIMIT: expected a rate such as 100/minute"),
        ("RATE_LIMIT_STORAGE", "http://:secret@host", "RATE_LIMIT_STORAGE: expected memory:// or redis://"),
        ("DRAIN_SECONDS", "-1", "DRAIN_SECONDS: Input should be greater than or equal to 0"),
        ("MAX_REQUEST_BYTES", "1023", "MAX_REQUEST_BYTES: Input should be greater than or equal to 1024"),
    ],
)
def test_invalid_variable_exits_with_one_line_that_names_it(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, expected: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        load_or_exit(Settings)
    assert ended.value.code == EXIT_WRONG_SETTINGS == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(expected)


MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"MAX_REQUEST_BYTES": 2 * MIB}, []),
        ({"MAX_REQUEST_BYTES": 16 * MIB, "PAYLOAD_BUCKET": "payloads"}, []),
        (
            {"MAX_REQUEST_BYTES": 16 * MIB, "PAYLOAD_BUCKET": "payloads", "MAX_BODY_BYTES_IN_FLIGHT": 32 * MIB - 1},
            ["MAX_BODY_BYTES_IN_FLIGHT: must be at least twice MAX_REQUEST_BYTES, or no large body fits"],
        ),
        ({"MAX_REQUEST_BYTES": MIB, "MAX_BODY_BYTES_IN_FLIGHT": 2 * MIB}, []),
    ],
)
def test_sizes_that_do_not_fit_together_are_refused_at_start(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], values: dict[str, object], expected: list[str]
) -> None:
    for name, value in values.items():
        environment.setenv(name, str(value))
    with pytest.raises(SystemExit) if expected else contextlib.nullcontext():
        load_or_exit(Settings)
    assert capsys.readouterr().err.splitlines() == expected


@pytest.mark.parametrize("max_bytes", [1024, 2 * MIB, 16 * MIB])
def test_largest_body_in_the_worst_chunks_fits_into_the_smallest_budget(max_bytes: int) -> None:
    """The settings require twice the body; the server counts its head and its chunks' framing as well."""
    budget = Budget(2 * max_bytes)
    framing = min(max_bytes // 8 + 64 * 1024, max_bytes // 2 - 1024)  # small bodies are always small requests
    assert budget.has_room(0, max_bytes + (framing if max_bytes > MIB else 0))


@pytest.mark.parametrize("prefix", ["payloads", "/payloads/", "a//b/", "a b/", "ä/"])
def test_prefix_of_payloads_ends_with_a_slash_and_has_plain_characters(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], prefix: str
) -> None:
    environment.setenv("PAYLOAD_PREFIX", prefix)
    with pytest.raises(SystemExit):
        load_or_exit(Settings)
    assert capsys.readouterr().err.startswith("PAYLOAD_PREFIX: ")


@pytest.mark.parametrize(("name", "value"), [("STATUS_KEY_TEMPLATE", "{prefix}"), ("S3_PREFIX", "/")])
def test_key_template_that_the_consumer_would_refuse_is_refused(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    environment.setenv(name, value)
    environment.setenv("MAX_REQUEST_BYTES", str(16 * MIB))
    environment.setenv("MAX_BODY_BYTES_IN_FLIGHT", str(MIB))
    with pytest.raises(SystemExit):
        load_or_exit(Settings)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["MAX_BODY_BYTES_IN_FLIGHT", "STATUS_KEY_TEMPLATE"]


def test_how_the_archive_is_written_may_have_the_consumer_s_names(environment: pytest.MonkeyPatch) -> None:
    for name, value in {"S3_PREFIX": "a/", "S3_KEY_TEMPLATE": "{prefix}{message_id}", "OBJECT_LAYOUT": "batch"}.items():
        environment.setenv(name, value)
    settings = load_or_exit(Settings)
    found = (settings.status_prefix, settings.status_key_template, settings.status_object_layout)
    assert found == ("a/", "{prefix}{message_id}", "batch")


def test_each_invalid_variable_has_a_line_without_its_value(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setenv("RATE_LIMIT_STORAGE", "https://:hunter2@host")
    environment.setenv("PORT", "hunter2")
    environment.delenv("AWS_REGION")
    with pytest.raises(SystemExit):
        load_or_exit(Settings)
    output = capsys.readouterr().err
    assert [line.partition(":")[0] for line in output.splitlines()] == ["AWS_REGION", "PORT", "RATE_LIMIT_STORAGE"]
    assert "hunter2" not in output


def test_every_setting_has_a_description(environment: pytest.MonkeyPatch) -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_logged_settings_contain_no_secret(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("RATE_LIMIT_STORAGE", "redis://:hunter2@host")
    assert "hunter2" not in str(load_or_exit(Settings).model_dump(mode="json"))
