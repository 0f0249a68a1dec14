"""Whether an identity reaches and may use what a pipeline is made of. Nothing is changed, and no receive is spent.

Rights to send, receive and delete cannot be tried without doing it. IAM is asked for them, where the identity may ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import urllib3
from botocore.exceptions import BotoCoreError, ClientError

from pillarbox.probe import PROBE_PREFIX
from pillarbox_ops import tokens
from pillarbox_ops.errors import OpsError
from pillarbox_ops.rights import allowed

if TYPE_CHECKING:
    from pillarbox_ops.aws import Clients
    from pillarbox_ops.target import Target

CONFLICTS = "conflicts/"
_PAYLOADS = "payloads/"
_HTTP = urllib3.Timeout(connect=3, read=5)
_DENIED = ("AccessDenied", "AuthorizationError", "Forbidden", "403")
_THREADS = 8


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one question: `ok` is None if it could not be asked; `needs` is the permission or the address."""

    check: str
    needs: str
    ok: bool | None
    detail: str


Check = Callable[[str, "Target", "Clients"], Iterator[Result]]


def check_all(
    names: Sequence[str], target: Target, clients: Clients, checks: Mapping[str, tuple[str, Check]] | None = None
) -> list[Result]:
    """Return the results of checks, in the order of their names; they run at the same time. Default: of CHECKS."""
    for service in ("sqs", "s3", "ssm", "iam", "sts"):
        getattr(clients, service)  # boto3 creates clients in one thread only
    known = CHECKS if checks is None else checks
    with ThreadPoolExecutor(_THREADS) as pool:
        results = pool.map(lambda name: _run(name, *known[name], target, clients), names)
        return [result for found in results for result in found]


def configured(target: Target) -> list[str]:
    """Return the names of the checks that suit a target: what every pipeline has, and what the target names besides."""
    return [name for name, (variable, _) in CHECKS.items() if name in EVERYWHERE or getattr(target, variable)]


def _run(name: str, variable: str, check: Check, target: Target, clients: Clients) -> list[Result]:
    try:
        return list(check(target.need(variable), target, clients))
    except OpsError as exc:
        return [Result(name, variable, ok=False, detail=str(exc))]


def _queue(url: str, target: Target, clients: Clients, *, check: str, actions: Sequence[str]) -> Iterator[Result]:  # noqa: ARG001  one signature for all
    arns: list[str] = []

    def look() -> str:
        attributes = clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        arns.append(attributes["QueueArn"])
        return f"{attributes['ApproximateNumberOfMessages']} waiting"

    yield _ask(check, "sqs:GetQueueAttributes", look)
    rights = allowed(clients, actions, arns[0]) if arns and actions else dict.fromkeys(actions)
    for action in actions:
        yield _right(check, action, rights[action])


def _archive(bucket: str, target: Target, clients: Clients) -> Iterator[Result]:
    return _bucket(bucket, target.prefix, clients, "bucket")


def _bucket(bucket: str, prefix: str, clients: Clients, check: str) -> Iterator[Result]:
    """Check that objects below a prefix can be listed and read; the first one is read for one byte."""
    keys: list[str] = []

    def look() -> str:
        found = clients.s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1).get("Contents", [])
        keys.extend(entry["Key"] for entry in found)
        return f"below {prefix or 'the root'}: {'objects' if keys else 'no object yet'}"

    listed = _ask(check, "s3:ListBucket", look)
    yield listed
    if not listed.ok:
        # S3 answers 403 for what is missing, too, to those who may not list.
        yield Result(check, "s3:GetObject", ok=None, detail="the name of an object is needed")
        return
    yield _ask(check, "s3:GetObject", lambda: _read(clients, bucket, keys[0] if keys else f"{prefix}none"))


def _read(clients: Clients, bucket: str, key: str) -> str:
    try:
        clients.s3.get_object(Bucket=bucket, Key=key, Range="bytes=0-0")["Body"].close()
    except ClientError as exc:
        if exc.response["Error"]["Code"] not in ("NoSuchKey", "InvalidRange"):
            raise
    return "can be read"


