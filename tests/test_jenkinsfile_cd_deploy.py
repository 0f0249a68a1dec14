"""Jenkinsfile-CD simulated with the real deploy.sh: from a commit on main to a delivered e-mail."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.testing.emulator import ACCOUNT_ID, REGION, ROOT
from tests.deploy.stage import REGISTRY, Stage, services, stack_outputs, stage
from tests.jenkins.builds import Played, Repository, play

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

ENVIRONMENT = f"""AWS_ACCOUNT_ID={ACCOUNT_ID}
AWS_REGION={REGION}
OVERLAY=dev
DEPLOY_ROLE_ARN=arn:aws:iam::{ACCOUNT_ID}:role/deploy
"""


class Checkout(Repository):
    """A repository whose main branch has the files of this checkout and the values of one environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "--quiet", "--initial-branch=main", ".")
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
        for name in filter(None, done.stdout.split("\0")):
            if (ROOT / name).is_file() and not (ROOT / name).is_symlink():
                shutil.copy2(ROOT / name, self.write(name, ""))
        self.write("k8s/environments/dev.env", ENVIRONMENT)
        self.head = self.commit("what lies here")


def settings(set_stage: Stage) -> dict[str, str]:
    """Return the environment of an agent: replaced docker, make and kubectl, and the emulator as AWS."""
    return set_stage.aws | {
        "PATH": f"{set_stage.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "STAND_IN_STATE": str(set_stage.folder),
        "STAND_IN_REGION": REGION,
        "STAND_IN_ROOT": str(ROOT),
        "STAND_IN_PYTHON": str(ROOT / ".venvs/dev/bin/python"),
        "STAND_IN_LOAD_BALANCER": set_stage.load_balancer,
        "E2E_PYTHON": str(ROOT / ".venvs/local_stack/bin/python"),
        "HEALTH_TIMEOUT_SECONDS": "20",
        "VERIFY_TIMEOUT_SECONDS": "60",
        "KEDA_SETTLE_SECONDS": "0",
        "REPLICAS_TIMEOUT_SECONDS": "1",
        "LOCK_SECONDS": "4",
        "PILLARBOX_OIDC_CREDENTIAL": "oidc",
    }


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("deploy")) as set_stage:
        for step in ("infrastructure", "token"):
            made = set_stage.deploy("--only", step, "--image-tag", "v1", "--yes")
            assert made.code == 0, made.said
        with services(set_stage, stack_outputs(set_stage, "pillarbox-dev")) as set_stage.load_balancer:
            yield set_stage


@pytest.fixture(scope="module")
def builds(prepared: Stage, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Played]:
    """A successful deployment, then one of the same job whose load balancer never answers."""
    repository = Checkout(tmp_path_factory.mktemp("git") / "pillarbox")
    pushed = prepared.deploy("--only", "push", "--image-tag", repository.head, "--yes")
    assert pushed.code == 0, pushed.said
    (ROOT / f".local/images-{repository.head}.txt").unlink()
    token = tmp_path_factory.mktemp("token") / "token"
    token.write_text("an id token")
    build: dict[str, Any] = {
        "jenkinsfile": "Jenkinsfile-CD",
        "job": "deploy-dev",
        "parameters": {"IMAGE_TAG": repository.head},
        "environment": settings(prepared),
        "credentials": {"oidc": str(token)},
    }
    mute = build | {"environment": build["environment"] | {"STAND_IN_LOAD_BALANCER": "", "HEALTH_TIMEOUT_SECONDS": "1"}}
    asked = {"good": build, "without an answer": mute}
    return play(tmp_path_factory.mktemp("jenkins"), repository, asked)


def test_a_commit_is_deployed_and_proven_by_an_email(builds: dict[str, Played], prepared: Stage) -> None:
    assert builds["good"].result == "SUCCESS", builds["good"].message
    assert f"{REGISTRY}/pillarbox/service1-api:" in prepared.applied
    assert builds["good"].steps[-1] == "verify"


def test_a_release_that_does_not_answer_is_rolled_back(builds: dict[str, Played]) -> None:
    build = builds["without an answer"]
    assert build.result == "FAILURE"
    assert build.steps[-2:] == ["health", "rollback"]
    assert "does not answer GET /health" in build.message
