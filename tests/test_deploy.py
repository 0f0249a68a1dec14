"""deploy.sh with the real aws CLI and both real services, and a simulated cluster."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.testing.emulator import ACCOUNT_ID, REGION, ROOT
from tests.deploy.manifests import documents, one
from tests.deploy.stage import REGISTRY, Run, Stage, services, stack_outputs, stage

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

V1 = ("--image-tag", "v1", "--yes")
V2 = ("--image-tag", "v2", "--yes")
CHANGES = re.compile(
    r"cloudformation deploy|put-parameter|put-image|docker|make|kubectl .*(apply|create|delete|patch|rollout)"
)
STEPS = (
    "check", "infrastructure", "token", "build", "push", "render", "diff", "apply", "wait", "verify", "alarms",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    for tool in ("aws", "kubectl", "curl"):
        if not shutil.which(tool):
            pytest.fail(f"{tool} is not installed, and deploy.sh needs it")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage with the stack, the token, and both services behind a simulated load balancer."""
    with stage(tmp_path_factory.mktemp("deploy")) as set_stage:
        for step in ("infrastructure", "token"):
            made = set_stage.deploy("--only", step, *V1)
            assert made.code == 0, made.said
        with services(set_stage, stack_outputs(set_stage, "pillarbox-dev")) as set_stage.load_balancer:
            yield set_stage
    for tag in ("v1", "v2"):
        (ROOT / ".local" / f"images-{tag}.txt").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def first(prepared: Stage) -> Run:
    return prepared.deploy(*V1)


def position(run: Run, beginning: str) -> int:
    return next(index for index, call in enumerate(run.calls) if call.startswith(beginning))


def test_a_dry_run_of_a_first_deployment_shows_everything_and_touches_nothing(tmp_path: Path) -> None:
    with stage(tmp_path) as set_stage:
        run = set_stage.deploy("--image-tag", "v1", "--dry-run")
    assert run.code == 0, run.said
    assert [call for call in run.calls if CHANGES.search(call)] == []
    for step in STEPS:
        assert re.search(rf"^\[\d+/11\] {step}$", run.said, re.MULTILINE)
    for shown in (
        "cloudformation deploy",
        "make images",
        f"docker push {REGISTRY}",
        "kubectl apply",
    ):
        assert f"would run: {'aws --region ' + REGION + ' ' if shown.startswith('cloud') else ''}{shown}" in run.said
    assert "nothing was changed" in run.said


def test_a_first_deployment_goes_through_all_steps_in_order(first: Run) -> None:
    assert first.code == 0, first.said
    in_order = (
        f"aws --region {REGION} sts get-caller-identity",
        f"aws --region {REGION} cloudformation deploy --stack-name pillarbox-registry",
        f"aws --region {REGION} cloudformation deploy --stack-name pillarbox-dev",
        "make images TAG=v1",
        "docker login",
        f"docker push {REGISTRY}/pillarbox/service1-api:v1",
        f"docker push {REGISTRY}/pillarbox/service2-consumer:v1",
        "kubectl kustomize",
        "kubectl apply",
        "kubectl --namespace pillarbox rollout status deployment/service1-api",
        "kubectl --namespace pillarbox-consumer rollout status deployment/service2-consumer",
        "kubectl create configmap pillarbox-release",
    )
    positions = [position(first, beginning) for beginning in in_order]
    assert positions == sorted(positions)


def test_it_is_proven_by_an_email_whose_object_is_found_and_removed(first: Run) -> None:
    for line in ("[1/5]", "[2/5]", "[3/5]", "[4/5]", "[5/5]", "1 version(s) of messages/", "PASSED"):
        assert line in first.said


