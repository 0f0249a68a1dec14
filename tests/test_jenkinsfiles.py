"""The Jenkinsfiles agree with what they use: make targets, options and steps of deploy.sh, written files."""

import re

import pytest

from common.testing.emulator import ROOT

PIPELINES = ("Jenkinsfile-CI", "Jenkinsfile-CD")
SCRIPTS = "".join(path.read_text() for path in sorted((ROOT / "infrastructure/deploy").glob("*.sh")))
STAGES = {
    "Jenkinsfile-CI": [
        "Checkout", "Lint", "Test", "Images", "Build images", "Test images", "List packages", "Publish",
        "Create repositories", "Push", "Archive digests", "Scan",
    ],
    "Jenkinsfile-CD": [
        "Parameters", "Prepare", "Checkout", "Set up", "Check", "Verify images", "Scan images", "Render", "Diff",
        "Keep", "Approval", "Release", "Checkout again", "Set up again", "Deploy", "Apply", "Wait", "Health check",
        "End-to-end test",
    ],
}  # fmt: skip


def text_of(pipeline: str) -> str:
    return (ROOT / pipeline).read_text()


def shell_lines(pipeline: str) -> list[str]:
    return re.findall(r"\bsh '([^'\n]*)'", text_of(pipeline))


def steps_of_deploy(pipeline: str) -> list[str]:
    return re.findall(r"\bdeploy '([a-z]+)(?: --yes)?'", text_of(pipeline))


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_the_stages_are_those_of_the_house(pipeline: str) -> None:
    assert re.findall(r"stage\('([^']+)'\)", text_of(pipeline)) == STAGES[pipeline]


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_shell_step_is_one_call_of_make_or_a_script(pipeline: str) -> None:
    lines = shell_lines(pipeline)
    assert lines
    for line in lines:
        assert line.startswith(("make ", "./deploy.sh ", "infrastructure/jenkins/"))
        assert not re.search(r"[;&|`]|\$\(", line)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_make_target_that_is_called_is_on_the_menu(pipeline: str) -> None:
    called = {line.split()[1] for line in shell_lines(pipeline) if line.startswith("make ")}
    menu = set(re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert called
    assert called <= menu


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_deploy_sh_knows_each_option_that_it_is_given(pipeline: str) -> None:
    (call,) = (line for line in shell_lines(pipeline) if line.startswith("./deploy.sh "))
    for option in re.findall(r"--[a-z-]+", call):
        assert re.search(rf"^\s+{option}\) ", SCRIPTS, re.MULTILINE), option


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_deploy_sh_has_each_step_that_is_called(pipeline: str) -> None:
    steps = steps_of_deploy(pipeline)
    assert steps
    defined = set(re.findall(r"^step_([a-z]+)\(\)", SCRIPTS + (ROOT / "deploy.sh").read_text(), re.MULTILINE))
    assert set(steps) <= defined


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_no_long_lived_key_and_no_account_is_named(pipeline: str) -> None:
    text = text_of(pipeline)
    for word in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ACCOUNT_ID", "ECR_REGISTRY", "DEPLOY_OPTIONS"):
        assert word not in text


def test_no_parameter_names_the_environment() -> None:
    assert re.findall(r"\w+\(name: '(\w+)'", text_of("Jenkinsfile-CD")) == ["IMAGE_TAG"]


def test_what_ci_archives_is_what_is_written() -> None:
    (patterns,) = re.findall(r"archiveArtifacts artifacts: '([^']+)'", text_of("Jenkinsfile-CI"))
    assert patterns.split(",") == [".local/images-*.txt", ".local/build-*.txt", ".local/sbom-*.json"]
    assert '"$ROOT/.local/images-$IMAGE_TAG.txt"' in (ROOT / "infrastructure/deploy/images.sh").read_text()
    assert "RECORD=.local/build-$2.txt" in (ROOT / "infrastructure/build_images.sh").read_text()
    assert '".local/sbom-$$service-$(TAG).json"' in (ROOT / "Makefile").read_text()


def test_the_page_on_jenkins_names_what_the_pipelines_ask_for() -> None:
    page = (ROOT / "docs/jenkins.md").read_text()
    for pipeline in PIPELINES:
        asked = set(re.findall(r"env\.(PILLARBOX_\w+)|label '(\w+)'", text_of(pipeline)))
        for name in {variable or label for variable, label in asked}:
            assert f"`{name}`" in page
    for plugin in ("lockable-resources", "oidc-provider", "timestamper", "junit", "credentials-binding"):
        assert f"`{plugin}`" in page
