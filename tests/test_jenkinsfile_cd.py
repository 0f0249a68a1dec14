"""Jenkinsfile-CD simulated with Groovy: what is deployed where, the approvals, and the effect of a failure."""

import pytest

from tests.jenkins.builds import Played, Repository, play
from tests.jenkins.deployments import BEFORE, RELEASE, STEPS, asked_builds, of_step

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository(tmp_path_factory.mktemp("git") / "pillarbox")


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory, repository: Repository) -> dict[str, Played]:
    played = play(tmp_path_factory.mktemp("jenkins"), repository, asked_builds(repository))
    broken = {
        name: build.problem for name, build in played.items() if build.problem and name != "restarted from the release"
    }
    assert broken == {}
    return played


def test_a_deployment_goes_through_all_steps_in_order(builds: dict[str, Played]) -> None:
    assert builds["dev"].result == "SUCCESS"
    assert builds["dev"].steps == STEPS
    assert builds["prod"].result == "SUCCESS"
    assert builds["prod"].steps == STEPS


def test_every_call_names_the_job_s_environment_and_the_commit(
    builds: dict[str, Played], repository: Repository
) -> None:
    for job in ("dev", "prod"):
        calls = [call for call in builds[job].calls if "--only" in call]
        assert len(calls) == len(STEPS)
        for call in calls:
            assert f"--environment {job} --image-tag {repository.head} --assume-role " in call


def test_what_is_deployed_is_rendered_from_the_commit_of_the_tag(
    builds: dict[str, Played], repository: Repository
) -> None:
    for name, commit in (
        ("dev", repository.head),
        ("prod with an older commit", repository.slack),
        ("release branch", repository.release),
        ("release tag", repository.tagged),
    ):
        assert builds[name].result == "SUCCESS"
        assert {call.split("\t")[0] for call in builds[name].calls if "--only" in call} == {commit}
        assert builds[name].applied.splitlines()[0] == f"rendered from {commit}"


def test_the_file_that_was_shown_and_archived_is_the_one_that_is_applied(builds: dict[str, Played]) -> None:
    prod = builds["prod"]
    assert prod.steps.count("render") == 1
    (archived,) = prod.of("archived")
    assert (archived["files"], archived["fingerprint"]) == ([".local/rendered.yaml"], True)
    (stashed,) = prod.of("stashed")
    assert stashed["files"] == [".local/rendered.yaml", ".local/rendered.yaml.live"]
    for call in prod.calls:
        if "--only" in call:
            assert " --rendered .local/rendered.yaml " in call
    order = [event["event"] for event in prod.events if event["event"] in {"archived", "stashed", "asked", "unstashed"}]
    assert order == ["archived", "stashed", "asked", "unstashed"]


def test_what_was_approved_is_applied_although_main_has_moved_on(
    builds: dict[str, Played], repository: Repository
) -> None:
    build = builds["main moves on during the approval"]
    assert build.result == "SUCCESS"
    assert build.applied.splitlines() == [f"rendered from {repository.head}", "live"]
    assert repository.git("rev-parse", "main") != repository.head


def test_dev_asks_nobody(builds: dict[str, Played]) -> None:
    assert builds["dev"].of("asked") == []


def test_production_asks_the_approvers_of_the_environment_s_file(builds: dict[str, Played]) -> None:
    (asked,) = builds["prod"].of("asked")
    assert asked["submitter"] == "alice,ops"
    assert "prod" in asked["message"]
    assert [event["message"] for event in builds["prod"].of("echo")] == ["Approved by alice."]


def test_the_question_holds_no_agent_and_no_lock_and_ends_after_8_hours(builds: dict[str, Played]) -> None:
    (asked,) = builds["prod"].of("asked")
    assert (asked["nodes"], asked["locks"], asked["minutes"]) == ([], [], 480)


@pytest.mark.parametrize("name", ["rejected", "unanswered", "answered by a stranger"])
def test_without_an_approval_nothing_is_applied_and_nothing_rolled_back(name: str, builds: dict[str, Played]) -> None:
    assert builds[name].result == "ABORTED"
    assert builds[name].steps == BEFORE
    assert builds[name].of("locked") == []


def test_a_commit_cannot_change_who_approves_it(builds: dict[str, Played]) -> None:
    (asked,) = builds["prod with an older commit"].of("asked")
    assert asked["submitter"] == "alice,ops"


def test_today_s_scan_exceptions_count_for_an_older_commit_too(builds: dict[str, Played]) -> None:
    for call in builds["prod with an older commit"].calls:
        if "--only" in call:
            assert call.split("\t")[2] == ".local/scan-exceptions.txt"