def test_what_is_applied_holds_the_outputs_of_the_stack(prepared: Stage, first: Run) -> None:
    outputs = stack_outputs(prepared, "pillarbox-dev")
    manifests = documents(prepared.applied)
    api, consumer = (one("Deployment", name, manifests) for name in ("service1-api", "service2-consumer"))
    for deployment in (api, consumer):
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert container["image"] == f"{REGISTRY}/pillarbox/{container['name']}:v1"
    settings = {m["metadata"]["name"].rpartition("-")[0]: m["data"] for m in manifests if m["kind"] == "ConfigMap"}
    assert settings["service1-api-settings"]["SQS_QUEUE_URL"] == outputs["QueueUrl"]
    assert settings["service1-api-settings"]["SSM_PARAMETER_NAME"] == outputs["TokenParameterName"]
    assert settings["service2-consumer-settings"]["S3_BUCKET_NAME"] == outputs["BucketName"]
    for name, role in (("service1-api", "ApiRoleArn"), ("service2-consumer", "ConsumerRoleArn")):
        annotations = one("ServiceAccount", name, manifests)["metadata"]["annotations"]
        assert annotations["eks.amazonaws.com/role-arn"] == outputs[role]
    (trigger,) = one("ScaledObject", "service2-consumer", manifests)["spec"]["triggers"]
    assert trigger["metadata"]["awsRegion"] == REGION
    assert "placeholder" not in prepared.applied


def test_the_token_is_random_and_shows_nowhere(prepared: Stage, first: Run) -> None:
    token = prepared.token()
    assert re.fullmatch(r"[A-Za-z0-9_-]{48}", token)
    assert token not in first.said
    assert token not in "".join(first.calls)
    assert token not in prepared.applied


def test_the_digests_are_written_for_the_pipeline(first: Run) -> None:
    lines = (ROOT / ".local/images-v1.txt").read_text().splitlines()
    assert len(lines) == 2
    for line, service in zip(lines, ("service1-api", "service2-consumer"), strict=True):
        assert re.fullmatch(rf"{re.escape(REGISTRY)}/pillarbox/{service}@sha256:[0-9a-f]{{64}}", line)


def test_a_second_run_changes_nothing(prepared: Stage, first: Run) -> None:
    applied, token = prepared.applied, prepared.token()
    second = prepared.deploy(*V1)
    assert second.code == 0, second.said
    assert second.said.count("No changes to deploy") == 3
    assert "no difference" in second.said
    assert (prepared.applied, prepared.token()) == (applied, token)
    assert second.called("make") + second.called("docker") == []


@pytest.mark.parametrize(
    ("fail", "step"),
    [
        ("sts get-caller-identity --query Account", "check"),
        ("eks describe-cluster", "check"),
        ("cloudformation deploy --stack-name pillarbox-dev", "infrastructure"),
        ("get-open-id-connect-provider", "infrastructure"),
        ("make images", "build"),
        ("docker login", "push"),
        ("docker push .*service2", "push"),
        ("kubectl kustomize", "render"),
        ("kubectl .*diff", "diff"),
    ],
)
def test_a_step_that_fails_before_the_cluster_is_touched_ends_the_run(
    prepared: Stage, first: Run, fail: str, step: str
) -> None:
    applied = prepared.applied
    run = prepared.deploy(*V2, fail=fail)
    assert run.code == 1
    assert f"failed at step {step}" in run.said
    assert run.called("kubectl apply") == []
    assert prepared.applied == applied


@pytest.mark.parametrize(
    ("fail", "step"),
    [
        ("kubectl apply .*rendered.yaml", "apply"),
        ("rollout status deployment/service1-api", "wait"),
        ("get-parameter .*--with-decryption", "verify"),
    ],
)
def test_a_release_that_does_not_prove_itself_gives_way_to_the_last_that_did(
    prepared: Stage, first: Run, fail: str, step: str
) -> None:
    applied = prepared.applied
    run = prepared.deploy(*V2, fail=fail)
    assert run.code == 1
    assert f"failed at step {step}" in run.said
    assert "FailedScheduling" in run.said
    assert "rolled back" in run.said
    files = [call.rpartition("/")[2] for call in run.called("kubectl apply")]
    assert files == ["pillarbox-attempt.yaml", "rendered.yaml", "last.yaml"]
    assert prepared.applied == applied


def test_a_load_balancer_that_never_answers_fails_the_deployment(prepared: Stage, first: Run) -> None:
    run = prepared.deploy(*V2, STAND_IN_LOAD_BALANCER="", HEALTH_TIMEOUT_SECONDS="1")
    assert run.code == 1
    assert "the load balancer (none yet) does not answer" in run.said
    assert "rolled back" in run.said


