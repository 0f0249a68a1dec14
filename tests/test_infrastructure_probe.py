"""The stack of the probe: what its role may do, who gets it, and what it takes of the environment's stack."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from common.testing.emulator import ACCOUNT_ID, REGION, running_emulator
from pillarbox.probe import PROBE_PREFIX
from tests.deploy.cloud import Cloud
from tests.test_infrastructure_permissions import KEY_ARN, TOKEN_ARN, allow
from tests.test_infrastructure_trust import PROVIDER, SECOND_PROVIDER, arn, by_irsa, by_pod_identity

STACK = "pillarbox-watched"
SUBJECT = "system:serviceaccount:pillarbox:probe"
POD = ("pillarbox", "probe")
TAKEN = ("QueueArn", "DeadLetterQueueArn", "BucketArn", "TokenParameterName")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running_emulator(tmp_path_factory.mktemp("emulator")) as environment:
        yield Cloud(environment)


@pytest.fixture(scope="module")
def pipeline(cloud: Cloud) -> dict[str, str]:
    """What deploy.sh hands over of the environment's stack."""
    outputs = cloud.deploy(STACK)
    return {name: outputs[name] for name in TAKEN}


@pytest.fixture(scope="module")
def irsa(cloud: Cloud, pipeline: dict[str, str]) -> dict[str, str]:
    return cloud.deploy(f"{STACK}-probe", "probe.yaml", OidcProviderArn=arn(PROVIDER), **pipeline)


def granted(cloud: Cloud, outputs: dict[str, str]) -> dict[str, Any]:
    return cloud.statements(outputs["ProbePolicyArn"])


def test_the_probe_may_read_the_token_and_look_and_nothing_else(cloud: Cloud, irsa: dict[str, str]) -> None:
    queue = f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{STACK}-emails"
    bucket = f"arn:aws:s3:::{STACK}-archive-{ACCOUNT_ID}-{REGION}"
    assert granted(cloud, irsa) == {
        # GetParameter, for the token of the e-mail that it sends and of the status that it asks for
        "ReadToken": allow("ReadToken", "ssm:GetParameter", TOKEN_ARN),
        # GetQueueAttributes of both queues: do they exist, and may they be asked?
        "LookAtQueues": allow("LookAtQueues", "sqs:GetQueueAttributes", [queue, f"{queue}-dlq"]),
        # ListObjectsV2 below the prefix of its own e-mails
        "ListProbes": allow("ListProbes", "s3:ListBucket", bucket)
        | {"Condition": {"StringLike": {"s3:prefix": f"{PROBE_PREFIX}*"}}},
    }


def test_it_decrypts_the_token_with_a_key_of_the_account_through_ssm_alone(
    cloud: Cloud, pipeline: dict[str, str]
) -> None:
    outputs = cloud.deploy("keys-probe", "probe.yaml", PodIdentity="yes", TokenKmsKeyArn=KEY_ARN, **pipeline)
    condition = {"StringEquals": {"kms:ViaService": f"ssm.{REGION}.amazonaws.com"}}
    statement = allow("DecryptToken", "kms:Decrypt", KEY_ARN) | {"Condition": condition}
    assert granted(cloud, outputs)["DecryptToken"] == statement


def test_the_role_has_the_policy_and_by_irsa_is_for_the_probe_s_service_account(
    cloud: Cloud, irsa: dict[str, str]
) -> None:
    role = irsa["ProbeRoleArn"].rpartition("/")[2]
    attached = cloud.client("iam").list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    assert [policy["PolicyArn"] for policy in attached] == [irsa["ProbePolicyArn"]]
    assert cloud.trust(irsa["ProbeRoleArn"]) == [by_irsa(PROVIDER, SUBJECT)]


def test_two_clusters_get_the_role_by_both_ways_during_a_move(cloud: Cloud, pipeline: dict[str, str]) -> None:
    clusters = {"ClusterName": "blue", "SecondClusterName": "green"}
    providers = {"OidcProviderArn": arn(PROVIDER), "SecondOidcProviderArn": arn(SECOND_PROVIDER)}
    outputs = cloud.deploy("move-probe", "probe.yaml", PodIdentity="yes", **clusters, **providers, **pipeline)
    assert cloud.trust(outputs["ProbeRoleArn"]) == [
        by_irsa(PROVIDER, SUBJECT),
        by_irsa(SECOND_PROVIDER, SUBJECT),
        by_pod_identity(*POD, name=["blue", "green"]),
    ]


@pytest.mark.parametrize(("given", "name"), [({"ClusterName": "blue"}, {"name": "blue"}), ({}, {})])
def test_by_pod_identity_the_role_is_for_the_pods_of_the_cluster_that_is_named(
    cloud: Cloud, pipeline: dict[str, str], given: dict[str, str], name: dict[str, str]
) -> None:
    outputs = cloud.deploy(f"pods-probe-{len(given)}", "probe.yaml", PodIdentity="yes", **given, **pipeline)
    assert cloud.trust(outputs["ProbeRoleArn"]) == [by_pod_identity(*POD, **name)]


def test_a_role_that_nobody_could_assume_is_refused(cloud: Cloud, pipeline: dict[str, str]) -> None:
    with pytest.raises(ClientError, match="needs an OIDC provider or PodIdentity=yes"):
        cloud.deploy("nobody-probe", "probe.yaml", **pipeline)


@pytest.mark.parametrize("missing", TAKEN)
def test_each_output_of_the_environment_s_stack_is_needed(cloud: Cloud, pipeline: dict[str, str], missing: str) -> None:
    given = {name: value for name, value in pipeline.items() if name != missing}
    with pytest.raises(ClientError, match=missing):
        cloud.deploy("missing-probe", "probe.yaml", PodIdentity="yes", **given)
