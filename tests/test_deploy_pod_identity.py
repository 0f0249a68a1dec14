"""deploy.sh with POD_IDENTITY=yes: roles without an OIDC provider, and an association for each service account."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from tests.deploy.stage import Stage, client_options, stack_outputs, stage

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

CLUSTER = "pillarbox-dev"
STEP = ("--only", "infrastructure", "--image-tag", "v1", "--yes")
ACCOUNTS = {
    "pillarbox/service1-api": "ApiRoleArn",
    "pillarbox-consumer/service2-consumer": "ConsumerRoleArn",
    "pillarbox-consumer/file-intake": "FileIntakeRoleArn",
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("pod-identity")
    with stage(folder) as set_stage:
        environments = folder / "environments"
        environments.mkdir()
        (environments / "dev.env").write_text("POD_IDENTITY=yes\n")
        set_stage.aws["ENVIRONMENTS_FOLDER"] = str(environments)
        made = set_stage.deploy(*STEP)
        assert made.code == 0, made.said
        assert "get-open-id-connect-provider" not in "".join(made.calls)
        yield set_stage


def associations(cloud: Stage) -> dict[str, tuple[str, str]]:
    """Return id and role of each association by namespace and service account."""
    eks: Any = boto3.client("eks", **client_options(cloud.aws))  # type: ignore[call-overload]
    found = {}
    for each in eks.list_pod_identity_associations(clusterName=CLUSTER)["associations"]:
        described = eks.describe_pod_identity_association(clusterName=CLUSTER, associationId=each["associationId"])
        found[f"{each['namespace']}/{each['serviceAccount']}"] = (
            each["associationId"],
            described["association"]["roleArn"],
        )
    return found


def test_each_service_account_is_associated_with_its_role(cloud: Stage) -> None:
    outputs = stack_outputs(cloud, CLUSTER)
    roles = {account: role for account, (_, role) in associations(cloud).items()}
    assert roles == {account: outputs[output] for account, output in ACCOUNTS.items()}


def test_a_second_run_changes_no_association(cloud: Stage) -> None:
    before = associations(cloud)
    again = cloud.deploy(*STEP)
    assert again.code == 0, again.said
    assert associations(cloud) == before
    assert [call for call in again.calls if "create-pod" in call or "update-pod" in call] == []


def test_an_association_with_another_role_is_corrected(cloud: Stage) -> None:
    before = associations(cloud)
    api_id, role = before["pillarbox/service1-api"]
    eks: Any = boto3.client("eks", **client_options(cloud.aws))  # type: ignore[call-overload]
    eks.update_pod_identity_association(clusterName=CLUSTER, associationId=api_id, roleArn=f"{role}-other")
    assert cloud.deploy(*STEP).code == 0
    assert associations(cloud) == before


def test_a_list_of_associations_that_cannot_be_read_ends_the_step(cloud: Stage) -> None:
    run = cloud.deploy(*STEP, fail="list-pod-identity-associations")
    assert run.code == 1
    assert "failed at step infrastructure" in run.said
