"""Jenkinsfile-CI simulated with Groovy: what it tests, and for which commits it builds images."""

from typing import Any

import pytest

from tests.jenkins.builds import Played, Repository, play

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

TESTS = ["make check", "make test ARGS=--junitxml=.cache/junit.xml", "make images",
         "make test-images ARGS=--junitxml=.cache/junit-images.xml", "make sbom"]  # fmt: skip
PUBLISH = ["registry", "push", "scan"]
CLEAN = "make clean-images"


def asked_builds() -> dict[str, dict[str, Any]]:
    """Return the builds that the tests examine, by name."""
    ci: dict[str, Any] = {"jenkinsfile": "Jenkinsfile-CI", "job": "main"}
    main = ci | {"branch": "main"}
    builds: dict[str, dict[str, Any]] = {
        "main": main,
        "release branch": ci | {"branch": "release/1.0"},
        "release tag": ci | {"tag": "v1.0.1"},
        "other tag": ci | {"tag": "experiment"},
        "feature branch": ci | {"branch": "feature"},
        "a branch that only begins like main": ci | {"branch": "main2"},
        "change request": ci | {"branch": "PR-1", "changeRequest": True},
        "id token": main
        | {"environment": {"PILLARBOX_OIDC_CREDENTIAL": "oidc"}, "credentials": {"oidc": "/the/token"}},
    }
    for line in TESTS:
        builds[f"{line} fails"] = main | {"fails": f"^{line}$"}
    for step in PUBLISH:
        builds[f"{step} fails"] = main | {"fails": f"--only {step}"}
    builds["hangs"] = main | {"hangs": "^make images$"}
    return builds


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Played]:
    repository = Repository(tmp_path_factory.mktemp("git") / "pillarbox")
    played = play(tmp_path_factory.mktemp("jenkins"), repository, asked_builds())
    assert {name: build.problem for name, build in played.items() if build.problem} == {}
    return played


def commands(build: Played) -> list[str]:
    return [event["command"] for event in build.of("sh")]


def test_a_commit_of_main_is_tested_then_pushed_then_scanned(builds: dict[str, Played]) -> None:
    build = builds["main"]
    assert build.result == "SUCCESS"
    deploy = [f"./deploy.sh --environment ci --assume-role --only {step}" for step in PUBLISH]
    assert commands(build) == [*TESTS, *deploy, CLEAN]


@pytest.mark.parametrize("name", ["release branch", "release tag"])
def test_a_release_is_pushed_too(name: str, builds: dict[str, Played]) -> None:
    assert builds[name].result == "SUCCESS"
    assert builds[name].steps == PUBLISH


@pytest.mark.parametrize(
    "name", ["feature branch", "change request", "other tag", "a branch that only begins like main"]
)
def test_any_other_commit_is_tested_and_leaves_nothing_in_the_registry(name: str, builds: dict[str, Played]) -> None:
    assert builds[name].result == "SUCCESS"
    assert commands(builds[name]) == [*TESTS, CLEAN]


@pytest.mark.parametrize("line", TESTS)
def test_what_fails_before_the_push_pushes_nothing(line: str, builds: dict[str, Played]) -> None:
    build = builds[f"{line} fails"]
    assert build.result == "FAILURE"
    assert build.steps == []
    assert commands(build)[: TESTS.index(line) + 1] == TESTS[: TESTS.index(line) + 1]


@pytest.mark.parametrize("step", PUBLISH)
def test_a_step_of_the_publication_that_fails_ends_it(step: str, builds: dict[str, Played]) -> None:
    build = builds[f"{step} fails"]
    assert build.result == "FAILURE"
    assert build.steps == PUBLISH[: PUBLISH.index(step) + 1]


def test_digests_the_base_image_and_the_package_lists_are_kept_also_when_the_scan_refuses(
    builds: dict[str, Played],
) -> None:
    for name in ("main", "scan fails"):
        (archived,) = builds[name].of("archived")
        assert archived["files"] == [".local/build-x.txt", ".local/images-x.txt", ".local/sbom-x.json"]
        assert archived["fingerprint"] is True


def test_test_reports_are_read_although_the_tests_fail(builds: dict[str, Played]) -> None:
    assert len(builds["main"].of("junit")) == 2
    for line in (TESTS[1], TESTS[3]):
        build = builds[f"{line} fails"]
        assert {"always"} <= {event["condition"] for event in build.of("post")}


def test_the_agent_keeps_neither_images_nor_workspace(builds: dict[str, Played]) -> None:
    for name, build in builds.items():
        assert len(build.of("deleteDir")) == 1, name
        assert (CLEAN in commands(build)) is ("Images" in build.entered), name


def test_only_the_publication_gets_an_id_token(builds: dict[str, Played]) -> None:
    assert {call.split("\t")[1] for call in builds["id token"].calls if "--only" in call} == {"/the/token"}
    assert builds["main"].of("asked") == []


def test_a_build_that_hangs_ends_in_time(builds: dict[str, Played]) -> None:
    assert builds["hangs"].result == "ABORTED"
    for event in builds["main"].of("sh"):
        assert 0 < event["minutes"] <= 60
