"""deploy.sh and the cluster: the lock, the records of releases, the rollback, and what it waits for.

The cluster is simulated; tests/cluster has the same with a real API server.
"""

import re
import subprocess
import time
from pathlib import Path

import pytest

from common.testing.emulator import ACCOUNT_ID, ROOT
from tests.deploy.stage import REGISTRY, Run, Stage, cluster_alone

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

CONSUMER = "deployment/pillarbox-consumer/service2-consumer"
SCALED_OBJECT = "scaledobject/pillarbox-consumer/service2-consumer"
ATTEMPT, RELEASE = "configmap/pillarbox/pillarbox-attempt", "configmap/pillarbox/pillarbox-release"
LEASE = "lease/pillarbox/pillarbox-deploy"
FIXED = ("--component", "fixed-replicas")
CERTIFICATE = "arn:aws:acm:eu-west-1:000000000000:certificate/11111111-2222-3333-4444-555555555555"
HTTPS = ("--certificate-arn", CERTIFICATE, "--hostname", "mail.example.com")


@pytest.fixture
def cluster(tmp_path: Path) -> Stage:
    return cluster_alone(tmp_path / "stage")


def applied(cluster: Stage, tag: str, *options: str) -> Run:
    """Render, show the difference and apply; return the run that applied."""
    file = str(cluster.render(tag, *options))
    for step in ("diff", "apply"):
        run = cluster.deploy("--only", step, "--yes", "--rendered", file)
        assert run.code == 0, run.said
    return run


def verified(cluster: Stage, tag: str, *options: str) -> None:
    """Apply a release and record it, like the step verify after the e-mail has arrived."""
    applied(cluster, tag, *options)
    file = cluster.folder / f"{tag}.yaml"
    script = f"""
      source ./deploy.sh
      use_colours; parse_arguments {REGISTRY} {ACCOUNT_ID} --only verify --rendered {file}
      STEP=verify RUNNING="" APPLIED=no; make_work_folder; trap 'finish $?' EXIT
      rendered; take_lock; require_live; record_release
    """
    run = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT, env=cluster.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr


# ---- one at a time ---------------------------------------------------------------------------------------------------


def held_by(holder: str) -> dict[str, object]:
    return {
        "kind": "Lease",
        "metadata": {"name": "pillarbox-deploy", "namespace": "pillarbox", "resourceVersion": "1"},
        "spec": {"holderIdentity": holder, "renewTime": "2026-01-01T00:00:00.000000Z"},
    }


def test_the_lock_is_taken_for_the_apply_and_given_back(cluster: Stage) -> None:
    applied(cluster, "v1")
    calls = applied(cluster, "v1").calls
    changes = [call for call in calls if re.search(r" (create|apply|delete) ", call)]
    assert "lock.yaml" in changes[0]
    assert "delete lease pillarbox-deploy" in changes[-1]
    assert LEASE not in cluster.objects()


def test_a_lock_that_is_renewed_ends_the_run_and_names_the_holder(cluster: Stage) -> None:
    file = cluster.render("v1")
    cluster.put(LEASE, held_by("another"))
    starting = cluster.start("--only", "apply", "--yes", "--image-tag", "v1", "--rendered", str(file))
    deadline = time.monotonic() + 60
    while "holds the lock" not in cluster.said():
        assert time.monotonic() < deadline, cluster.said()
        time.sleep(0.1)
    lease = held_by("another")
    lease["spec"] = {"holderIdentity": "another", "renewTime": "2026-01-01T00:00:05.000000Z"}
    cluster.put(LEASE, lease)
    assert starting.wait(60) == 1
    assert "another deployment is running: another" in cluster.said()
    assert CONSUMER not in cluster.objects()


def test_a_lock_that_nobody_renews_is_taken_over(cluster: Stage) -> None:
    cluster.put(LEASE, held_by("killed"))
    applied(cluster, "v1")
    assert CONSUMER in cluster.objects()
    assert LEASE not in cluster.objects()


