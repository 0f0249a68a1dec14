"""infrastructure/build_images.sh with a simulated docker buildx: what it builds and pushes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from common.testing.emulator import ROOT

TAG = "tag-of-test-build-images"
RECORD = ROOT / f".local/build-{TAG}.txt"
REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
BASE, INDEX, NATIVE, CONFIG, OTHER = (f"sha256:{digit * 64}" for digit in "bcdef")
IMAGES = ("service1-api", "service2-consumer", "ops")
BASE_IMAGE = (ROOT / "infrastructure/base-image.txt").read_text().strip()

# Simulates docker: $CONFIG_PUSHED is the configuration of the pushed image, $BUILDX whether the plugin exists.
DOCKER = r"""#!/usr/bin/env bash
set -euo pipefail
printf '%s\n' "${SOURCE_DATE_EPOCH:+SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH }$*" >>"$STATE/calls"
case "$*" in
  "buildx version") [[ "$BUILDX" == yes ]] ;;
  version*) echo linux/amd64 ;;
  "buildx imagetools inspect --builder pillarbox --raw "*"@$INDEX")
    echo '{"manifests": [{"digest": "'"$NATIVE"'", "platform": {"os": "linux", "architecture": "amd64"}},
           {"digest": "sha256:0", "platform": {"os": "linux", "architecture": "arm64"}},
           {"digest": "sha256:1", "platform": {"os": "unknown", "architecture": "unknown"},
            "annotations": {"vnd.docker.reference.type": "attestation-manifest"}}]}' ;;
  "buildx imagetools inspect --builder pillarbox --raw "*"@$NATIVE")
    echo '{"config": {"digest": "'"$CONFIG_PUSHED"'"}}' ;;
  "buildx imagetools inspect "*) echo "$BASE" ;;
  "buildx build "*)
    while [[ $# -gt 0 ]]; do
      if [[ "$1" == --metadata-file ]]; then
        echo '{"containerimage.digest": "'"$INDEX"'", "containerimage.config.digest": "'"$CONFIG"'"}' >"$2"
      fi
      shift
    done ;;
  "image ls"*) echo 1234; echo 1234 ;;
  "image inspect"*) echo "python@$BASE" ;;
esac
"""


class Docker:
    """Runs the script with the simulated docker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / "bin" / "docker"
        path.parent.mkdir()
        path.write_text(DOCKER)
        path.chmod(0o755)

    def run(self, *arguments: str, **settings: str) -> tuple[int, str, list[str]]:
        calls = self.folder / "calls"
        calls.write_text("")
        environment = {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "STATE": str(self.folder),
            "PYTHON": sys.executable,  # the one on PATH may be a version manager's, which takes long to start
            "BUILDX": "yes",
            "CONFIG_PUSHED": CONFIG,
        } | {"BASE": BASE, "INDEX": INDEX, "NATIVE": NATIVE, "CONFIG": CONFIG} | settings  # fmt: skip
        script = str(ROOT / "infrastructure/build_images.sh")
        done = subprocess.run([script, *arguments], capture_output=True, text=True, check=False, env=environment)
        return done.returncode, done.stdout + done.stderr, calls.read_text().splitlines()


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[Docker]:
    yield Docker(tmp_path)
    RECORD.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Built:
    """What a build with buildx and without settings has called, and its record."""

    calls: list[str]
    record: str


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    code, said, calls = Docker(tmp_path_factory.mktemp("built")).run("build", TAG)
    assert code == 0, said
    text = RECORD.read_text()
    RECORD.unlink()
    return Built(calls, text)


@pytest.fixture
def recorded(built: Built, docker: Docker) -> None:
    """The record of that build is there; `docker` removes it."""
    RECORD.write_text(built.record)


def builds(calls: list[str]) -> list[str]:
    return [call for call in calls if "buildx build" in call]


def record(text: str | None = None) -> dict[str, str]:
    return dict(line.split("=", 1) for line in (text or RECORD.read_text()).splitlines())


