"""infrastructure/rotate_token.sh with the real aws CLI on the emulator: no client is locked out, nothing leaks."""

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from common.testing.emulator import ACCOUNT_ID, REGION, ROOT, outer_environment, running_emulator
from tests.deploy.cloud import Cloud
from tests.deploy.stage import terminal

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

NAME = "/email-service/dev/api-token"
OF_STACK = ("--environment", "dev")
DEV = (*OF_STACK, "--parameter", NAME)  # avoids reading the stack's outputs
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT_ID}:key/11111111-2222-3333-4444-555555555555"
TOKEN = re.compile(r"[A-Za-z0-9_-]{48}")
STAND_IN = """#!/usr/bin/env bash
echo "$*" >>"$CALLS"
if [[ -n "${MEANWHILE:-}" && "$*" == *put-parameter* ]]; then
  "$REAL_AWS" ssm put-parameter --overwrite --type SecureString --name "$MEANWHILE" --value other >/dev/null
fi
exec "$REAL_AWS" "$@"
"""


@dataclass(slots=True)
class Rotation:
    """Runs the script with the aws CLI and records its calls."""

    environment: dict[str, str]
    folder: Path
    ssm: Any

    def run(self, *arguments: str, answer: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
        (self.folder / "calls").write_text("")
        with terminal(answer) as stdin:
            return subprocess.run(
                [ROOT / "infrastructure/rotate_token.sh", *arguments],
                stdin=stdin,
                capture_output=True,
                text=True,
                check=False,
                env=self.environment | settings,
            )

    def tokens(self) -> list[str]:
        value: str = self.ssm.get_parameter(Name=NAME, WithDecryption=True)["Parameter"]["Value"]
        return value.split("\n")

    def key(self) -> str:
        (found,) = self.ssm.describe_parameters(ParameterFilters=[{"Key": "Name", "Values": [NAME]}])["Parameters"]
        key: str = found["KeyId"]
        return key

    @property
    def calls(self) -> str:
        return (self.folder / "calls").read_text()


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cloud, dict[str, str]]]:
    if not shutil.which("aws"):
        pytest.fail("aws is not installed, and rotate_token.sh needs it")
    with running_emulator(tmp_path_factory.mktemp("emulator")) as environment:
        made = Cloud(environment)
        made.deploy("pillarbox-dev", TokenParameterName=NAME, TokenKmsKeyArn=KEY)
        yield made, environment


@pytest.fixture
def rotation(cloud: tuple[Cloud, dict[str, str]], tmp_path: Path) -> Rotation:
    """A parameter with one token, encrypted with a customer managed key."""
    made, aws = cloud
    ssm = made.client("ssm")
    ssm.put_parameter(Name=NAME, Value="first-token", Type="SecureString", KeyId=KEY, Overwrite=True)
    (tmp_path / "bin").mkdir()
    stand_in = tmp_path / "bin/aws"
    stand_in.write_text(STAND_IN)
    stand_in.chmod(0o755)
    environment = outer_environment() | aws | {
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "REAL_AWS": str(shutil.which("aws")),
        "CALLS": str(tmp_path / "calls"),
    }  # fmt: skip
    return Rotation(environment, tmp_path, ssm)


def test_an_added_token_is_valid_beside_the_old_one(rotation: Rotation) -> None:
    done = rotation.run("add", *OF_STACK)
    assert done.returncode == 0, done.stderr
    new, *old = rotation.tokens()
    assert TOKEN.fullmatch(new)
    assert old == ["first-token"]


def test_removing_leaves_the_newest(rotation: Rotation) -> None:
    for _ in range(2):
        assert rotation.run("add", *DEV).returncode == 0
    newest = rotation.tokens()[0]
    done = rotation.run("remove", *DEV, "--yes")
    assert done.returncode == 0, done.stderr
    assert rotation.tokens() == [newest]
    assert "2 removed" in done.stderr


@pytest.mark.parametrize("phases", [["add"], ["add", "remove"]])
def test_a_rotation_keeps_the_key_of_the_customer(rotation: Rotation, phases: list[str]) -> None:
    for phase in phases:
        assert rotation.run(phase, *DEV, *(["--yes"] if phase == "remove" else [])).returncode == 0
        assert rotation.key() == KEY