def test_unlock_removes_the_lock_after_a_yes(cluster: Stage) -> None:
    cluster.put(LEASE, held_by("killed"))
    assert cluster.deploy("--only", "unlock", answer="n\n").code == 1
    assert LEASE in cluster.objects()
    run = cluster.deploy("--only", "unlock", answer="y\n")
    assert (run.code, LEASE in cluster.objects()) == (0, False)
    assert "held by killed, last renewed at 2026-01-01" in run.said


# ---- the way back ----------------------------------------------------------------------------------------------------


def test_roll_back_removes_what_the_failed_release_added(cluster: Stage) -> None:
    verified(cluster, "v1", *FIXED)
    before = set(cluster.objects())
    applied(cluster, "v2")  # with KEDA, which would scale the two consumers to zero
    assert SCALED_OBJECT in cluster.objects()
    run = cluster.deploy("--only", "rollback", "--image-tag", "v2")
    assert run.code == 0, run.said
    assert set(cluster.objects()) == before
    removed = next(index for index, call in enumerate(run.calls) if "delete ScaledObject.keda.sh" in call)
    assert removed < next(index for index, call in enumerate(run.calls) if call.startswith("kubectl apply"))


def test_from_keda_to_fixed_replicas_keda_s_objects_go_before_the_manifests_come(cluster: Stage) -> None:
    verified(cluster, "v1")
    applied(cluster, "v2", *FIXED)
    assert SCALED_OBJECT not in cluster.objects()
    assert cluster.objects()[CONSUMER]["spec"]["replicas"] == 2


def test_where_file_intake_is_switched_off_its_objects_go(cluster: Stage) -> None:
    verified(cluster, "v1")
    with_files = {key for key in cluster.objects() if "/file-intake" in key}
    assert {key.partition("/")[0] for key in with_files} >= {"deployment", "scaledobject", "serviceaccount"}
    folder = cluster.folder / "environments"
    folder.mkdir()
    (folder / "dev.env").write_text("FILE_INTAKE=no\n")
    cluster.aws["ENVIRONMENTS_FOLDER"] = str(folder)
    verified(cluster, "v2")
    left = {key for key in cluster.objects() if "/file-intake" in key}
    assert {key.partition("/")[0] for key in left} == {"configmap"}, "the settings stay for an undo"


def test_roll_back_leaves_alone_what_it_did_not_apply(cluster: Stage) -> None:
    verified(cluster, "v1", *FIXED)
    before = cluster.objects()
    run = cluster.deploy("--only", "rollback", "--image-tag", "v2")
    assert (run.code, run.called("kubectl apply")) == (0, [])
    assert "nothing was applied since the release verified last" in run.said
    assert cluster.objects() == before


def test_roll_back_of_a_file_leaves_another_deployment_alone(cluster: Stage) -> None:
    verified(cluster, "v1", *FIXED)
    applied(cluster, "v2", *FIXED)
    applied(cluster, "v3", *FIXED)
    run = cluster.deploy("--only", "rollback", "--rendered", str(cluster.folder / "v2.yaml"))
    assert (run.code, run.called("kubectl apply")) == (0, [])
    assert cluster.objects()[CONSUMER]["metadata"]["labels"]["app.kubernetes.io/version"] == "v3"


def test_an_attempt_that_was_killed_is_taken_back_with_the_next(cluster: Stage) -> None:
    verified(cluster, "v1", *FIXED)
    before = set(cluster.objects())
    applied(cluster, "v2", "--component", "service-monitor", *FIXED)  # and killed, without a rollback
    applied(cluster, "v3", *FIXED)
    assert cluster.deploy("--only", "rollback", "--image-tag", "v3").code == 0
    assert set(cluster.objects()) == before