def test_buildx_builds_both_platforms_and_loads_the_machine_s_own(built: Built) -> None:
    pairs = list(zip(builds(built.calls)[::2], builds(built.calls)[1::2], strict=True))
    assert [f"--file {image}/Dockerfile " in loaded for image, (loaded, _) in zip(IMAGES, pairs, strict=True)] == [
        True
    ] * 3
    for loaded, cached in pairs:
        assert " --platform linux/amd64 " in loaded
        assert " --load " in loaded
        assert " --platform linux/amd64,linux/arm64 " in cached
        assert "--output type=cacheonly" in cached


def test_every_build_stands_on_the_digest_that_was_looked_up_once(built: Built) -> None:
    assert len([call for call in built.calls if "imagetools inspect" in call]) == 1
    for call in builds(built.calls):
        assert f"--build-arg BASE_IMAGE={BASE_IMAGE.partition('@')[0]}@{BASE} " in call
        assert f"--label org.opencontainers.image.base.digest={BASE} " in call
        assert "--build-arg REQUIREMENTS=requirements.txt " in call  # without OpenTelemetry, unless TRACING=yes


def test_a_pinned_base_image_is_not_looked_up(docker: Docker) -> None:
    pinned = f"python:3.13-slim-trixie@{OTHER}"
    _, _, calls = docker.run("build", TAG, BASE_IMAGE=pinned)
    assert not [call for call in calls if "imagetools" in call]
    assert record()["base"] == pinned


def test_the_record_names_the_base_the_platforms_and_what_is_tested(built: Built) -> None:
    written = record(built.record)
    epoch = written.pop("epoch")
    assert written == {
        "builder": "buildx",
        "base": f"{BASE_IMAGE.partition('@')[0]}@{BASE}",
        "platforms": "linux/amd64,linux/arm64",
        "tested": "linux/amd64",
        "requirements": "requirements.txt",
        "service1-api": CONFIG,
        "service2-consumer": CONFIG,
        "ops": CONFIG,
    }
    assert epoch.isdigit()


@pytest.mark.parametrize(
    ("buildx", "tracing", "requirements"),
    [
        ("yes", "yes", "requirements-tracing.txt"),
        ("no", "yes", "requirements-tracing.txt"),
        ("no", "no", "requirements.txt"),
        ("no", "", "requirements.txt"),
    ],
)
def test_opentelemetry_is_in_the_images_only_if_asked_for(
    docker: Docker, buildx: str, tracing: str, requirements: str
) -> None:
    code, said, calls = docker.run("build", TAG, TRACING=tracing, BUILDX=buildx)
    assert code == 0, said
    built = [call for call in calls if "build" in call and "--build-arg" in call]
    assert len(built) == (6 if buildx == "yes" else 3)
    assert all(f"--build-arg REQUIREMENTS={requirements} " in call for call in built)
    assert record()["requirements"] == requirements


def test_a_push_repeats_the_requirements_of_the_build(docker: Docker, recorded: None) -> None:
    RECORD.write_text(RECORD.read_text().replace("requirements.txt", "requirements-tracing.txt"))
    _, _, calls = docker.run("push", TAG, REGISTRY, "service1-api")
    (push,) = builds(calls)
    assert "--build-arg REQUIREMENTS=requirements-tracing.txt " in push


def test_tracing_is_yes_or_no(docker: Docker) -> None:
    code, said, calls = docker.run("build", TAG, TRACING="true")
    assert (code, said) == (1, 'build_images.sh: TRACING: expected yes or no, got "true"\n')
    assert builds(calls) == []


@pytest.mark.parametrize(
    ("platforms", "loaded"), [("linux/arm64", "linux/arm64"), ("linux/arm64,linux/amd64", "linux/amd64")]
)
def test_what_is_loaded_is_a_platform_that_is_built(platforms: str, loaded: str, docker: Docker) -> None:
    _, _, calls = docker.run("build", TAG, PLATFORMS=platforms)
    assert record()["tested"] == loaded
    assert len(builds(calls)) == len(IMAGES) * len(platforms.split(","))


