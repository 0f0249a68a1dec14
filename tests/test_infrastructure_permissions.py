"""The complete statements of each policy, so that no further right can be granted unnoticed."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from common.testing.emulator import ACCOUNT_ID, REGION, ROOT, running_emulator
from pillarbox.probe import PROBE_PREFIX
from service2_consumer.intake.files import INBOX_PROBE_KEY
from service2_consumer.s3 import PROBE_KEY
from tests.deploy.cloud import Cloud

STACK = "pillarbox-test"
KEY_ARN = f"arn:aws:kms:{REGION}:{ACCOUNT_ID}:key/11111111-2222-3333-4444-555555555555"
QUEUE_ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{STACK}-emails"
BUCKET_ARN = f"arn:aws:s3:::{STACK}-archive-{ACCOUNT_ID}-{REGION}"
FILES_ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{STACK}-files"
INBOX_ARN = f"arn:aws:s3:::{STACK}-inbox-{ACCOUNT_ID}-{REGION}"
TOKEN_ARN = f"arn:aws:ssm:{REGION}:{ACCOUNT_ID}:parameter/email-service/api-token"

WRITES_THE_ARCHIVE = ("Archive", "ProveAtStart", "TellMissingFromForbidden")


def allow(sid: str, action: str | list[str], resource: str | list[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resource}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running_emulator(tmp_path_factory.mktemp("emulator")) as environment:
        yield Cloud(environment)


@pytest.fixture(scope="module")
def outputs(cloud: Cloud) -> dict[str, str]:
    return cloud.deploy(STACK)


@pytest.fixture(scope="module")
def outputs_with_keys(cloud: Cloud) -> dict[str, str]:
    keys = dict.fromkeys(("BucketKmsKeyArn", "TokenKmsKeyArn", "InboxKmsKeyArn"), KEY_ARN)
    return cloud.deploy("pillarbox-keys", PayloadStore="true", **keys)


@pytest.fixture(scope="module")
def outputs_with_payloads(cloud: Cloud) -> dict[str, str]:
    return cloud.deploy("pillarbox-payloads", PayloadStore="true")


@pytest.fixture(scope="module")
def outputs_with_status(cloud: Cloud) -> dict[str, str]:
    return cloud.deploy("pillarbox-status", StatusRoute="true", ObjectPrefix="sqs-messages/")


def test_the_api_may_publish_and_read_its_token_and_nothing_else(cloud: Cloud, outputs: dict[str, str]) -> None:
    assert cloud.statements(outputs["ApiPolicyArn"]) == {
        # aws.SqsQueue: SendMessage and SendMessageBatch are one permission
        "Publish": allow("Publish", "sqs:SendMessage", QUEUE_ARN),
        # aws.SsmTokenSource: GetParameter; the account's aws/ssm key requires no further permission
        "ReadToken": allow("ReadToken", "ssm:GetParameter", TOKEN_ARN),
    }


def test_the_consumer_may_empty_the_queue_and_write_below_its_prefixes_and_nothing_else(
    cloud: Cloud, outputs: dict[str, str]
) -> None:
    assert cloud.statements(outputs["ConsumerPolicyArn"]) == {
        # sqs: receive, delete in batches, extend and release, and the depth for its metric
        "Consume": allow(
            "Consume",
            ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"],
            QUEUE_ARN,
        ),
        # sqs: the number of dead letters that its metric shows
        "CountDeadLetters": allow("CountDeadLetters", "sqs:GetQueueAttributes", f"{QUEUE_ARN}-dlq"),
        # s3: the write-once PUT, and the HEAD that tells a duplicate from a conflict
        "Archive": allow(
            "Archive", ["s3:PutObject", "s3:GetObject"], [f"{BUCKET_ARN}/messages/*", f"{BUCKET_ARN}/conflicts/*"]
        ),
        # s3: the check at start overwrites the probe, then is refused as a second creation, and may read the probe
        "ProveAtStart": allow("ProveAtStart", ["s3:PutObject", "s3:GetObject"], f"{BUCKET_ARN}/{PROBE_KEY}"),
        # s3: the same for e-mails of the probe, whose key is not below the prefix
        "StoreProbes": allow("StoreProbes", ["s3:PutObject", "s3:GetObject"], f"{BUCKET_ARN}/{PROBE_PREFIX}*"),
        # s3: 404 instead of 403 for that HEAD
        "TellMissingFromForbidden": allow("TellMissingFromForbidden", "s3:ListBucket", BUCKET_ARN),
    }


def test_file_intake_may_empty_its_queue_read_files_and_write_the_archive_and_nothing_else(
    cloud: Cloud, outputs: dict[str, str]
) -> None:
    granted = cloud.statements(outputs["FileIntakePolicyArn"])
    assert granted == {
        # sqs: receive, delete in batches, extend and release, and the depth for its metric
        "ConsumeFiles": allow(
            "ConsumeFiles",
            ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"],
            FILES_ARN,
        ),
        # sqs: the number of dead letters that its metric shows
        "CountDeadFiles": allow("CountDeadFiles", "sqs:GetQueueAttributes", f"{FILES_ARN}-dlq"),
        # GET of an object by key with If-Match, and by the version of the event, which is a separate right
        "ReadFiles": allow("ReadFiles", ["s3:GetObject", "s3:GetObjectVersion"], f"{INBOX_ARN}/inbox/*"),
        # the check at the start, and in an outage: a GET of a key without an object, outside the prefix
        "ProbeInbox": allow("ProbeInbox", "s3:GetObject", f"{INBOX_ARN}/{INBOX_PROBE_KEY}"),
        # 404 instead of 403 for that GET: ON_MISSING_OBJECT applies to a missing object, a 403 is an outage
        "TellMissingFileFromForbidden": allow("TellMissingFileFromForbidden", "s3:ListBucket", INBOX_ARN),
    } | {sid: cloud.statements(outputs["ConsumerPolicyArn"])[sid] for sid in WRITES_THE_ARCHIVE}


@pytest.mark.parametrize("policy", ["ApiPolicyArn", "ConsumerPolicyArn", "FileIntakePolicyArn", "KedaPolicyArn"])
def test_no_service_may_delete_an_object(cloud: Cloud, outputs_with_keys: dict[str, str], policy: str) -> None:
    for statement in cloud.statements(outputs_with_keys[policy]).values():
        actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
        assert not [action for action in actions if "*" in action or action.startswith("s3:Delete")]


def test_the_api_may_only_put_payloads(cloud: Cloud, outputs_with_payloads: dict[str, str]) -> None:
    bucket_arn = f"arn:aws:s3:::{outputs_with_payloads['PayloadBucketName']}"
    granted = cloud.statements(outputs_with_payloads["ApiPolicyArn"])
    assert set(granted) == {"Publish", "ReadToken", "PutPayloads"}
    # the write-once PUT; the key holds the content's digest, so an existing object needs no read
    assert granted["PutPayloads"] == allow("PutPayloads", "s3:PutObject", f"{bucket_arn}/payloads/*")


def test_the_api_may_only_find_what_is_archived_and_look_at_it(
    cloud: Cloud, outputs: dict[str, str], outputs_with_status: dict[str, str]
) -> None:
    bucket_arn = outputs_with_status["BucketArn"]
    granted = cloud.statements(outputs_with_status["ApiPolicyArn"])
    assert set(granted) == {"Publish", "ReadToken", "FindArchived", "LookAtArchived"}
    # aws.S3Archive: LIST of the key below the prefix or that of probes, and of the id below conflicts/
    condition = {"StringLike": {"s3:prefix": ["sqs-messages/*", "conflicts/*", f"{PROBE_PREFIX}*"]}}
    assert granted["FindArchived"] == allow("FindArchived", "s3:ListBucket", bucket_arn) | {"Condition": condition}
    # aws.S3Archive: HEAD of the object that the LIST found, for its digest
    objects = [f"{bucket_arn}/sqs-messages/*", f"{bucket_arn}/{PROBE_PREFIX}*"]
    assert granted["LookAtArchived"] == allow("LookAtArchived", "s3:GetObject", objects)
    assert outputs_with_status["StatusBucketName"] == outputs_with_status["BucketName"]
    assert "StatusBucketName" not in outputs


def test_the_consumer_may_only_get_payloads(cloud: Cloud, outputs_with_payloads: dict[str, str]) -> None:
    bucket_arn = f"arn:aws:s3:::{outputs_with_payloads['PayloadBucketName']}"
    granted = cloud.statements(outputs_with_payloads["ConsumerPolicyArn"])
    added = {"ReadPayloads", "TellMissingPayloadFromForbidden"}
    assert set(granted) == {"Consume", "CountDeadLetters", "StoreProbes", *WRITES_THE_ARCHIVE} | added
    # GET of the object that a pointer names
    assert granted["ReadPayloads"] == allow("ReadPayloads", "s3:GetObject", f"{bucket_arn}/payloads/*")
    # 404 instead of 403 for that GET: a missing payload is poison, a 403 is an outage
    missing = allow("TellMissingPayloadFromForbidden", "s3:ListBucket", bucket_arn)
    assert granted["TellMissingPayloadFromForbidden"] == missing


def test_keda_may_read_the_length_of_the_queues_and_nothing_else(cloud: Cloud, outputs: dict[str, str]) -> None:
    assert cloud.statements(outputs["KedaPolicyArn"]) == {
        "ReadQueueLength": allow("ReadQueueLength", "sqs:GetQueueAttributes", [QUEUE_ARN, FILES_ARN])
    }


def test_the_verifier_may_read_the_token_and_its_object_and_remove_it_and_nothing_else(
    cloud: Cloud, outputs: dict[str, str]
) -> None:
    assert cloud.statements(outputs["VerifierPolicyArn"]) == {
        # deploy.sh: read_token
        "ReadToken": allow("ReadToken", "ssm:GetParameter", TOKEN_ARN),
        # e2e_archive: list_objects_v2 in find, list_object_versions in delete
        "FindObject": allow("FindObject", ["s3:ListBucket", "s3:ListBucketVersions"], BUCKET_ARN),
        # e2e_archive: get_object, and delete_object with a version id
        "ReadAndRemoveObject": allow(
            "ReadAndRemoveObject", ["s3:GetObject", "s3:DeleteObjectVersion"], f"{BUCKET_ARN}/messages/*"
        ),
    }


def test_the_consumer_may_write_below_a_second_prefix_while_the_prefix_changes(cloud: Cloud) -> None:
    outputs = cloud.deploy("pillarbox-prefixes", ObjectPrefix="sqs-messages/", SecondObjectPrefix="messages/")
    bucket = outputs["BucketArn"]
    for policy in ("ConsumerPolicyArn", "FileIntakePolicyArn"):
        resources = cloud.statements(outputs[policy])["Archive"]["Resource"]
        assert resources == [f"{bucket}/sqs-messages/*", f"{bucket}/messages/*", f"{bucket}/conflicts/*"]


@pytest.mark.parametrize(
    ("policy", "service", "statement"),
    [
        ("ApiPolicyArn", "ssm", allow("DecryptToken", "kms:Decrypt", KEY_ARN)),
        ("ConsumerPolicyArn", "s3", allow("EncryptArchive", ["kms:GenerateDataKey", "kms:Decrypt"], KEY_ARN)),
        ("FileIntakePolicyArn", "s3", allow("EncryptArchive", ["kms:GenerateDataKey", "kms:Decrypt"], KEY_ARN)),
        ("FileIntakePolicyArn", "s3", allow("DecryptFiles", "kms:Decrypt", KEY_ARN)),
        ("ApiPolicyArn", "s3", allow("EncryptPayloads", "kms:GenerateDataKey", KEY_ARN)),
        ("VerifierPolicyArn", "ssm", allow("DecryptToken", "kms:Decrypt", KEY_ARN)),
        ("VerifierPolicyArn", "s3", allow("DecryptObject", "kms:Decrypt", KEY_ARN)),
    ],
    ids=["api", "consumer", "files-archive", "files-inbox", "api-payloads", "verifier-token", "verifier-object"],
)
def test_a_key_may_be_used_only_through_its_service(
    cloud: Cloud, outputs_with_keys: dict[str, str], policy: str, service: str, statement: dict[str, Any]
) -> None:
    condition = {"StringEquals": {"kms:ViaService": f"{service}.{REGION}.amazonaws.com"}}
    granted = cloud.statements(outputs_with_keys[policy])
    assert granted[statement["Sid"]] == statement | {"Condition": condition}


def test_the_service_that_uses_a_key_has_the_domain_of_its_partition() -> None:
    # In China the domain is amazonaws.com.cn, and a condition on amazonaws.com is never met.
    template = (ROOT / "infrastructure/pipeline.yaml").read_text()
    services = re.findall(r'"kms:ViaService": !Sub "([^"]+)"', template)
    assert len(services) == 7
    assert {service.partition(".")[2] for service in services} == {"${AWS::Region}.${AWS::URLSuffix}"}
