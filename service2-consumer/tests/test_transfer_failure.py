"""Whether a failed transfer is due to its object, given that S3 works."""

import pytest

from service2_consumer.model import Upload
from service2_consumer.ports import StoreError
from service2_consumer.transfer_failure import Failure, own_fault

UPLOAD = Upload("key", b"", "", "", "")


@pytest.mark.parametrize("cause", ["throttled", "credentials", "no_such_bucket"])
@pytest.mark.parametrize("others_succeeded", [False, True])
def test_what_affects_all_objects_is_never_the_fault_of_one(cause: str, others_succeeded: bool) -> None:
    assert not own_fault(Failure(UPLOAD, StoreError(cause)), others_succeeded=others_succeeded)


@pytest.mark.parametrize("cause", ["access_denied", "timeout", "connection"])
def test_what_a_probe_does_not_show_counts_only_if_others_succeeded(cause: str) -> None:
    failure = Failure(UPLOAD, StoreError(cause))
    assert (own_fault(failure, others_succeeded=False), own_fault(failure, others_succeeded=True)) == (False, True)


@pytest.mark.parametrize("others_succeeded", [False, True])
def test_any_other_error_is_the_object_s_own_fault(others_succeeded: bool) -> None:
    assert own_fault(Failure(UPLOAD, StoreError("server_error")), others_succeeded=others_succeeded)


def test_an_abandoned_transfer_is_nobody_s_fault() -> None:
    assert not own_fault(Failure(UPLOAD, None), others_succeeded=True)