def test_the_settings_of_the_release_before_stay_for_an_undo_and_older_ones_go(cluster: Stage, tmp_path: Path) -> None:
    def settings() -> set[str]:
        return {name for name in cluster.objects() if name.startswith("configmap/pillarbox/service1-api-settings")}

    seen = []
    for tag, level in (("v1", "INFO"), ("v2", "DEBUG"), ("v3", "ERROR")):
        (tmp_path / "dev.env").write_text(f"LOG_LEVEL={level}\n")
        cluster.aws["ENVIRONMENTS_FOLDER"] = str(tmp_path)
        verified(cluster, tag, *FIXED)
        seen.append(settings())
    assert [len(names) for names in seen] == [1, 2, 2]
    assert not seen[0] & seen[2]


def test_a_consumer_of_the_layout_before_goes_once_the_new_one_is_verified(cluster: Stage) -> None:
    old = "deployment/pillarbox/service2-consumer"
    verified(cluster, "v1", *FIXED)
    objects = cluster.objects()
    cluster.put(old, objects[CONSUMER])
    release = objects[RELEASE]
    release["data"]["kept"] = "Deployment.apps pillarbox service2-consumer\n"
    cluster.put(RELEASE, release)
    applied(cluster, "v2", *FIXED)
    assert old in cluster.objects()
    verified(cluster, "v2", *FIXED)
    assert old not in cluster.objects()


# ---- what is waited for ----------------------------------------------------------------------------------------------


def test_the_pods_of_another_release_prove_nothing(cluster: Stage) -> None:
    applied(cluster, "v1", *FIXED)
    file = cluster.render("v2", *FIXED)
    run = cluster.deploy("--only", "wait", "--rendered", str(file))
    assert run.code == 1
    assert "another deployment has replaced it" in run.said
    assert "service1-api:v1" in run.said


def test_a_first_deployment_waits_for_the_least_number_of_pods(cluster: Stage) -> None:
    applied(cluster, "v1", *FIXED)
    file = str(cluster.folder / "v1.yaml")
    run = cluster.deploy("--only", "wait", "--rendered", file, STAND_IN_READY="1")
    assert run.code == 1
    assert "service1-api: 1 of at least 2 pods are ready" in run.said
    assert cluster.deploy("--only", "wait", "--rendered", file).code == 0


def test_the_deployment_s_own_deadline_ends_the_wait(cluster: Stage) -> None:
    applied(cluster, "v1", *FIXED)
    run = cluster.deploy("--only", "wait", "--rendered", str(cluster.folder / "v1.yaml"))
    (call,) = run.called("kubectl --namespace pillarbox rollout status")
    assert "--timeout=3600s" in call  # an upper limit; the condition Progressing decides
    assert cluster.objects()[CONSUMER]["spec"]["progressDeadlineSeconds"] == 300


def test_keda_must_be_able_to_read_the_queue(cluster: Stage) -> None:
    applied(cluster, "v1")
    file = str(cluster.folder / "v1.yaml")
    run = cluster.deploy("--only", "wait", "--rendered", file, STAND_IN_KEDA="False")
    assert run.code == 1
    assert "KEDA cannot scale file-intake" in run.said
    assert "Ready=False Played" in run.said
    assert cluster.deploy("--only", "wait", "--rendered", file).code == 0


@pytest.mark.parametrize("step", ["wait", "health"])
def test_a_failing_step_shows_a_page_of_events_and_the_pods_last_lines(cluster: Stage, step: str) -> None:
    applied(cluster, "v1", *FIXED)
    file = str(cluster.folder / "v1.yaml")
    run = cluster.deploy("--only", step, "--rendered", file, STAND_IN_READY="1", HEALTH_TIMEOUT_SECONDS="1")
    assert run.code == 1
    assert "FailedScheduling" in run.said
    assert "a line of a-pod" in run.said
    assert len(run.said.splitlines()) < 80


def test_events_that_cannot_be_listed_do_not_stop_the_page(cluster: Stage) -> None:
    applied(cluster, "v1", *FIXED)
    file = str(cluster.folder / "v1.yaml")
    run = cluster.deploy("--only", "wait", "--rendered", file, STAND_IN_READY="1", fail="get events")
    assert run.code == 1
    assert "a line of a-pod" in run.said


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_a_deployment_without_a_certificate_does_not_switch_https_off(cluster: Stage) -> None:
    applied(cluster, "v1", *FIXED, *HTTPS)
    file = cluster.render("v2", *FIXED)
    assert cluster.deploy("--only", "diff", "--rendered", str(file)).code == 0
    run = cluster.deploy("--only", "apply", "--yes", "--rendered", str(file))
    assert run.code == 1
    assert f"the live Ingress has the certificate {CERTIFICATE} and the new one has none" in run.said
    assert run.called("kubectl apply") == []


