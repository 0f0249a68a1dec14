import io
from pathlib import Path

import pytest

from pillarbox_ops.app import App
from pillarbox_ops.errors import OpsError
from pillarbox_ops.output import Output
from pillarbox_ops.target import Target, variable_names

from .pipelines import Pipeline


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("SQS_QUEUE_URL", "S3_BUCKET_NAME", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)


def test_an_app_reads_its_target_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "x.env").write_text("S3_BUCKET_NAME=archive\nAWS_REGION=eu-west-1\n")
    app = App(Output("jsonl"), env_file=tmp_path / "x.env")
    assert app.target.bucket == "archive"
    assert app.archive.bucket == "archive"


def test_an_archive_without_a_bucket_is_an_error_that_names_the_variable() -> None:
    with pytest.raises(OpsError, match="S3_BUCKET_NAME is not set"):
        _ = App(Output("jsonl")).archive


def test_an_environment_needs_a_region() -> None:
    with pytest.raises(OpsError, match="AWS_REGION is not set"):
        _ = App(Output("jsonl"), environment="prod").target


def test_an_app_of_another_environment_has_the_same_output() -> None:
    app = App(Output("jsonl"), yes=True)
    other = app.of_environment("prod")
    assert (other.environment, other.output, other.yes) == ("prod", app.output, True)


def test_the_token_is_that_of_the_environment_without_asking_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "given")
    assert App(Output("jsonl")).token() == "given"


def test_a_token_that_cannot_be_looked_up_is_an_error_that_names_both_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("API_TOKEN", "SSM_PARAMETER_NAME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(OpsError, match=r"API_TOKEN is not set: .*SSM_PARAMETER_NAME"):
        App(Output("jsonl")).token()


def test_white_space_around_a_token_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", " given\r\n")
    assert App(Output("jsonl")).token() == "given"


@pytest.mark.parametrize("token", ["one\ntwo", "t\u00f6ken", "one\x00", "one\u2028two"])
def test_a_token_that_no_header_can_carry_is_an_error_that_does_not_show_it(
    monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    app = App(Output("jsonl"))
    app.__dict__["_resolved"] = (Target(api_token=token), {})
    with pytest.raises(OpsError) as raised:
        app.token()
    assert str(raised.value) == "API_TOKEN has characters that a token cannot have"


def test_the_parameters_token_is_checked_too(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"/{pipeline.name}/token"
    pipeline.ssm.put_parameter(Name=name, Value="t\u00f6ken\nolder\n", Type="SecureString")
    for variable, value in pipeline.environment.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("SSM_PARAMETER_NAME", name)
    monkeypatch.delenv("API_TOKEN", raising=False)
    with pytest.raises(OpsError, match=f"^{name} has characters that a token cannot have$"):
        App(Output("jsonl")).token()


@pytest.mark.parametrize(("terminal", "said"), [(True, "reading .local/stack.env\n"), (False, "")])
def test_reading_the_file_of_make_run_is_said_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, terminal: bool, said: str
) -> None:
    for name in variable_names():
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local/stack.env").write_text("S3_BUCKET_NAME=local\n")
    err = io.StringIO()
    monkeypatch.setattr(err, "isatty", lambda: terminal)
    app = App(Output("jsonl", stderr=err))
    assert app.target.bucket == app.target.bucket == "local"
    assert err.getvalue() == said