def _probes(bucket: str, target: Target, clients: Clients) -> Iterator[Result]:  # noqa: ARG001
    def look() -> str:
        found = clients.s3.list_objects_v2(Bucket=bucket, Prefix=PROBE_PREFIX, MaxKeys=1).get("Contents")
        return "e-mails of the probe" if found else "no e-mail of the probe yet"

    yield _ask("probes", "s3:ListBucket", look)


def _inbox(bucket: str, target: Target, clients: Clients) -> Iterator[Result]:  # noqa: ARG001
    yield _ask("inbox", "s3:ListBucketVersions", lambda: _versions(clients, bucket))


def _versions(clients: Clients, bucket: str) -> str:
    found = clients.s3.list_object_versions(Bucket=bucket, MaxKeys=1).get("Versions")
    return "files" if found else "no file yet"


def _token(name: str, target: Target, clients: Clients) -> Iterator[Result]:  # noqa: ARG001
    def look() -> str:
        found = clients.ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]
        return f"{len(tokens.tokens_in(found['Value']))} valid"

    yield _ask("token", "ssm:GetParameter", look)


def _api(url: str, target: Target, clients: Clients) -> Iterator[Result]:  # noqa: ARG001
    for path in ("/health", "/ready"):
        address = f"{url.rstrip('/')}{path}"
        try:
            with urllib3.PoolManager(retries=False, timeout=_HTTP) as pool:
                status = pool.request("GET", address, redirect=False).status
        except urllib3.exceptions.HTTPError as exc:
            yield Result("api", address, ok=False, detail=f"does not answer: {type(exc).__name__}")
        else:
            if (path, status) == ("/ready", 404):
                yield Result("api", address, ok=None, detail="an ingress does not route it")
            else:
                yield Result("api", address, ok=status == 200, detail=f"answers {status}")


def _right(check: str, action: str, answer: bool | None) -> Result:
    if answer is None:
        detail = "needs iam:SimulatePrincipalPolicy"
    else:
        detail = "by the policies of this identity" if answer else f"{action} is missing"
    return Result(check, action, answer, detail)


def _ask(check: str, needs: str, call: Callable[[], str]) -> Result:
    try:
        return Result(check, needs, ok=True, detail=call())
    except ClientError as exc:
        return Result(check, needs, ok=False, detail=_refusal(exc, needs))
    except BotoCoreError as exc:
        return Result(check, needs, ok=False, detail=f"AWS cannot be called: {exc}")


def _refusal(exc: ClientError, needs: str) -> str:
    error = exc.response["Error"]
    code, text = error.get("Code", ""), error.get("Message", "")
    if not any(word in code for word in _DENIED):
        return code
    return text if "not authorized" in text else f"{needs} is missing"


_SENDS = ("sqs:SendMessage",)
_TAKES = ("sqs:ReceiveMessage", "sqs:ChangeMessageVisibility", "sqs:DeleteMessage")
EVERYWHERE = ("queue", "dlq", "bucket", "conflicts")
# The name of a check: the field of Target that it needs, and what asks.
CHECKS: dict[str, tuple[str, Check]] = {
    "queue": ("queue_url", partial(_queue, check="queue", actions=_SENDS)),
    "dlq": ("dead_letter_queue_url", partial(_queue, check="dlq", actions=_TAKES)),
    "bucket": ("bucket", _archive),
    "conflicts": ("bucket", lambda bucket, _target, clients: _bucket(bucket, CONFLICTS, clients, "conflicts")),
    "files-queue": ("files_queue_url", partial(_queue, check="files-queue", actions=_SENDS)),
    "files-dlq": ("files_dead_letter_queue_url", partial(_queue, check="files-dlq", actions=_TAKES)),
    "inbox": ("inbox_bucket", _inbox),
    "payloads": ("payload_bucket", lambda bucket, _target, clients: _bucket(bucket, _PAYLOADS, clients, "payloads")),
    "token": ("token_parameter", _token),
    "api": ("api_url", _api),
}
# Those of `pillarbox probe`. Its role may look, and has no right to send, to receive or to read the archive.
PROBE_CHECKS: dict[str, tuple[str, Check]] = {
    "queue": ("queue_url", partial(_queue, check="queue", actions=())),
    "dlq": ("dead_letter_queue_url", partial(_queue, check="dlq", actions=())),
    "probes": ("bucket", _probes),
    "token": CHECKS["token"],
    "api": CHECKS["api"],
}