@pytest.mark.parametrize("fail", ["get namespace", "get configmap"])
def test_an_api_server_out_of_reach_is_no_first_deployment(cluster: Stage, fail: str) -> None:
    applied(cluster, "v1", *FIXED)
    run = cluster.deploy("--only", "diff", "--rendered", str(cluster.folder / "v1.yaml"), fail=fail)
    assert run.code == 1
    assert "is new" not in run.said


def test_a_first_deployment_lists_what_is_new(cluster: Stage) -> None:
    run = cluster.deploy("--only", "diff", "--rendered", str(cluster.render("v1")))
    assert run.code == 0
    assert "the namespace pillarbox is new" in run.said
    assert "the namespace pillarbox-consumer is new" in run.said


def test_the_difference_names_what_would_be_removed(cluster: Stage) -> None:
    verified(cluster, "v1")
    run = cluster.deploy("--only", "diff", "--rendered", str(cluster.render("v2", *FIXED)))
    assert "would be removed: ScaledObject.keda.sh pillarbox-consumer service2-consumer" in run.said
    assert SCALED_OBJECT in cluster.objects()


def test_a_file_of_another_environment_is_refused(cluster: Stage) -> None:
    file = cluster.render("v1", "--environment", "prod", *HTTPS)
    run = cluster.deploy("--only", "diff", "--rendered", str(file))
    assert run.code == 1
    assert "was not rendered for the environment dev" in run.said


def test_the_tag_and_the_rendered_file_must_agree(cluster: Stage) -> None:
    file = cluster.render("v1")
    run = cluster.deploy("--only", "diff", "--image-tag", "v2", "--rendered", str(file))
    assert run.code == 2
    assert f"{file} contains the images of v1" in run.said


def test_what_was_rendered_is_applied_and_never_rendered_again(cluster: Stage) -> None:
    applied(cluster, "v1", *FIXED)
    file = cluster.folder / "v1.yaml"
    run = cluster.deploy("--only", "wait", "--rendered", str(file))
    assert run.called("kubectl kustomize") == []
    assert cluster.applied == file.read_text()


@pytest.mark.parametrize(
    ("component", "apis", "complaint"),
    [
        ("fixed-replicas", "", ""),
        ("service-monitor", "keda.sh/v1alpha1:scaledobjects,triggerauthentications", "no Prometheus operator"),
        ("service-monitor", "monitoring.coreos.com/v1:servicemonitors,podmonitors", "no KEDA"),
        ("monitoring", "keda.sh/v1alpha1:scaledobjects,triggerauthentications", "or remove the component monitoring"),
    ],
)
def test_what_a_component_needs_is_checked_beforehand(
    cluster: Stage, component: str, apis: str, complaint: str
) -> None:
    cluster.aws["E2E_PYTHON"] = str(ROOT / ".venvs/dev/bin/python")
    run = cluster.deploy("--only", "check", "--component", component, STAND_IN_APIS=apis)
    assert run.code == (1 if complaint else 0), run.said
    assert complaint in run.said


def test_server_side_apply_is_the_only_one_and_names_its_manager(cluster: Stage) -> None:
    calls = applied(cluster, "v1").called("kubectl apply")
    assert len(calls) == 3  # the namespaces, the record of the attempt, the manifests
    assert all("--server-side" in call and "--field-manager pillarbox-deploy" in call for call in calls)


def test_what_a_killed_run_left_is_removed_by_the_next(cluster: Stage) -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    left = ROOT / ".local" / f"deploy.{process.pid}.killed"
    left.mkdir(parents=True)
    cluster.render("v1")
    assert not left.exists()
