"""The steps `build`, `push` and `images`, and the tag of an environment, with scripted answers of the registry."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.testing.emulator import ROOT
from tests.deploy.functions import REGISTRY, Functions, ecr_error

DIGEST, OTHER = (f"sha256:{digit * 64}" for digit in "12")
NOT_THERE = ecr_error("ImageNotFoundException")
TAG = "tag-of-test-deploy-images"
IMAGES = ("service1-api", "service2-consumer", "ops")
MANIFEST = '{"schemaVersion": 2,\n   "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}'


@pytest.fixture
def functions(tmp_path: Path) -> Iterator[Functions]:
    (ROOT / ".local").mkdir(exist_ok=True)
    yield Functions(tmp_path)
    for name in (f"images-{TAG}.txt", f"build-{TAG}.txt"):
        (ROOT / ".local" / name).unlink(missing_ok=True)


@pytest.mark.parametrize("error", ["ImageNotFoundException", "RepositoryNotFoundException"])
def test_an_image_that_is_not_there_is_built(error: str, functions: Functions) -> None:
    functions.answer("describe-images", ecr_error(error))
    run = functions.run("step_build", DRY_RUN="yes", PLATFORMS="linux/arm64")
    assert run.code == 0, run.said
    assert "would run: make images TAG=v1 CONTAINER_TOOL=docker PLATFORMS=linux/arm64" in run.said


def test_an_environment_with_the_component_tracing_gets_images_with_opentelemetry(functions: Functions) -> None:
    functions.answer("describe-images", NOT_THERE)
    run = functions.run("step_build", DRY_RUN="yes", COMPONENTS="tracing")
    assert run.code == 0, run.said
    assert run.said.rstrip().endswith("TRACING=yes")


@pytest.mark.parametrize("step", ["step_build", "step_push", "step_images", "tag_for_environment"])
def test_an_error_of_aws_is_no_missing_image(step: str, functions: Functions) -> None:
    functions.answer("describe-images", ecr_error("AccessDeniedException"))
    run = functions.run(step)
    assert run.code == 1
    assert "AccessDeniedException" in run.said
    assert f"cannot query {REGISTRY} for pillarbox/service1-api:v1" in run.said
    assert not [call for call in run.calls if call.startswith("docker") or "put-image" in call]


def test_images_that_are_there_are_neither_built_nor_pushed(functions: Functions) -> None:
    functions.answer("describe-images", text=DIGEST)
    for step in ("step_build", "step_push"):
        run = functions.run(step, IMAGE_TAG=TAG)
        assert run.code == 0, run.said
        assert {call.split(" ecr ")[1].split()[0] for call in run.calls} == {"describe-images"}
    lines = (ROOT / f".local/images-{TAG}.txt").read_text().splitlines()
    assert lines == [f"{REGISTRY}/pillarbox/{service}@{DIGEST}" for service in IMAGES]


def test_an_image_of_a_plain_build_is_pushed_by_docker_as_it_is(functions: Functions) -> None:
    functions.answer("describe-images", NOT_THERE, text=DIGEST)
    functions.answer("describe-images", NOT_THERE, where="service1-api")
    run = functions.run("step_push", DRY_RUN="yes")
    assert f"would run: docker push {REGISTRY}/pillarbox/service1-api:v1" in run.said


def test_an_image_of_buildx_is_pushed_from_its_cache(functions: Functions) -> None:
    (ROOT / f".local/build-{TAG}.txt").write_text("builder=buildx\n")
    functions.answer("describe-images", NOT_THERE)
    run = functions.run("step_push", IMAGE_TAG=TAG, DRY_RUN="yes")
    assert f"would run: infrastructure/build_images.sh push {TAG} {REGISTRY} service1-api" in run.said
    assert "docker push" not in run.said


def with_image(functions: Functions) -> None:
    functions.answer("describe-images", NOT_THERE)
    functions.answer("describe-images", text=DIGEST, where="imageTag=v1")
    image = {
        "imageId": {"imageDigest": DIGEST},
        "imageManifest": MANIFEST,
        "imageManifestMediaType": "application/the.type",
    }
    functions.answer("batch-get-image", {"images": [image]})


def test_a_deployment_tags_each_image_with_environment_and_tag(functions: Functions) -> None:
    with_image(functions)
    run = functions.run("tag_for_environment")
    assert run.code == 0, run.said
    put = [call for call in run.calls if "put-image" in call]
    for call, service in zip(put, IMAGES, strict=True):
        assert f"--registry-id 123456789012 --repository-name pillarbox/{service} --image-tag env-prod-v1 " in call
        assert f"--image-digest {DIGEST} " in call
        assert "--image-manifest-media-type application/the.type" in call


def test_the_manifest_is_put_back_byte_for_byte_and_in_its_own_format(functions: Functions, tmp_path: Path) -> None:
    with_image(functions)
    run = functions.run("tag_for_environment", "service1-api")
    assert (tmp_path / "work/manifest.json").read_text() == MANIFEST
    (got,) = [call for call in run.calls if "batch-get-image" in call]
    assert "application/vnd.oci.image.index.v1+json" in got
    assert len([call for call in run.calls if "put-image" in call]) == 1


def test_an_image_that_has_the_tag_already_is_left_alone(functions: Functions) -> None:
    functions.answer("describe-images", text=DIGEST)
    run = functions.run("tag_for_environment")
    assert run.code == 0, run.said
    assert not [call for call in run.calls if "put-image" in call]


def test_a_tag_is_never_moved_to_another_image(functions: Functions) -> None:
    with_image(functions)
    functions.answer("describe-images", text=OTHER, where="env-prod-v1")
    run = functions.run("tag_for_environment")
    assert run.code == 1
    assert f"pillarbox/service1-api:env-prod-v1 is {OTHER}, not {DIGEST}" in run.said


def test_a_dry_run_adds_no_tag(functions: Functions) -> None:
    run = functions.run("tag_for_environment", DRY_RUN="yes")
    assert (run.code, run.calls) == (0, [])
    assert "would tag service1-api:v1 as env-prod-v1" in run.said


def test_what_image_manifest_py_cannot_find_is_an_error() -> None:
    command = [sys.executable, str(ROOT / "infrastructure/deploy/image_manifest.py"), "platform", "linux/s390x"]
    index = json.dumps({"manifests": [{"digest": DIGEST, "platform": {"os": "linux", "architecture": "amd64"}}]})
    done = subprocess.run(command, input=index, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "linux/s390x" in done.stderr
