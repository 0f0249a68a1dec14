"""The command line of deploy.sh: a wrong argument leads to the usage, exit code 2 and no action."""

import os
import subprocess
from pathlib import Path

import pytest

from common.testing.emulator import ROOT

REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
ACCOUNT_ID = "123456789012"
GOOD = (REGISTRY, ACCOUNT_ID, "--yes")
SCRIPTS = (
    "deploy.sh",
    "e2e_test/run_e2e.sh",
    "e2e_test/api_test.sh",
    "e2e_test/send_to_queue.sh",
    "e2e_test/scaling_test.sh",
    "tests/deploy/stand_in.sh",
)


def deploy(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run deploy.sh with only the system's tools on PATH, so that it can change nothing."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    return subprocess.run(
        [str(ROOT / "deploy.sh"), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_can_be_run(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "expected --environment NAME, or two arguments"),
        ((REGISTRY, "--yes"), "expected --environment NAME, or two arguments"),
        ((*GOOD, "surplus"), "expected --environment NAME, or two arguments"),
        (("registry.example.com", ACCOUNT_ID, "--yes"), "ECR_REGISTRY"),
        ((REGISTRY, "1234", "--yes"), "AWS_ACCOUNT_ID"),
        ((*GOOD, "--environment", "staging"), "--environment staging: there is no file k8s/environments/staging.env"),
        ((*GOOD, "--environment", "../dev"), "--environment: expected a name such as dev or prod"),
        ((*GOOD, "--environment", "dev", "--environment", "prod"), "--environment is given twice"),
        ((*GOOD, "--cluster", "one", "--cluster", "two"), "--cluster is given twice"),
        ((*GOOD, "--only", "check", "--only", "apply"), "--only is given twice"),
        ((*GOOD, "--image-tag", ""), '--image-tag: expected a value, got ""'),
        ((*GOOD, "--environment"), "--environment needs a value"),
        ((*GOOD, "--region", "Ireland"), "--region"),
        ((*GOOD, "--cluster", "a cluster"), "--cluster"),
        ((*GOOD, "--image-tag", "-x"), "--image-tag"),
        ((*GOOD, "--image-tag", "a" * 64), "--image-tag"),
        ((*GOOD, "--component", "keda; rm"), "--component"),
        ((*GOOD, "--parameter", "MaxReceiveCount"), "--parameter"),
        ((*GOOD, "--parameter", "MaxReceives=5"), "infrastructure/pipeline.yaml has no such parameter"),
        ((*GOOD, "--only", "everything"), "--only"),
        ((*GOOD, "--hostname", "api.example.com"), "--hostname needs --certificate-arn"),
        ((*GOOD, "--certificate-arn", "arn"), "--certificate-arn needs --hostname"),
        ((*GOOD, "--certificate-arn", "arn", "--hostname", "api.example.com"), "--certificate-arn"),
        ((*GOOD, "--force", "yes"), "unknown option --force"),
        ((*GOOD, "--force"), "--force needs a value or is unknown"),
        ((REGISTRY, ACCOUNT_ID), "standard input is not a terminal"),
    ],
)
def test_a_wrong_argument_is_named_with_the_usage_and_exit_code_2(
    arguments: tuple[str, ...], complaint: str, tmp_path: Path
) -> None:
    done = deploy(tmp_path, *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr.splitlines()[0]
    assert "usage: ./deploy.sh --environment NAME" in done.stderr
    assert done.stdout == ""


def test_help_is_the_usage_and_no_error(tmp_path: Path) -> None:
    done = deploy(tmp_path, "--help")
    assert done.returncode == 0
    assert "usage: ./deploy.sh" in done.stderr


def test_a_missing_tool_is_named(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("bash", "dirname", "git", "mkdir", "mktemp", "rm", "cut", "env", "grep", "sed", "sort"):
        (tools / tool).symlink_to(Path("/usr/bin") / tool)
    done = subprocess.run(
        [str(ROOT / "deploy.sh"), *GOOD, "--image-tag", "v1"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": str(tools), "HOME": str(tmp_path)},
    )
    assert done.returncode == 1
    assert "aws is not installed" in done.stderr


def test_there_are_no_colours_where_no_terminal_is(tmp_path: Path) -> None:
    assert "\x1b" not in deploy(tmp_path, *GOOD, "--image-tag", "v1").stderr
