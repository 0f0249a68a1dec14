"""Objects in the intake bucket that are no e-mails one can read. Pure: no I/O."""

from collections.abc import Mapping

SES_SETUP_NAME = "AMAZON_SES_SETUP_NOTIFICATION"

# Names of the S3 Encryption Client's metadata, which SES uses when a receipt rule names a KMS key:
# https://docs.aws.amazon.com/ses/latest/dg/receiving-email-action-s3.html. The last two are of format version 3.
_ENCRYPTION_NAMES = {
    *("x-amz-key", "x-amz-key-v2", "x-amz-iv", "x-amz-matdesc", "x-amz-cek-alg", "x-amz-wrap-alg"),
    *("x-amz-c", "x-amz-3"),
}


def is_ses_setup(key: str) -> bool:
    """Return whether a key is that of the object which SES writes when a receipt rule with an S3 action is made."""
    return key.rpartition("/")[2] == SES_SETUP_NAME


def is_client_side_encrypted(metadata: Mapping[str, str]) -> bool:
    """Return whether an object's user metadata, with or without `x-amz-meta-`, says that the writer encrypted it."""
    return any(name.lower().removeprefix("x-amz-meta-") in _ENCRYPTION_NAMES for name in metadata)
