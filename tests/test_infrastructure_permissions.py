"""What each role may do: every statement in full, so that nothing can be granted that is not here."""

from collections.abc import Iterator
from typing import Any

import pytest

from service2_consumer.s3 import PROBE_KEY
from tests.deploy.cloud import Cloud
from tests.deploy.emulator import ACCOUNT_ID, REGION, running_emulator

STACK = "pillarbox-test"
PROVIDER = "oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE"
PROVIDER_ARN = f"arn:aws:iam::{ACCOUNT_ID}:oidc-provider/{PROVIDER}"
KEY_ARN = f"arn:aws:kms:{REGION}:{ACCOUNT_ID}:key/11111111-2222-3333-4444-555555555555"
QUEUE_ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{STACK}-emails"
BUCKET_ARN = f"arn:aws:s3:::{STACK}-archive-{ACCOUNT_ID}-{REGION}"
TOKEN_ARN = f"arn:aws:ssm:{REGION}:{ACCOUNT_ID}:parameter/email-service/api-token"


def allow(sid: str, action: str | list[str], resource: str | list[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resource}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running_emulator(tmp_path_factory.mktemp("emulator")) as environment:
        yield Cloud(environment)


@pytest.fixture(scope="module")
def outputs(cloud: Cloud) -> dict[str, str]:
    return cloud.deploy(STACK, OidcProviderArn=PROVIDER_ARN)


@pytest.fixture(scope="module")
def outputs_with_keys(cloud: Cloud) -> dict[str, str]:
    return cloud.deploy("pillarbox-keys", BucketKmsKeyArn=KEY_ARN, TokenKmsKeyArn=KEY_ARN)


def test_the_api_may_publish_and_read_its_token_and_nothing_else(cloud: Cloud, outputs: dict[str, str]) -> None:
    assert cloud.statements(outputs["ApiPolicyArn"]) == {
        # publisher: SendMessage and SendMessageBatch are one permission
        "Publish": allow("Publish", "sqs:SendMessage", QUEUE_ARN),
        # auth: GetParameter; the account's own aws/ssm key asks for no further permission
        "ReadToken": allow("ReadToken", "ssm:GetParameter", TOKEN_ARN),
    }


def test_the_consumer_may_empty_the_queue_and_write_below_its_prefixes_and_nothing_else(
    cloud: Cloud, outputs: dict[str, str]
) -> None:
    assert cloud.statements(outputs["ConsumerPolicyArn"]) == {
        # sqs: receive, delete in batches, extend and release, the depth that its metric shows
        "Consume": allow(
            "Consume",
            ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"],
            QUEUE_ARN,
        ),
        # s3: the write-once PUT, and the HEAD that tells a duplicate from a conflict
        "Archive": allow(
            "Archive", ["s3:PutObject", "s3:GetObject"], [f"{BUCKET_ARN}/messages/*", f"{BUCKET_ARN}/conflicts/*"]
        ),
        # s3: the start write
        "ProveAtStart": allow("ProveAtStart", "s3:PutObject", f"{BUCKET_ARN}/{PROBE_KEY}"),
        # s3: 404 rather than 403 to that HEAD
        "TellMissingFromForbidden": allow("TellMissingFromForbidden", "s3:ListBucket", BUCKET_ARN),
    }


def test_keda_may_read_the_length_of_the_queue_and_nothing_else(cloud: Cloud, outputs: dict[str, str]) -> None:
    assert cloud.statements(outputs["KedaPolicyArn"]) == {
        "ReadQueueLength": allow("ReadQueueLength", "sqs:GetQueueAttributes", QUEUE_ARN)
    }


@pytest.mark.parametrize(
    ("policy", "service", "statement"),
    [
        ("ApiPolicyArn", "ssm", allow("DecryptToken", "kms:Decrypt", KEY_ARN)),
        ("ConsumerPolicyArn", "s3", allow("EncryptArchive", ["kms:GenerateDataKey", "kms:Decrypt"], KEY_ARN)),
    ],
    ids=["api", "consumer"],
)
def test_a_key_may_be_used_only_through_its_service(
    cloud: Cloud, outputs_with_keys: dict[str, str], policy: str, service: str, statement: dict[str, Any]
) -> None:
    condition = {"StringEquals": {"kms:ViaService": f"{service}.{REGION}.amazonaws.com"}}
    granted = cloud.statements(outputs_with_keys[policy])
    assert granted[statement["Sid"]] == statement | {"Condition": condition}


@pytest.mark.parametrize(
    ("output", "account"), [("ApiRoleArn", "service1-api"), ("ConsumerRoleArn", "service2-consumer")]
)
def test_a_role_is_for_one_service_account_of_the_cluster(
    cloud: Cloud, outputs: dict[str, str], output: str, account: str
) -> None:
    (statement,) = cloud.trust(outputs[output])
    assert statement["Principal"] == {"Federated": PROVIDER_ARN}
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert statement["Condition"]["StringEquals"] == {
        f"{PROVIDER}:aud": "sts.amazonaws.com",
        f"{PROVIDER}:sub": f"system:serviceaccount:pillarbox:{account}",
    }


@pytest.mark.parametrize("output", ["ApiRoleArn", "ConsumerRoleArn"])
def test_without_an_oidc_provider_there_are_no_roles(outputs_with_keys: dict[str, str], output: str) -> None:
    assert output not in outputs_with_keys
