import subprocess
import sys
from collections.abc import Callable

import click
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from pillarbox_ops import cli
from pillarbox_ops.errors import ExitCode, OpsError

from .pipelines import Ran

SLOW = ("boto3", "botocore", "obstore", "rich", "flask", "pydantic")


def _raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    def fail(*_arguments: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(cli.cli, "main", fail)
    return cli.run([])


def test_help_names_every_command_and_the_exit_codes(run: Callable[..., Ran]) -> None:
    ran = run("--help")
    assert ran.code == 0
    assert all(f"  {name} " in ran.out for name in cli.COMMANDS)
    assert "3 nothing matched" in ran.out


def test_help_imports_nothing_that_is_slow() -> None:
    slow = f"set(sys.modules) & set({SLOW!r})"
    code = f"import sys; from pillarbox_ops.cli import run; run(['--help']); sys.exit(str({slow}))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603
    assert ran.stderr.strip() == "set()"


def test_every_command_of_the_table_has_a_help_text(run: Callable[..., Ran]) -> None:
    shown = {name: run(name, "--help") for name in cli.COMMANDS}
    assert {name: ran.code for name, ran in shown.items()} == dict.fromkeys(cli.COMMANDS, 0)
    assert not [name for name, ran in shown.items() if not ran.out.startswith(f"Usage: pillarbox {name} ")]


def test_an_unknown_command_and_an_unknown_option_are_wrong_usage(run: Callable[..., Ran]) -> None:
    assert run("nonsense").code == ExitCode.USAGE
    assert run("--nonsense").code == ExitCode.USAGE


def test_an_error_is_one_line_with_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _raising(monkeypatch, OpsError("the text", ExitCode.DONE_IN_PART)) == 4
    assert capsys.readouterr().err == "pillarbox: the text\n"


def test_a_missing_right_is_shown_as_aws_explains_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = {"Error": {"Code": "AccessDenied", "Message": "not authorized to perform: sqs:SendMessage"}}
    assert _raising(monkeypatch, ClientError(reply, "SendMessage")) == 1  # type: ignore[arg-type]
    expected = "pillarbox: AWS refused SendMessage: AccessDenied: not authorized to perform: sqs:SendMessage\n"
    assert capsys.readouterr().err == expected


def test_another_refusal_is_not_quoted_for_it_may_hold_a_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = {"Error": {"Code": "ValidationException", "Message": "Value 'hidden' at 'value'"}}
    _raising(monkeypatch, ClientError(reply, "PutParameter"))  # type: ignore[arg-type]
    assert capsys.readouterr().err == "pillarbox: AWS refused PutParameter: ValidationException\n"


def test_an_endpoint_that_does_not_answer_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _raising(monkeypatch, EndpointConnectionError(endpoint_url="http://127.0.0.1:1/")) == 1
    assert "http://127.0.0.1:1/" in capsys.readouterr().err


def test_an_interrupt_ends_as_shells_expect(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _raising(monkeypatch, KeyboardInterrupt()) == 130
    assert _raising(monkeypatch, click.Abort()) == 130


def test_a_defect_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        _raising(monkeypatch, ZeroDivisionError())


def test_a_reader_that_closes_the_pipe_ends_the_command_quietly() -> None:
    code = "import sys; from pillarbox_ops.cli import run; sys.exit(run(['--help']))"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as started:  # noqa: S603
        assert started.stdout is not None
        assert started.stderr is not None
        started.stdout.close()
        error = started.stderr.read()
    assert (started.returncode, error) == (1, b"")


def test_the_version_is_that_of_the_package(run: Callable[..., Ran]) -> None:
    assert run("--version").out == "0.1.0\n"


@pytest.mark.parametrize("error", [OpsError("a\x1b]0;t\x07\u202e\nb"), click.ClickException("a\x1b]0;t\x07\u202e\nb")])
def test_an_error_holds_nothing_that_a_terminal_obeys(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    _raising(monkeypatch, error)
    shown = capsys.readouterr().err
    assert "a\\x1b]0;t\\x07\\u202e" in shown
    assert not set("\x1b\x07\u202e") & set(shown)


def test_the_text_of_an_ops_error_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _raising(monkeypatch, OpsError("a\nb"))
    assert capsys.readouterr().err == "pillarbox: a\\x0ab\n"
