"""Properties of the templates that the emulator ignores: encryption, lifecycle, deletion, repositories."""

import functools
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.testing.emulator import ROOT
from pillarbox.probe import PROBE_PREFIX

TEMPLATES = sorted((ROOT / "infrastructure").glob("*.yaml"))


class TemplateLoader(yaml.CSafeLoader):
    """Reads CloudFormation's short forms: `!Ref Queue` becomes {"Ref": "Queue"}."""


def _short_form(loader: TemplateLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {suffix: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    raise AssertionError(f"a mapping under !{suffix}")


yaml.add_multi_constructor("!", _short_form, TemplateLoader)


@functools.cache
def resources(template: str) -> dict[str, Any]:
    # A subclass of SafeLoader, which creates only plain values.
    document = yaml.load((ROOT / "infrastructure" / template).read_text(), TemplateLoader)  # noqa: S506
    found: dict[str, Any] = document["Resources"]
    return found


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.name))
def test_a_template_fits_into_a_call_without_a_bucket(template: Path) -> None:
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
    assert template.stat().st_size <= 51_200


@pytest.mark.parametrize("bucket", ["Bucket", "InboxBucket", "PayloadBucket"])
def test_a_bucket_is_encrypted_with_aes256_or_with_the_key_given(bucket: str) -> None:
    encryption = resources("pipeline.yaml")[bucket]["Properties"]["BucketEncryption"]
    (rule,) = encryption["ServerSideEncryptionConfiguration"]
    condition, with_key, without_key = rule["If"]
    assert condition == "EncryptsBucketWithKms"
    assert with_key["ServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "aws:kms",
        "KMSMasterKeyID": {"Ref": "BucketKmsKeyArn"},
    }
    assert without_key == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}


def test_old_records_move_to_intelligent_tiering_and_only_old_versions_expire() -> None:
    rules = resources("pipeline.yaml")["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    (transition,) = [transition for rule in rules for transition in rule.get("Transitions", [])]
    assert transition["StorageClass"] == "INTELLIGENT_TIERING"
    assert [rule["NoncurrentVersionExpiration"] for rule in rules if "NoncurrentVersionExpiration" in rule]
    expired = [rule["Prefix"] for rule in rules if {"ExpirationInDays", "ExpirationDate"} & set(rule)]
    assert expired == [PROBE_PREFIX]


@pytest.mark.parametrize(
    ("template", "kind"),
    [
        ("pipeline.yaml", "AWS::SQS::Queue"),
        ("pipeline.yaml", "AWS::S3::Bucket"),
        ("registry.yaml", "AWS::ECR::Repository"),
    ],
)
def test_what_holds_data_outlives_its_stack(template: str, kind: str) -> None:
    holders = [resource for resource in resources(template).values() if resource["Type"] == kind]
    assert holders
    for resource in holders:
        assert resource["DeletionPolicy"] == "RetainExceptOnCreate"
        assert resource["UpdateReplacePolicy"] == "Retain"


def test_the_repositories_scan_what_is_pushed_and_never_change_a_tag() -> None:
    for resource in resources("registry.yaml").values():
        properties = resource["Properties"]
        assert properties["ImageTagMutability"] == "IMMUTABLE"
        assert properties["ImageScanningConfiguration"] == {"ScanOnPush": True}
