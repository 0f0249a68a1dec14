"""Failed transfers: whether S3 or the object is at fault. Pure: no I/O."""

from dataclasses import dataclass

from service2_consumer.model import Transfer
from service2_consumer.ports import StoreError

# These causes affect all objects. They never count against one.
_NEVER_OWN_FAULT = frozenset({"throttled", "credentials", "no_such_bucket"})
# These count against an object only if another object was transferred meanwhile. The probe is small and has its own
# key: it can succeed while a policy denies all other keys, or while the network drops all longer requests.
_OWN_FAULT_IF_OTHERS_SUCCEEDED = frozenset({"access_denied", "timeout", "connection"})


@dataclass(frozen=True, slots=True)
class Failure:
    """A transfer that failed in one attempt; `error` is None if the attempt was abandoned."""

    transfer: Transfer
    error: StoreError | None


def own_fault(failure: Failure, *, others_succeeded: bool) -> bool:
    """Return whether an object fails through its own fault, given that S3 works."""
    if failure.error is None or failure.error.cause in _NEVER_OWN_FAULT:
        return False
    return others_succeeded or failure.error.cause not in _OWN_FAULT_IF_OTHERS_SUCCEEDED
