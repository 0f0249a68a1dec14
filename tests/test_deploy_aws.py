"""Calls of deploy.sh to AWS, except for images: the role, the stacks, and errors that must not be read as "missing"."""

from pathlib import Path

import pytest

from tests.deploy.stage import Stage, cluster_alone

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

ROLE = "arn:aws:iam::000000000000:role/pillarbox-deploy"


@pytest.fixture
def cluster(tmp_path: Path) -> Stage:
    return cluster_alone(tmp_path / "stage")


def with_file(cluster: Stage, text: str) -> Stage:
    folder = cluster.folder / "environments"
    folder.mkdir()
    (folder / "dev.env").write_text(text)
    cluster.aws["ENVIRONMENTS_FOLDER"] = str(folder)
    return cluster


@pytest.mark.parametrize(
    ("step", "fail", "wrongly_said"),
    [
        ("render", "describe-stacks", "there is no stack"),
        ("token", "describe-stacks", "there is no stack"),
        ("infrastructure", "get-open-id-connect-provider", "IAM has no OIDC provider"),
        ("infrastructure", "sts get-caller-identity", "IAM has no OIDC provider"),
    ],
)
def test_an_error_of_aws_does_not_read_as_none(cluster: Stage, step: str, fail: str, wrongly_said: str) -> None:
    run = cluster.deploy("--only", step, "--dry-run", "--image-tag", "v1", fail=fail)
    assert run.code == 1
    assert "made to fail" in run.said
    assert wrongly_said not in run.said


def test_a_stack_that_is_not_there_shows_as_placeholders_in_a_dry_run_and_ends_a_real_one(cluster: Stage) -> None:
    assert "placeholders" in cluster.deploy("--only", "render", "--dry-run", "--image-tag", "v1").said
    run = cluster.deploy("--only", "render", "--image-tag", "v1")
    assert run.code == 1
    assert "there is no stack pillarbox-dev" in run.said


def test_a_web_identity_becomes_the_environment_s_role_and_no_key_stands_in_its_way(cluster: Stage) -> None:
    with_file(cluster, f"DEPLOY_ROLE_ARN={ROLE}\n")
    run = cluster.deploy("--only", "diff", "--assume-role", "--dry-run", AWS_WEB_IDENTITY_TOKEN_FILE="/a/token")
    assert f"identity role={ROLE} key=" in run.calls
    assert run.called("aws --region eu-west-1 sts assume-role") == []


def test_another_identity_assumes_the_environment_s_role_and_its_secret_shows_nowhere(cluster: Stage) -> None:
    with_file(cluster, f"DEPLOY_ROLE_ARN={ROLE}\n")
    run = cluster.deploy("--only", "diff", "--assume-role", "--dry-run")
    (call,) = run.called("aws --region eu-west-1 sts assume-role")
    assert f"--role-arn {ROLE}" in call
    assert "identity role= key=played-key" in run.calls
    assert "played-secret" not in run.said + "".join(run.calls)


def test_without_a_role_there_is_nothing_to_assume(cluster: Stage) -> None:
    run = cluster.deploy("--only", "diff", "--assume-role", "--dry-run")
    assert run.code == 1
    assert "DEPLOY_ROLE_ARN is empty" in run.said


def test_the_stack_gets_the_file_s_parameters_and_the_cost_tags(cluster: Stage) -> None:
    text = """POD_IDENTITY=yes
EKS_CLUSTER=shared
KEDA_OPERATOR_ROLE=create
ALARM_TOPIC_ARN=arn:aws:sns:eu-west-1:000000000000:alarms
TAGS=Team=mail
STACK_MaxReceiveCount=5
"""
    run = with_file(cluster, text).deploy("--only", "infrastructure", "--dry-run", "--parameter", "OldVersionDays=30")
    registry, pipeline = (line for line in run.said.splitlines() if "cloudformation deploy" in line)
    assert registry.endswith("--tags Application=pillarbox")
    assert "--tags Application=pillarbox Environment=dev Team=mail --parameter-overrides" in pipeline
    for parameter in (
        "TokenParameterName=/email-service/dev/api-token",
        "AlarmTopicArn=arn:aws:sns:eu-west-1:000000000000:alarms",
        "KedaOperatorRole=create",
        "PodIdentity=yes",
        "ClusterName=shared",
        "MaxReceiveCount=5",
        "OldVersionDays=30",
    ):
        assert f" {parameter}" in pipeline


def test_the_alarms_are_named_after_the_environment(cluster: Stage) -> None:
    run = with_file(cluster, "API_LOG_GROUP=/mail/api\n").deploy("--only", "alarms", "--dry-run")
    assert "--stack-name pillarbox-dev-alarms --template-file infrastructure/alarms.yaml" in run.said
    assert "EnvironmentName=dev" in run.said
    assert "ApiLogGroupName=/mail/api" in run.said
    assert "Dashboard=no" in run.said
    assert "objectives" not in run.said


def test_the_alarms_of_the_objectives_and_the_dashboard_are_made_on_request(cluster: Stage) -> None:
    text = "OBJECTIVE_ALARMS=yes\nCLOUDWATCH_DASHBOARD=yes\nALARM_TOPIC_ARN=arn:aws:sns:eu-west-1:000000000000:alarms\n"
    run = with_file(cluster, text).deploy("--only", "alarms", "--dry-run")
    alarms, objectives = (line for line in run.said.splitlines() if "--template-file" in line)
    assert " Dashboard=yes" in alarms
    assert "--stack-name pillarbox-dev-objectives --template-file infrastructure/objectives.yaml" in objectives
    assert "EnvironmentName=dev" in objectives
    assert "AlarmTopicArn=arn:aws:sns:eu-west-1:000000000000:alarms" in objectives


def test_production_without_a_topic_is_warned_about(cluster: Stage) -> None:
    https = (
        "CERTIFICATE_ARN=arn:aws:acm:eu-west-1:000000000000:certificate/11111111-2222-3333-4444-555555555555\n"
        "API_HOST_NAME=mail.example.com\n"
    )
    cluster.aws["E2E_PYTHON"] = cluster.environment()["STAND_IN_PYTHON"]
    run = with_file(cluster, f"OVERLAY=prod\n{https}").deploy("--only", "check")
    assert run.code == 0, run.said
    assert "warning: ALARM_TOPIC_ARN is empty" in run.said
