"""Who may assume the roles: service accounts of one or two clusters, by IRSA, EKS Pod Identity, or both."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from common.testing.emulator import ACCOUNT_ID, running_emulator
from tests.deploy.cloud import Cloud

PROVIDER = "oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE"
SECOND_PROVIDER = "oidc.eks.eu-west-1.amazonaws.com/id/SECOND"
# The consumer's former namespace is trusted for releases that still run there.
SUBJECTS: dict[str, str | list[str]] = {
    "ApiRoleArn": "system:serviceaccount:pillarbox:service1-api",
    "ConsumerRoleArn": [
        "system:serviceaccount:pillarbox-consumer:service2-consumer",
        "system:serviceaccount:pillarbox:service2-consumer",
    ],
    "FileIntakeRoleArn": "system:serviceaccount:pillarbox-consumer:file-intake",
    "KedaOperatorRoleArn": "system:serviceaccount:keda:keda-operator",
}
PODS = {
    "ApiRoleArn": ("pillarbox", "service1-api"),
    "ConsumerRoleArn": ("pillarbox-consumer", "service2-consumer"),
    "FileIntakeRoleArn": ("pillarbox-consumer", "file-intake"),
    "KedaOperatorRoleArn": ("keda", "keda-operator"),
}


def arn(provider: str) -> str:
    return f"arn:aws:iam::{ACCOUNT_ID}:oidc-provider/{provider}"


def by_irsa(provider: str, subject: str | list[str]) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Principal": {"Federated": arn(provider)},
        "Condition": {"StringEquals": {f"{provider}:aud": "sts.amazonaws.com", f"{provider}:sub": subject}},
    }


def by_pod_identity(namespace: str, account: str, **of_cluster: str | list[str]) -> dict[str, Any]:
    conditions = {
        "aws:SourceAccount": ACCOUNT_ID,
        "aws:RequestTag/kubernetes-namespace": namespace,
        "aws:RequestTag/kubernetes-service-account": account,
    } | {f"aws:RequestTag/eks-cluster-{name}": value for name, value in of_cluster.items()}
    return {
        "Effect": "Allow",
        "Action": ["sts:AssumeRole", "sts:TagSession"],
        "Principal": {"Service": "pods.eks.amazonaws.com"},
        "Condition": {"StringEquals": conditions},
    }


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running_emulator(tmp_path_factory.mktemp("emulator")) as environment:
        yield Cloud(environment)


@pytest.fixture(scope="module")
def irsa(cloud: Cloud) -> dict[str, str]:
    return cloud.deploy("pillarbox-irsa", OidcProviderArn=arn(PROVIDER), KedaOperatorRole="create")


@pytest.fixture(scope="module")
def pod_identity(cloud: Cloud) -> dict[str, str]:
    return cloud.deploy("pillarbox-pods", PodIdentity="yes", ClusterName="blue", KedaOperatorRole="create")


@pytest.mark.parametrize("output", SUBJECTS)
def test_by_irsa_a_role_is_for_its_service_account(cloud: Cloud, irsa: dict[str, str], output: str) -> None:
    assert cloud.trust(irsa[output]) == [by_irsa(PROVIDER, SUBJECTS[output])]


@pytest.mark.parametrize("output", PODS)
def test_by_pod_identity_a_role_is_for_its_pods_of_the_one_cluster(
    cloud: Cloud, pod_identity: dict[str, str], output: str
) -> None:
    assert cloud.trust(pod_identity[output]) == [by_pod_identity(*PODS[output], name="blue")]


def test_pod_identity_needs_neither_a_provider_nor_a_cluster_s_name(cloud: Cloud) -> None:
    outputs = cloud.deploy("pillarbox-any", PodIdentity="yes")
    assert cloud.trust(outputs["ApiRoleArn"]) == [by_pod_identity(*PODS["ApiRoleArn"])]
    assert outputs["PodIdentity"] == "yes"


def test_two_clusters_get_the_roles_by_both_ways_during_a_move(cloud: Cloud) -> None:
    outputs = cloud.deploy(
        "pillarbox-move",
        OidcProviderArn=arn(PROVIDER),
        SecondOidcProviderArn=arn(SECOND_PROVIDER),
        PodIdentity="yes",
        ClusterName="blue",
        SecondClusterName="green",
    )
    for output in ("ApiRoleArn", "ConsumerRoleArn", "FileIntakeRoleArn"):
        assert cloud.trust(outputs[output]) == [
            by_irsa(PROVIDER, SUBJECTS[output]),
            by_irsa(SECOND_PROVIDER, SUBJECTS[output]),
            by_pod_identity(*PODS[output], name=["blue", "green"]),
        ]


def test_the_second_provider_alone_is_enough(cloud: Cloud) -> None:
    outputs = cloud.deploy("pillarbox-second", SecondOidcProviderArn=arn(SECOND_PROVIDER))
    assert cloud.trust(outputs["ApiRoleArn"]) == [by_irsa(SECOND_PROVIDER, SUBJECTS["ApiRoleArn"])]


def test_without_an_identity_there_are_policies_and_no_roles(cloud: Cloud) -> None:
    outputs = cloud.deploy("pillarbox-bare")
    assert not set(SUBJECTS) & set(outputs)
    policies = {"ApiPolicyArn", "ConsumerPolicyArn", "FileIntakePolicyArn", "KedaPolicyArn", "VerifierPolicyArn"}
    assert policies <= set(outputs)


# ---- KEDA's operator -------------------------------------------------------------------------------------------------


def attached(cloud: Cloud, role: str) -> list[str]:
    policies = cloud.client("iam").list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    return [policy["PolicyArn"] for policy in policies]


def test_the_created_role_of_keda_may_read_the_queue(cloud: Cloud, irsa: dict[str, str]) -> None:
    assert attached(cloud, irsa["KedaOperatorRoleArn"].rpartition("/")[2]) == [irsa["KedaPolicyArn"]]


@pytest.mark.parametrize("parameter", ["KedaOperatorRole", "KedaOperatorRoleName"])
def test_a_role_that_keda_has_already_gets_the_policy(cloud: Cloud, parameter: str) -> None:
    role = f"existing-{parameter}"
    cloud.client("iam").create_role(RoleName=role, AssumeRolePolicyDocument="{}")
    given = {parameter: role}
    outputs = cloud.deploy(f"pillarbox-{parameter}", "pipeline.yaml", **given)
    assert attached(cloud, role) == [outputs["KedaPolicyArn"]]
    assert "KedaOperatorRoleArn" not in outputs


def test_a_role_of_keda_that_nobody_could_assume_is_refused(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="needs an OIDC provider or PodIdentity=yes"):
        cloud.deploy("pillarbox-nobody", KedaOperatorRole="create")
