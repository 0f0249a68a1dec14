"""The pipelines: which stages there are, and that each calls what exists and lets no secret through Groovy."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.emulator import ROOT

PIPELINES = ("Jenkinsfile-CI", "Jenkinsfile-CD")
ARGUMENTS = (ROOT / "infrastructure/deploy/arguments.sh").read_text()
STAGES = {
    "Jenkinsfile-CI": [
        "Checkout", "Lint", "Test", "Build images", "Test images", "Publish", "Create repositories", "Log in and push",
        "Archive digests",
    ],
    "Jenkinsfile-CD": [
        "Prepare", "Checkout", "Set up", "Configure kubectl", "Verify images", "Infrastructure values", "Diff",
        "Approval", "Release", "Checkout again", "Set up again", "Deploy", "Wait", "Health check", "End-to-end test",
    ],
}  # fmt: skip


def text_of(pipeline: str) -> str:
    return (ROOT / pipeline).read_text()


def shell_lines(pipeline: str) -> list[str]:
    return re.findall(r"\bsh '([^'\n]*)'", text_of(pipeline))


def deploy_calls(pipeline: str) -> list[str]:
    return [line for line in shell_lines(pipeline) if line.startswith("./deploy.sh ")]


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_the_stages_are_those_of_the_house(pipeline: str) -> None:
    assert re.findall(r"stage\('([^']+)'\)", text_of(pipeline)) == STAGES[pipeline]


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_shell_step_is_one_call_of_make_or_deploy_sh(pipeline: str) -> None:
    lines = shell_lines(pipeline)
    assert lines
    for line in lines:
        assert line.startswith(("make ", "./deploy.sh "))
        assert not re.search(r"[;&|`]|\$\(", line)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_make_target_that_is_called_is_on_the_menu(pipeline: str) -> None:
    called = {line.split()[1] for line in shell_lines(pipeline) if line.startswith("make ")}
    menu = set(re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert called
    assert called <= menu


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_deploy_sh_knows_each_option_that_it_is_given(pipeline: str) -> None:
    calls = deploy_calls(pipeline)
    assert calls
    for call in calls:
        for option in re.findall(r"--[a-z-]+", call):
            assert f"    {option}) " in ARGUMENTS or f"      {option}) " in ARGUMENTS


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_deploy_sh_has_each_step_that_is_called(pipeline: str) -> None:
    (steps,) = re.findall(r'ONLY_STEPS="([^"]*)"', ARGUMENTS)
    for call in deploy_calls(pipeline):
        assert call.split("--only ")[1].split()[0] in steps.split()


def test_the_release_stops_short_of_nothing_and_goes_back_when_it_fails() -> None:
    steps = [call.split("--only ")[1].split()[0] for call in deploy_calls("Jenkinsfile-CD")]
    assert steps == ["check", "images", "render", "diff", "apply", "wait", "health", "verify", "rollback"]
    assert re.search(r"unsuccessful \{\s+sh '[^']+--only rollback'", text_of("Jenkinsfile-CD"))


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_groovy_puts_nothing_into_a_shell_line(pipeline: str) -> None:
    steps = re.findall(r"(?<![.\w])(?:sh|bat|powershell)\b.", text_of(pipeline))
    assert len(steps) == len(shell_lines(pipeline))  # each is one line in single quotes, which Groovy leaves alone


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_pipeline_ends_in_time_and_runs_once_at_a_time(pipeline: str) -> None:
    assert re.search(r"options \{\s+timeout\(", text_of(pipeline))
    assert "disableConcurrentBuilds(" in text_of(pipeline)


def test_the_question_before_production_holds_no_executor() -> None:
    text = text_of("Jenkinsfile-CD")
    assert re.search(r"^  agent none$", text, re.MULTILINE)
    approval = text[text.index("stage('Approval')") : text.index("stage('Release')")]
    assert "input {" in approval
    assert "agent" not in approval.replace("any agent", "")
    assert re.search(r"environment name: 'ENVIRONMENT', value: 'prod'", approval)


def test_what_ci_archives_is_what_deploy_sh_writes() -> None:
    (pattern,) = re.findall(r"archiveArtifacts artifacts: '([^']+)'", text_of("Jenkinsfile-CI"))
    assert pattern == ".local/images-*.txt"
    assert '"$ROOT/.local/images-$IMAGE_TAG.txt"' in (ROOT / "infrastructure/deploy/images.sh").read_text()


@pytest.mark.system
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_groovy_parses_it(pipeline: str, tmp_path: Path) -> None:
    groovy, java = shutil.which("groovy"), shutil.which("java")
    if not groovy or not java:
        pytest.fail("groovy is not installed: apt-get install groovy default-jre-headless")
    script = tmp_path / "parse.groovy"
    script.write_text(
        "def unit = new org.codehaus.groovy.control.CompilationUnit()\n"
        "unit.addSource(new File(args[0]))\n"
        "unit.compile(org.codehaus.groovy.control.Phases.CONVERSION)\n"
    )
    environment = {"JAVA_HOME": str(Path(java).resolve().parent.parent), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    command = [groovy, str(script), str(ROOT / pipeline)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