def test_a_rotation_keeps_the_account_s_own_key(rotation: Rotation) -> None:
    rotation.ssm.put_parameter(Name=NAME, Value="first-token", Type="SecureString", Overwrite=True)
    own = rotation.key()
    assert rotation.run("add", *DEV).returncode == 0
    assert rotation.key() == own


def test_no_token_is_an_argument_of_a_program_or_said(rotation: Rotation) -> None:
    said = ""
    for arguments in (["add"], ["status"], ["remove", "--yes"]):
        done = rotation.run(arguments[0], *DEV, *arguments[1:])
        assert done.returncode == 0, done.stderr
        said += done.stdout + done.stderr + rotation.calls
    assert "put-parameter" in said
    for token in ("first-token", *rotation.tokens()):
        assert token not in said


def test_the_new_token_is_printed_only_when_asked_for(rotation: Rotation) -> None:
    done = rotation.run("add", *DEV, "--print")
    assert done.stdout == f"{rotation.tokens()[0]}\n"
    assert rotation.tokens()[0] not in done.stderr


def test_the_new_token_goes_into_a_file_that_only_its_owner_reads(rotation: Rotation) -> None:
    path = rotation.folder / "token"
    done = rotation.run("add", *DEV, "--write", str(path))
    assert (done.returncode, done.stdout) == (0, "")
    assert path.read_text() == f"{rotation.tokens()[0]}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("path", ["calls", "missing/token"], ids=["a file that exists", "a folder that does not"])
def test_a_file_that_cannot_be_made_adds_no_token(rotation: Rotation, path: str) -> None:
    done = rotation.run("add", *DEV, "--write", str(rotation.folder / path))
    assert done.returncode == 1
    assert rotation.tokens() == ["first-token"]


@pytest.mark.parametrize(("answer", "left"), [("y\n", 1), ("n\n", 2), ("\n", 2)])
def test_removing_asks_at_a_terminal(rotation: Rotation, answer: str, left: int) -> None:
    rotation.run("add", *DEV)
    done = rotation.run("remove", *DEV, answer=answer)
    assert done.returncode == (0 if left == 1 else 1)
    assert len(rotation.tokens()) == left


def test_removing_with_nobody_to_ask_is_refused(rotation: Rotation) -> None:
    rotation.run("add", *DEV)
    assert rotation.run("remove", *DEV).returncode == 2
    assert len(rotation.tokens()) == 2


def test_the_only_token_is_never_removed(rotation: Rotation) -> None:
    done = rotation.run("remove", *DEV, "--yes")
    assert done.returncode == 0
    assert rotation.tokens() == ["first-token"]


def test_blank_lines_are_no_tokens(rotation: Rotation) -> None:
    rotation.ssm.put_parameter(Name=NAME, Value="\nnew\r\n\n old\n", Type="SecureString", KeyId=KEY, Overwrite=True)
    assert "2 valid" in rotation.run("status", *DEV).stderr


def test_a_write_of_somebody_else_at_the_same_time_is_noticed(rotation: Rotation) -> None:
    done = rotation.run("add", *DEV, MEANWHILE=NAME)
    assert done.returncode == 1
    assert "another client changed" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("rotate", "--environment", "dev"),
        ("add",),
        ("add", "--environment", "DEV"),
        ("add", *DEV, "--print", "--write", "x"),
        ("status", *DEV, "--print"),
        ("add", *DEV, "--token", "x"),
        ("add", "--environment"),
    ],
)
def test_a_wrong_call_changes_nothing(rotation: Rotation, arguments: tuple[str, ...]) -> None:
    assert rotation.run(*arguments).returncode == 2
    assert rotation.calls == ""


def test_a_parameter_that_is_not_there_is_said(rotation: Rotation) -> None:
    done = rotation.run("add", *OF_STACK, "--parameter", "/missing")
    assert (done.returncode, "no SecureString /missing" in done.stderr) == (1, True)


def test_an_environment_without_a_stack_is_said(rotation: Rotation) -> None:
    done = rotation.run("add", "--environment", "qa")
    assert (done.returncode, "pillarbox-qa has no token parameter" in done.stderr) == (1, True)
