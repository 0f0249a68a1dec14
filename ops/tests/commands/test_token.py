import re
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from pillarbox_ops import tokens
from pillarbox_ops.errors import ExitCode

from ..pipelines import Pipeline, Ran

KEY = "arn:aws:kms:eu-west-1:000000000000:key/11111111-2222-3333-4444-555555555555"
TOKEN = re.compile(r"[A-Za-z0-9_-]{48}")
Run = Callable[..., Ran]


class Parameter:
    """A parameter with one token, under a key of the customer's and the advanced tier."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.ssm = pipeline.ssm
        self.name = f"/{pipeline.name}/api-token"
        self.put("first-token", KeyId=KEY, Tier="Advanced")

    def put(self, value: str, **options: Any) -> None:
        self.ssm.put_parameter(Name=self.name, Value=value, Type="SecureString", Overwrite=True, **options)

    @property
    def tokens(self) -> list[str]:
        value: str = self.ssm.get_parameter(Name=self.name, WithDecryption=True)["Parameter"]["Value"]
        return value.split("\n")

    @property
    def settings(self) -> tuple[str, str, str]:
        filters = [{"Key": "Name", "Values": [self.name]}]
        (found,) = self.ssm.describe_parameters(ParameterFilters=filters)["Parameters"]
        return found["Type"], found["KeyId"], found["Tier"]


@pytest.fixture
def parameter(pipeline: Pipeline) -> Parameter:
    made = Parameter(pipeline)
    pipeline.environment["SSM_PARAMETER_NAME"] = made.name
    return made


def test_an_added_token_is_shown_once_and_is_valid_beside_the_old_one(parameter: Parameter, run: Run) -> None:
    ran = run("token", "add", "--yes")
    new, *old = parameter.tokens
    assert TOKEN.fullmatch(new)
    assert (ran.code, ran.out, old) == (0, f"{new}\n", ["first-token"])
    assert tokens.fingerprint(new) in ran.err
    assert new not in ran.err


def test_a_token_goes_into_a_file_that_only_its_owner_reads(parameter: Parameter, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "token"
    ran = run("token", "add", "--yes", "--write", str(path))
    assert (ran.code, ran.out) == (0, "")
    assert path.read_text() == f"{parameter.tokens[0]}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["taken", "missing/token"], ids=["a file that exists", "a folder that does not"])
def test_a_file_that_cannot_be_made_adds_no_token(parameter: Parameter, run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "taken").write_text("mine")
    assert run("token", "add", "--yes", "--write", str(tmp_path / name)).code == 1
    assert parameter.tokens == ["first-token"]


def test_ls_names_tokens_by_fingerprint_the_newest_first(parameter: Parameter, run: Run) -> None:
    run("token", "add", "--yes")
    ran = run("token", "ls")
    assert ran.rows == [
        {"position": number, "fingerprint": tokens.fingerprint(one)} for number, one in enumerate(parameter.tokens, 1)
    ]
    assert f"{parameter.name}: 2 valid, version 2" in ran.err
    assert f"key {KEY}, tier Advanced" in ran.err


def test_a_rotation_keeps_the_newest_and_no_older_one(parameter: Parameter, run: Run) -> None:
    for _ in range(2):
        run("token", "add", "--yes")
    newest = parameter.tokens[0]
    ran = run("token", "rotate", "--yes")
    assert parameter.tokens == [ran.out.strip(), newest]
    assert "keep one of 3 tokens" in ran.err


def test_a_token_is_revoked_by_its_fingerprint(parameter: Parameter, run: Run) -> None:
    run("token", "add", "--yes")
    new = parameter.tokens[0]
    ran = run("token", "revoke", tokens.fingerprint("first-token").upper(), "--yes")
    assert (ran.code, parameter.tokens) == (0, [new])
    assert f"2  {tokens.fingerprint('first-token')}" in ran.err
    assert "1 revoked, 1 valid" in ran.err


def test_revoking_the_old_ones_leaves_the_newest(parameter: Parameter, run: Run) -> None:
    for _ in range(2):
        run("token", "add", "--yes")
    newest = parameter.tokens[0]
    assert run("token", "revoke", "--old", "--yes").code == 0
    assert parameter.tokens == [newest]
    assert run("token", "revoke", "--old", "--yes").code == ExitCode.NOTHING_MATCHED


def test_the_last_token_is_never_revoked(parameter: Parameter, run: Run) -> None:
    ran = run("token", "revoke", tokens.fingerprint("first-token"), "--yes")
    assert (ran.code, "add one first" in ran.err) == (1, True)
    assert parameter.tokens == ["first-token"]


def test_an_unknown_fingerprint_revokes_nothing(parameter: Parameter, run: Run) -> None:
    run("token", "add", "--yes")
    ran = run("token", "revoke", tokens.fingerprint("first-token"), "00000000", "--yes")
    assert (ran.code, "has no token 00000000" in ran.err) == (ExitCode.NOTHING_MATCHED, True)
    assert len(parameter.tokens) == 2


@pytest.mark.parametrize("arguments", [("add",), ("rotate",), ("revoke", "--old")])
def test_every_change_keeps_the_type_the_key_and_the_tier(
    parameter: Parameter, run: Run, arguments: tuple[str, ...]
) -> None:
    parameter.put("second-token\nfirst-token", KeyId=KEY, Tier="Advanced")
    assert run("token", *arguments, "--yes").code == 0
    assert parameter.settings == ("SecureString", KEY, "Advanced")


def test_the_account_s_own_key_is_kept(parameter: Parameter, run: Run) -> None:
    parameter.put("first-token")
    own = parameter.settings
    assert run("token", "add", "--yes").code == 0
    assert parameter.settings == own


@pytest.mark.parametrize("arguments", [("add",), ("rotate",), ("revoke", "--old")])
def test_a_dry_run_and_a_question_that_nobody_answers_change_nothing(
    parameter: Parameter, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    parameter.put("second-token\nfirst-token")
    path = tmp_path / "token"
    write = () if arguments[0] == "revoke" else ("--write", str(path))
    assert run("token", *arguments, *write, "--dry-run").code == 0
    assert run("token", *arguments, *write).code == ExitCode.USAGE
    assert parameter.tokens == ["second-token", "first-token"]
    assert not path.exists()


class _Terminal:
    def __init__(self, typed: str) -> None:
        self._typed = typed

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        return self._typed


@pytest.mark.parametrize(("typed", "left"), [("y\n", 1), ("n\n", 2), ("\n", 2)])
def test_a_terminal_is_asked(
    parameter: Parameter, run: Run, monkeypatch: pytest.MonkeyPatch, typed: str, left: int
) -> None:
    parameter.put("second-token\nfirst-token")
    monkeypatch.setattr(sys, "stdin", _Terminal(typed))
    assert run("token", "revoke", "--old").code == (0 if left == 1 else 1)
    assert len(parameter.tokens) == left


def test_blank_lines_are_no_tokens(parameter: Parameter, run: Run) -> None:
    parameter.put("\nnew\r\n\n old\n")
    assert [row["fingerprint"] for row in run("token", "ls").rows] == list(map(tokens.fingerprint, ("new", "old")))


def test_a_change_of_somebody_else_at_the_same_time_is_noticed_and_the_new_token_is_shown(
    parameter: Parameter, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    call: Any = BaseClient.__dict__["_make_api_call"]

    def late(client: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
        if operation == "PutParameter":
            call(client, operation, parameters | {"Value": "theirs"})
        return call(client, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", late)
    ran = run("token", "add", "--yes")
    assert (ran.code, "compare its versions 2 to 3" in ran.err) == (1, True)
    assert ran.out.strip() == parameter.tokens[0]


def test_a_put_that_fails_says_what_the_file_holds_and_quotes_no_token(
    parameter: Parameter, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call: Any = BaseClient.__dict__["_make_api_call"]

    def refusing(client: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
        if operation != "PutParameter":
            return call(client, operation, parameters)
        quoted: Any = {
            "Code": "ValidationException",
            "Message": f"Value {parameters['Value']} is too long",
        }  # as SSM does
        raise ClientError({"Error": quoted}, operation)

    monkeypatch.setattr(BaseClient, "_make_api_call", refusing)
    ran = run("token", "add", "--yes", "--write", str(tmp_path / "token"))
    assert (ran.code, "may not be valid" in ran.err) == (1, True)
    for one in ("first-token", (tmp_path / "token").read_text().strip()):
        assert one not in ran.out + ran.err


def test_no_token_is_said_but_the_new_one(parameter: Parameter, run: Run) -> None:
    said = "".join(
        ran.out + ran.err for ran in (run("token", "ls"), run("token", "add", "--dry-run"), run("token", "rotate"))
    )
    assert "first-token" not in said


@pytest.mark.parametrize(
    "arguments", [("revoke",), ("revoke", "--old", "00000000"), ("add", "a-token"), ("rotate", "x")]
)
def test_a_wrong_call_changes_nothing(parameter: Parameter, run: Run, arguments: tuple[str, ...]) -> None:
    assert run("token", *arguments, "--yes").code == ExitCode.USAGE
    assert parameter.tokens == ["first-token"]


def test_a_parameter_that_is_none_or_no_secure_string_is_said(parameter: Parameter, run: Run) -> None:
    missing = run("token", "ls", SSM_PARAMETER_NAME="/missing")
    assert (missing.code, "no SecureString /missing" in missing.err) == (1, True)
    parameter.ssm.put_parameter(Name="/plain", Value="x", Type="String", Overwrite=True)
    assert "no SecureString /plain" in run("token", "add", "--yes", SSM_PARAMETER_NAME="/plain").err
    unset = run("token", "ls", SSM_PARAMETER_NAME="")
    assert (unset.code, "SSM_PARAMETER_NAME is not set" in unset.err) == (ExitCode.USAGE, True)