def test_a_changed_stack_is_verified_with_the_running_release_before_the_new_one_comes(
    prepared: Stage, first: Run
) -> None:
    applied = prepared.applied
    change = ("--parameter", "OldestMessageAlarmSeconds=600")
    run = prepared.deploy(*V2, *change, fail="get-parameter .*--with-decryption")
    assert run.code == 1
    assert "failed at step infrastructure" in run.said
    assert "the running release does not work with the changed stack" in run.said
    assert "not rolled back: the stack pillarbox-dev" in run.said
    assert prepared.applied == applied
    back = prepared.deploy("--only", "infrastructure", *V1, "--parameter", "OldestMessageAlarmSeconds=900")
    assert back.code == 0, back.said
    assert "verifying it with the running release" in back.said
    assert "PASSED" in back.said


def test_a_token_that_cannot_be_made_ends_the_run_before_anything_is_built(tmp_path: Path) -> None:
    with stage(tmp_path) as set_stage:
        run = set_stage.deploy(*V1, fail="put-parameter")
        assert (run.code, set_stage.applied) == (1, "")
    assert "failed at step token" in run.said
    assert run.called("make") == []


def test_a_first_deployment_that_fails_is_left_as_it_is_and_says_so(tmp_path: Path) -> None:
    with stage(tmp_path) as set_stage:
        run = set_stage.deploy(*V1, STAND_IN_LOAD_BALANCER="", HEALTH_TIMEOUT_SECONDS="1")
        assert run.code == 1
        assert "none to go back to: nothing is changed" in run.said
        assert "service1-api:v1" in set_stage.applied


@pytest.mark.parametrize(("answer", "code", "applied"), [("n\n", 1, False), ("\n", 1, False), ("y\n", 0, True)])
def test_only_a_yes_at_the_question_touches_the_cluster(prepared: Stage, answer: str, code: int, applied: bool) -> None:
    run = prepared.deploy("--only", "apply", "--image-tag", "v1", answer=answer)
    assert run.code == code, run.said
    assert bool(run.called("kubectl apply")) is applied


def test_steps_that_are_skipped_call_nothing(prepared: Stage, first: Run) -> None:
    run = prepared.deploy(*V1, "--skip-build", "--skip-infrastructure")
    assert run.code == 0, run.said
    assert run.called("make") + run.called("docker") == []
    assert [call for call in run.calls if "cloudformation deploy" in call] == []


def test_images_that_were_never_pushed_are_not_deployed(prepared: Stage, first: Run) -> None:
    run = prepared.deploy("--image-tag", "unknown", "--yes", "--skip-build")
    assert run.code == 1
    assert "no image pillarbox/service1-api:unknown" in run.said


def test_credentials_of_another_account_are_refused(prepared: Stage) -> None:
    run = prepared.deploy(*V1, AWS_ACCESS_KEY_ID="111111111111")  # the emulator reads the account from the key
    assert run.code == 1
    assert f"the credentials belong to account 111111111111, not to {ACCOUNT_ID}" in run.said


def test_a_certificate_makes_the_load_balancer_speak_https(prepared: Stage, first: Run) -> None:
    certificate = f"arn:aws:acm:{REGION}:{ACCOUNT_ID}:certificate/11111111-2222-3333-4444-555555555555"
    options = ("--certificate-arn", certificate, "--hostname", "mail.example.com", "--component", "fixed-replicas")
    before = prepared.applied
    run = prepared.deploy("--only", "apply", *V1, *options)
    assert run.code == 0, run.said
    manifests = documents(prepared.applied)
    ingress = one("Ingress", "service1-api", manifests)
    assert ingress["metadata"]["annotations"]["alb.ingress.kubernetes.io/certificate-arn"] == certificate
    assert ingress["spec"]["rules"][0]["host"] == "mail.example.com"
    assert one("Deployment", "service2-consumer", manifests)["spec"]["replicas"] == 2
    rolled_back = prepared.deploy("--only", "rollback", *V1)
    assert rolled_back.code == 0, rolled_back.said
    assert prepared.applied == before
