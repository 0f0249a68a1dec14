"""Simulates builds of the Jenkinsfiles with Groovy, in a Git repository whose deploy.sh and make only record calls."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from common.testing.emulator import ROOT

DEPLOY_SH = r"""#!/usr/bin/env bash
set -euo pipefail
printf '%s\t' "$(git rev-parse HEAD)" "${AWS_WEB_IDENTITY_TOKEN_FILE:-}" "${SCAN_EXCEPTIONS:-}" >>"$CALLS"
echo "$*" >>"$CALLS"
mkdir -p .local
case "$*" in
  *"--only render"*) echo "rendered from $(git rev-parse HEAD)" >.local/rendered.yaml ;;
  *"--only diff"*) echo "live" >.local/rendered.yaml.live ;;
  *"--only apply"*) cat .local/rendered.yaml .local/rendered.yaml.live >"$CALLS.applied" ;;
  *"--only push"*) echo digest >.local/images-x.txt ;;
esac
"""
MAKEFILE = (
    ".DEFAULT:\n"
    "\t@echo 'make $@' >>\"$$CALLS\"; mkdir -p .local .cache\n"
    "\t@touch .cache/junit.xml .cache/junit-images.xml .local/build-x.txt .local/sbom-x.json\n"
)
ENVIRONMENTS = {
    "dev": "OVERLAY=dev\n",
    "prod": "OVERLAY=prod\nAPPROVERS=alice,ops\n",
    "staging": "OVERLAY=prod\nAPPROVERS=\n",
    "ci": "",
}


@dataclass(frozen=True, slots=True)
class Played:
    """The result of a build, its events in order, and the calls of deploy.sh and make."""

    result: str
    problem: str | None
    events: list[dict[str, Any]]
    calls: list[str]
    applied: str

    def of(self, event: str) -> list[dict[str, Any]]:
        return [each for each in self.events if each["event"] == event]

    @property
    def entered(self) -> list[str]:
        return [each["stage"] for each in self.of("entered")]

    @property
    def steps(self) -> list[str]:
        """Return the steps of deploy.sh that were called, failed ones included."""
        commands = (each["command"] for each in self.of("sh"))
        return [command.split("--only ")[1].split()[0] for command in commands if "--only " in command]

    @property
    def message(self) -> str:
        return " ".join(each["message"] for each in self.of("ended"))


class Repository:
    """A repository with main, a release branch, a tag and an unreviewed branch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "--quiet", "--initial-branch=main", ".")
        self.write("deploy.sh", DEPLOY_SH).chmod(0o755)
        self.write("Makefile", MAKEFILE)
        self.write(".gitignore", ".local/\n.cache/\n")
        for path in ("infrastructure/jenkins/check_out.sh", "infrastructure/scan-exceptions.txt"):
            target = self.write(path, (ROOT / path).read_text())
            shutil.copymode(ROOT / path, target)
        for name, text in ENVIRONMENTS.items():
            self.write(f"k8s/environments/{name}.env", text)
        self.first = self.commit("first")
        self.git("switch", "--quiet", "--create", "release/1.0")
        self.release = self.commit("of a release branch")
        self.git("switch", "--quiet", "--detach")
        self.tagged = self.commit("of a release tag")
        self.git("tag", "v1.0.1")
        self.git("switch", "--quiet", "--create", "feature", self.first)
        self.write("k8s/environments/prod.env", "OVERLAY=dev\n")
        self.feature = self.commit("takes away the approval")
        self.git("switch", "--quiet", "main")
        self.write("k8s/environments/prod.env", "OVERLAY=dev\nAPPROVERS=mallory\n")
        self.slack = self.commit("an older commit of main had other rules")
        self.write("k8s/environments/prod.env", ENVIRONMENTS["prod"])
        self.write("infrastructure/scan-exceptions.txt", "CVE-2026-1 2026-12-31 the rule of main's head\n")
        self.head = self.commit("head")

    def git(self, *arguments: str) -> str:
        self.folder.mkdir(exist_ok=True)
        identity = ("-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
        command = ["git", *identity, *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def write(self, path: str, text: str) -> Path:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def commit(self, message: str) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")


def play(folder: Path, repository: Repository, builds: dict[str, dict[str, Any]]) -> dict[str, Played]:
    """Simulate all builds in one Java process, each in its own workspace."""
    groovy, java = shutil.which("groovy"), shutil.which("java")
    if not groovy or not java:
        pytest.fail("groovy is not installed: apt-get install groovy default-jre-headless")
    asked = [complete(build, folder / str(number), repository) for number, build in enumerate(builds.values())]
    (folder / "builds.json").write_text(json.dumps(asked))
    player = ROOT / "tests/jenkins"
    command = [groovy, "-cp", str(player), str(player / "play.groovy"), str(folder / "builds.json")]
    environment = {
        "JAVA_HOME": str(Path(java).resolve().parent.parent),
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
    }
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    played = json.loads(done.stdout)
    return {name: read(build, one) for name, build, one in zip(builds, asked, played, strict=True)}


def complete(build: dict[str, Any], folder: Path, repository: Repository) -> dict[str, Any]:
    (folder / "workspace").mkdir(parents=True)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "CALLS": str(folder / "calls")}
    return build | {
        "jenkinsfile": str(ROOT / build["jenkinsfile"]),
        "workspace": str(folder / "workspace"),
        "scm": str(repository.folder),
        "environment": environment | build.get("environment", {}),
    }


def read(build: dict[str, Any], result: dict[str, Any]) -> Played:
    calls, applied = Path(build["environment"]["CALLS"]), Path(build["environment"]["CALLS"] + ".applied")
    return Played(
        result["result"],
        result["problem"],
        result["events"],
        calls.read_text().splitlines() if calls.exists() else [],
        applied.read_text() if applied.exists() else "",
    )