@pytest.mark.parametrize("name", ["first build", "empty tag"])
def test_an_empty_tag_is_an_error_with_a_line_that_says_so(name: str, builds: dict[str, Played]) -> None:
    assert builds[name].result == "FAILURE"
    assert "IMAGE_TAG is empty" in builds[name].message
    assert "first build" in builds[name].message
    assert builds[name].of("node") == []


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("short tag", "must be a commit's SHA with 40 digits"),
        ("a shell's tag", "must be a commit's SHA with 40 digits"),
        ("unknown commit", "there is no commit 0000"),
        ("feature branch", "neither on main nor in a release"),
        ("a job with another name", 'there is no environment "pillarbox"'),
        ("an environment without approvers", "has no APPROVERS"),
    ],
)
def test_what_may_not_be_deployed_is_refused_before_any_of_its_code_runs(
    name: str, complaint: str, builds: dict[str, Played]
) -> None:
    assert builds[name].result == "FAILURE"
    assert complaint in builds[name].message
    assert builds[name].calls == []


def test_no_parameter_leads_a_job_to_another_environment(builds: dict[str, Played]) -> None:
    build = builds["another environment by parameters"]
    assert build.result == "SUCCESS"
    for call in build.calls:
        assert "prod" not in call


def test_a_restart_cannot_skip_the_approval(builds: dict[str, Played]) -> None:
    build = builds["restarted from the release"]
    assert build.problem is not None
    assert "restart from a stage is switched off" in build.problem
    assert build.calls == []


def test_each_environment_has_agents_and_a_lock_of_its_own(builds: dict[str, Played]) -> None:
    for job in ("dev", "prod"):
        build = builds[job]
        assert {event["label"] for event in build.of("node")} == {f"deploy-{job}"}
        assert [event["resource"] for event in build.of("locked")] == [f"pillarbox-deploy-{job}"]
        locks = {
            event["command"].split("--only ")[1].split()[0]: event["locks"]
            for event in build.of("sh")
            if "--only" in event["command"]
        }
        assert {step for step, held in locks.items() if held} == set(RELEASE)


def test_builds_of_one_job_wait_for_the_lock_only(builds: dict[str, Played]) -> None:
    (options,) = builds["dev"].of("options")
    assert "disableConcurrentBuilds" not in options["names"]
    assert "timeout" not in options["names"]


def test_each_step_gets_an_id_token_where_the_job_has_one(builds: dict[str, Played]) -> None:
    tokens = {call.split("\t")[1] for call in builds["id token"].calls if "--only" in call}
    assert tokens == {"/the/token"}
    without = {call.split("\t")[1] for call in builds["dev"].calls if "--only" in call}
    assert without == {""}
    assert builds["no id token"].result == "FAILURE"
    assert builds["no id token"].calls == ["make setup"]


@pytest.mark.parametrize("end", ["fails", "hangs", "is aborted"])
@pytest.mark.parametrize("step", BEFORE)
def test_what_ends_before_the_apply_rolls_nothing_back(step: str, end: str, builds: dict[str, Played]) -> None:
    build = builds[f"{step} {end}"]
    assert build.result == ("FAILURE" if end == "fails" else "ABORTED")
    assert build.steps == BEFORE[: BEFORE.index(step) + 1]
    assert build.of("locked") == []


@pytest.mark.parametrize("name", ["check-out fails", "set-up fails"])
def test_a_workspace_that_cannot_be_made_ends_the_build(name: str, builds: dict[str, Played]) -> None:
    assert builds[name].result == "FAILURE"
    assert builds[name].steps == []


@pytest.mark.parametrize("end", ["fails", "hangs", "is aborted"])
@pytest.mark.parametrize("step", RELEASE)
def test_what_ends_after_the_apply_began_is_rolled_back_under_the_lock(
    step: str, end: str, builds: dict[str, Played]
) -> None:
    build = builds[f"{step} {end}"]
    assert build.result == ("FAILURE" if end == "fails" else "ABORTED")
    assert build.steps == [*STEPS[: STEPS.index(step) + 1], "rollback"]
    (rollback,) = [event for event in build.of("sh") if of_step("rollback") in event["command"]]
    assert rollback["locks"] == ["pillarbox-deploy-dev"]
    assert rollback["minutes"] == 90
    assert "killed" not in build.message


def test_a_roll_back_that_fails_fails_the_build_and_frees_the_agent(builds: dict[str, Played]) -> None:
    build = builds["roll-back fails too"]
    assert build.result == "FAILURE"
    assert build.message.count("made to fail") >= 2
    assert build.events[-1]["event"] in {"deleteDir", "ended"}


def test_every_workspace_is_removed(builds: dict[str, Played]) -> None:
    for name, build in builds.items():
        assert len(build.of("deleteDir")) == len(build.of("node")), name


def test_no_step_can_run_for_ever(builds: dict[str, Played]) -> None:
    for event in builds["prod"].of("sh"):
        assert 0 < event["minutes"] <= 75
