"""Settings: what is read from the environment, and how a wrong variable is explained."""

from typing import Self

import pytest
from pydantic import AliasChoices, Field, ValidationError, model_validator

from pillarbox.settings import EXIT_WRONG_SETTINGS, ServiceSettings, explain, load_or_exit, variables


class Example(ServiceSettings):
    example_low: int = Field(1, ge=0, description="Lower bound")
    high: int = Field(validation_alias=AliasChoices("EXAMPLE_HIGH", "EXAMPLE_TOP"), description="Upper bound")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.example_low > self.high:
            raise ValueError("EXAMPLE_LOW: must not exceed EXAMPLE_HIGH\nEXAMPLE_HIGH: see EXAMPLE_LOW")
        return self


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("SQS_QUEUE_URL", "https://sqs.eu-central-1.amazonaws.com/123456789012/emails")


def test_settings_are_read_from_the_environment_and_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_TOP", "7")
    settings = load_or_exit(Example)
    assert (settings.example_low, settings.high) == (1, 7)
    with pytest.raises(ValidationError, match="frozen"):
        settings.example_low = 2  # type: ignore[misc]


def test_invalid_variables_exit_with_2_and_one_line_each_without_values(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EXAMPLE_LOW", "hunter2")
    with pytest.raises(SystemExit) as ended:
        load_or_exit(Example)
    assert ended.value.code == EXIT_WRONG_SETTINGS == 2
    low, high = capsys.readouterr().err.splitlines()
    assert low.startswith("EXAMPLE_LOW: Input should be a valid integer")
    assert low.endswith("(Lower bound)")
    assert high == "EXAMPLE_HIGH: is required (Upper bound)"
    assert "hunter2" not in low


def test_lines_of_a_model_validator_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_LOW", "9")
    monkeypatch.setenv("EXAMPLE_HIGH", "8")
    with pytest.raises(ValidationError) as caught:
        Example()
    lines = ["EXAMPLE_LOW: must not exceed EXAMPLE_HIGH", "EXAMPLE_HIGH: see EXAMPLE_LOW"]
    assert explain(Example, caught.value) == lines


def test_field_has_a_preferred_variable_and_aliases() -> None:
    assert variables("high", Example.model_fields["high"]) == ["EXAMPLE_HIGH", "EXAMPLE_TOP"]
    assert variables("example_low", Example.model_fields["example_low"]) == ["EXAMPLE_LOW"]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("AWS_REGION", "Europe", "AWS_REGION: String should match pattern"),
        ("SQS_QUEUE_URL", "emails", "SQS_QUEUE_URL: expected a queue URL such as https://"),
        ("SQS_QUEUE_URL", "https://sqs.example.com/", "SQS_QUEUE_URL: expected a queue URL such as https://"),
        ("BIND_HOST", "", "BIND_HOST: String should have at least 1 character"),
        ("PORT", "0", "PORT: Input should be greater than or equal to 1"),
        ("LOG_LEVEL", "verbose", "LOG_LEVEL: Input should be 'DEBUG', 'INFO'"),
    ],
)
def test_shared_settings_reject_invalid_values(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv("EXAMPLE_HIGH", "7")
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as caught:
        Example()
    (line,) = explain(Example, caught.value)
    assert line.startswith(expected)
