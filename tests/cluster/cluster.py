"""The cluster through kubectl with an administrator's access, and the queries of the tests."""

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.testing.emulator import outer_environment

WAIT_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running control plane; `programs` is the folder that contains kubectl."""

    kubeconfig: Path
    programs: Path

    def run(self, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """Run kubectl and return the completed process, whatever its exit code."""
        return subprocess.run(
            [str(self.programs / "kubectl"), *arguments],
            input=typed,
            capture_output=True,
            text=True,
            check=False,
            env=outer_environment() | {"KUBECONFIG": str(self.kubeconfig)},
        )

    def kubectl(self, *arguments: str, typed: str = "") -> str:
        """Run kubectl and return its output; if it fails, fail the test with its error text."""
        done = self.run(*arguments, typed=typed)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def get(self, *arguments: str) -> Any:
        """Return the object that `kubectl get` prints, or None."""
        text = self.kubectl("get", *arguments, "--ignore-not-found", "--output=json")
        return json.loads(text) if text else None

    def items(self, kinds: str, namespace: str = "", *arguments: str) -> list[Any]:
        """Return all objects of these kinds in one namespace or in all."""
        where = f"--namespace={namespace}" if namespace else "--all-namespaces"
        found: list[Any] = json.loads(self.kubectl("get", kinds, where, *arguments, "--output=json"))["items"]
        return found

    def remove_pillarbox(self) -> None:
        """Delete Pillarbox's namespaces and wait until they are gone."""
        self.kubectl("delete", "namespace", "pillarbox", "pillarbox-consumer", "--ignore-not-found", "--timeout=90s")


def eventually(condition: Callable[[], object], what: str, seconds: float = WAIT_SECONDS) -> None:
    """Wait until the condition holds; fail with `what` on a time-out."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.2)
