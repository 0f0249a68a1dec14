"""Calls single functions of infrastructure/deploy/*.sh with an `aws` and a `docker` that give scripted answers."""

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.testing.emulator import ROOT

REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"

# Each tool records its call and returns the next answer of the first matching rule; the last answer repeats.
TOOL = r"""#!/usr/bin/env bash
set -euo pipefail
call="${0##*/} $*"
printf '%s\n' "${call//$'\n'/ }" >>"$STATE/calls"
for rule in "$STATE"/rules/*; do
  [[ -d "$rule" ]] || continue
  IFS= read -r pattern <"$rule/pattern"
  if [[ "$call" =~ $pattern ]]; then
    answers=("$rule"/answer*)
    answer=${answers[0]}
    if [[ -s "$answer/out" ]]; then cat "$answer/out"; fi
    if [[ -s "$answer/err" ]]; then cat "$answer/err" >&2; fi
    read -r code <"$answer/code"
    if [[ ${#answers[@]} -gt 1 ]]; then rm -r "$answer"; fi
    exit "$code"
  fi
done
"""
PROGRAM = r"""
set -euo pipefail
cd "$ROOT"
RED="" BOLD="" RESET=""
log() { printf '%s\n' "$1" >&2; }
fail() { log "deploy.sh: $1"; exit 1; }
change() { if [[ "$DRY_RUN" == yes ]]; then log "      would run: $*"; else "$@" >&2; fi; }
in_cluster() { kubectl "$@"; }
for file in images scan approval; do source "infrastructure/deploy/$file.sh"; done
"$@"
"""


@dataclass(frozen=True, slots=True)
class Run:
    """The result of a function: exit code, output, and the calls of the tools."""

    code: int
    said: str
    calls: list[str]


def ecr_error(name: str) -> str:
    """Return the line that the aws CLI prints for an error of ECR."""
    return f"An error occurred ({name}) when calling the operation: made to fail"


class Functions:
    """Runs functions; `answer` sets a tool's reply to matching calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("bin", "rules", "work"):
            (folder / name).mkdir()
        for tool in ("aws", "docker", "kubectl"):
            path = folder / "bin" / tool
            path.write_text(TOOL)
            path.chmod(0o755)
        self._rules = 0

    def answer(self, call: str, *answers: dict[str, Any] | str, text: str = "", where: str = "") -> None:
        """Set the replies to matching calls: an object as JSON, a string as an error. The newest rule applies."""
        self._rules += 1
        rule = self.folder / "rules" / f"{999 - self._rules:03}"
        rule.mkdir()
        (rule / "pattern").write_text(f"{call}.*{where}\n" if where else f"{call}\n")
        for number, answer in enumerate(answers or (None,)):
            place = rule / f"answer{number:03}"
            place.mkdir()
            (place / "out").write_text(json.dumps(answer) if isinstance(answer, dict) else text)
            (place / "err").write_text(f"{answer}\n" if isinstance(answer, str) else "")
            (place / "code").write_text("254\n" if isinstance(answer, str) else "0\n")

    def run(self, *call: str, **settings: str) -> Run:
        calls = self.folder / "calls"
        calls.write_text("")
        environment = {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "STATE": str(self.folder),
            "WORK": str(self.folder / "work"),
            "ROOT": str(ROOT),
            "REGISTRY": REGISTRY,
            "ENVIRONMENT": "prod",
            "IMAGE_TAG": "v1",
            "DRY_RUN": "no",
            "SKIP_BUILD": "no",
        } | settings
        command = ["bash", "-c", PROGRAM, "deploy.sh", *call]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        lines = [re.sub(r" +", " ", line) for line in calls.read_text().splitlines()]
        return Run(done.returncode, done.stdout + done.stderr, lines)
