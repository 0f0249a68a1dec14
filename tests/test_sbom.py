"""infrastructure/sbom.py with a simulated container tool."""

import json
import sys
from pathlib import Path

import pytest

from infrastructure import sbom
from tests.deploy.in_process import Done, run_main


def run(monkeypatch: pytest.MonkeyPatch, tool: Path, script: str) -> Done:
    """Write the tool, and run sbom.py with it in this process."""
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setattr(sys, "argv", ["sbom.py", "--tool", str(tool), "pillarbox/service1-api:v1"])
    return run_main(sbom.main, {})


def test_the_sbom_lists_what_an_image_says_about_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = (
        "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.41-12\n"
        "Description: GNU\n a line: more\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n"
    )
    answer = {
        "dpkg": status,
        "release": 'ID=debian\nVERSION_ID="13"\n',
        "python": [["Flask", "3.1.0"], ["zope.event", "5"]],
    }
    script = f"cat <<'EOF'\n{json.dumps(answer)}\nEOF"
    first, second = (run(monkeypatch, tmp_path / "tool", script) for _ in range(2))
    assert first == second
    assert (first.returncode, first.stderr) == (0, "")
    bill = json.loads(first.stdout)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["name"] == "service1-api"
    assert [component["purl"] for component in bill["components"]] == [
        "pkg:deb/debian/libc6@2.41-12?arch=amd64&distro=debian-13",
        "pkg:pypi/flask@3.1.0",
        "pkg:pypi/zope-event@5",
    ]


def test_an_image_that_cannot_run_gives_no_sbom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(monkeypatch, tmp_path / "tool", "echo no such image >&2; exit 125")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no such image" in done.stderr
