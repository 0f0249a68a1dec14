"""Objects that are no readable e-mails."""

import pytest

from service2_consumer.intake.special_objects import is_client_side_encrypted, is_ses_setup


@pytest.mark.parametrize("key", ["AMAZON_SES_SETUP_NOTIFICATION", "inbox/AMAZON_SES_SETUP_NOTIFICATION"])
def test_the_object_that_ses_writes_for_a_new_rule_is_recognised(key: str) -> None:
    assert is_ses_setup(key)


@pytest.mark.parametrize(
    "key", ["", "inbox/", "inbox/a.eml", "AMAZON_SES_SETUP_NOTIFICATION/a", "X_AMAZON_SES_SETUP_NOTIFICATION"]
)
def test_other_keys_are_not_the_setup_object(key: str) -> None:
    assert not is_ses_setup(key)


@pytest.mark.parametrize("prefix", ["", "x-amz-meta-", "X-Amz-Meta-"])
@pytest.mark.parametrize(
    "name",
    ["x-amz-key", "x-amz-key-v2", "x-amz-iv", "x-amz-matdesc", "x-amz-cek-alg", "X-Amz-Wrap-Alg", "x-amz-c", "x-amz-3"],
)
def test_the_metadata_of_the_encryption_client_are_recognised(prefix: str, name: str) -> None:
    assert is_client_side_encrypted({"owner": "a", prefix + name: "value"})


@pytest.mark.parametrize(
    "metadata", [{}, {"key": "v"}, {"x-amz-meta-iv": "v"}, {"x-amz-server-side-encryption": "aws:kms"}]
)
def test_other_metadata_are_not(metadata: dict[str, str]) -> None:
    assert not is_client_side_encrypted(metadata)