def test_a_push_repeats_the_build_adds_sbom_and_provenance_and_tags_last(
    docker: Docker, built: Built, recorded: None
) -> None:
    code, said, calls = docker.run("push", TAG, REGISTRY, "service1-api")
    assert code == 0, said
    (push,) = builds(calls)
    same = built_part(builds(built.calls)[0])
    assert built_part(push) == same
    assert " --platform linux/amd64,linux/arm64 " in push
    assert " --provenance=mode=max --sbom=true " in push
    assert f"name={REGISTRY}/pillarbox/service1-api,push-by-digest=true" in push
    assert f" --tag {REGISTRY}" not in push
    create = f"buildx imagetools create --builder pillarbox --tag {REGISTRY}/pillarbox/service1-api:{TAG} "
    assert calls[-1] == f"{create}{REGISTRY}/pillarbox/service1-api@{INDEX}"


def built_part(call: str) -> str:
    """Return all arguments that determine a build's content: time, file, base and labels."""
    return call.partition(" --platform ")[0]


def test_an_image_that_is_not_the_tested_one_gets_no_tag(docker: Docker, recorded: None) -> None:
    code, said, calls = docker.run("push", TAG, REGISTRY, "service1-api", CONFIG_PUSHED=OTHER)
    assert code == 1
    assert "is not the tested image" in said
    assert OTHER in said
    assert not [call for call in calls if "imagetools create" in call]


def test_another_sbom_scanner_can_be_named(docker: Docker, recorded: None) -> None:
    _, _, calls = docker.run("push", TAG, REGISTRY, "service1-api", SBOM_GENERATOR="registry.example.com/scanner")
    assert "--sbom=generator=registry.example.com/scanner " in builds(calls)[0]


def test_what_was_not_built_here_is_not_pushed(docker: Docker) -> None:
    code, said, calls = docker.run("push", TAG, REGISTRY, "service1-api")
    assert (code, builds(calls)) == (1, [])
    assert f"buildx did not build {TAG} here" in said


def test_a_tool_without_buildx_builds_one_platform_and_records_its_base(docker: Docker) -> None:
    code, said, calls = docker.run("build", TAG, BUILDX="no")
    assert code == 0, said
    plain = [call for call in calls if call.startswith("build ")]
    tagged = [f"--tag pillarbox/{image}:{TAG} ." in call for image, call in zip(IMAGES, plain, strict=True)]
    assert tagged == [True] * 3
    assert record() == {
        "builder": "docker",
        "base": f"{BASE_IMAGE.partition('@')[0]}@{BASE}",
        "platforms": "",
        "requirements": "requirements.txt",
    }


def test_a_tool_without_buildx_refuses_two_platforms(docker: Docker) -> None:
    code, said, calls = docker.run("build", TAG, BUILDX="no", PLATFORMS="linux/amd64,linux/arm64")
    assert code == 1
    assert "builds one platform, not linux/amd64,linux/arm64" in said
    assert not [call for call in calls if call.startswith("build ")]


def test_a_clean_up_removes_the_images_of_the_tag_and_the_old_cache(docker: Docker, recorded: None) -> None:
    code, said, calls = docker.run("prune", TAG)
    assert code == 0, said
    assert f"image ls --quiet --filter label=org.opencontainers.image.revision={TAG}" in calls
    assert "image rm --force 1234" in calls
    assert "buildx prune --builder pillarbox --force --filter until=168h" in calls
    assert not RECORD.exists()


def test_the_base_image_that_is_read_is_the_default_of_the_dockerfiles() -> None:
    for service in IMAGES:
        assert f"ARG BASE_IMAGE={BASE_IMAGE.partition('@')[0]}\n" in (ROOT / service / "Dockerfile").read_text()


@pytest.mark.parametrize("arguments", [(), ("build",), ("push", TAG), ("everything", TAG)])
def test_wrong_arguments_are_answered_with_the_usage(arguments: tuple[str, ...], docker: Docker) -> None:
    code, said, calls = docker.run(*arguments)
    assert (code, calls) == (2, [])
    assert "build_images.sh build TAG" in said
