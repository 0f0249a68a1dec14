from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from pillarbox.probe import PROBE_PREFIX
from pillarbox_ops.checks import CHECKS, EVERYWHERE, PROBE_CHECKS, Result, check_all, configured
from pillarbox_ops.commands.check import NAMES
from pillarbox_ops.target import Target

DENIED = "User: arn:aws:iam::1:user/a is not authorized to perform: sqs:GetQueueAttributes"
TARGET = Target(
    queue_url="q", bucket="b", prefix="messages/", inbox_bucket="i", payload_bucket="p", token_parameter="/t"
)


class Clients:
    """AWS that answers each operation as it is told: with a reply, an error code, or an error."""

    def __init__(self, **answers: Any) -> None:
        self.sqs = self.s3 = self.ssm = self.iam = self.sts = self
        self.answers: dict[str, Any] = {
            "get_queue_attributes": {"Attributes": {"QueueArn": "arn:q", "ApproximateNumberOfMessages": "3"}},
            "list_objects_v2": {"Contents": [{"Key": "messages/a"}]},
            "get_object": "NoSuchKey",
            "list_object_versions": {},
            "get_parameter": {"Parameter": {"Value": "hidden\n\nhidden too"}},
            "get_caller_identity": {"Arn": "arn:aws:iam::1:user/a"},
            "simulate_principal_policy": "AccessDenied",
        } | answers
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, operation: str) -> Any:
        def answer(**parameters: Any) -> Any:
            self.calls.append((operation, parameters))
            reply = self.answers[operation]
            if isinstance(reply, Exception):
                raise reply
            if isinstance(reply, str):
                code, _, text = reply.partition("|")
                error: Any = {"Error": {"Code": code, "Message": text}}
                raise ClientError(error, operation)
            return reply

        return answer


def _check(name: str, target: Target = TARGET, **answers: Any) -> list[Result]:
    clients: Any = Clients(**answers)
    return check_all([name], target, clients)


def test_a_queue_that_can_be_reached_leaves_open_what_only_iam_knows() -> None:
    assert _check("queue") == [
        Result("queue", "sqs:GetQueueAttributes", ok=True, detail="3 waiting"),
        Result("queue", "sqs:SendMessage", ok=None, detail="needs iam:SimulatePrincipalPolicy"),
    ]


@pytest.mark.parametrize(("decision", "ok"), [("allowed", True), ("implicitDeny", False)])
def test_the_rights_that_cannot_be_tried_are_asked_of_iam(decision: str, *, ok: bool) -> None:
    answer = {"EvaluationResults": [{"EvalActionName": "sqs:SendMessage", "EvalDecision": decision}]}
    result = _check("queue", simulate_principal_policy=answer)[1]
    assert (result.ok, "sqs:SendMessage is missing" in result.detail) == (ok, not ok)


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (f"AccessDenied|{DENIED}", DENIED),
        ("AccessDenied|Access Denied", "sqs:GetQueueAttributes is missing"),
        ("AWS.SimpleQueueService.NonExistentQueue|secret", "AWS.SimpleQueueService.NonExistentQueue"),
        (EndpointConnectionError(endpoint_url="http://x"), "AWS cannot be called: Could not connect to the endpoint"),
    ],
)
def test_a_refusal_says_what_is_missing(answer: Any, detail: str) -> None:
    result = _check("queue", get_queue_attributes=answer)[0]
    assert result.ok is False
    assert result.detail.startswith(detail)


def test_a_bucket_is_listed_below_its_prefix_and_one_byte_is_read() -> None:
    clients: Any = Clients()
    assert [result.ok for result in check_all(["bucket"], TARGET, clients)] == [True, True]
    assert clients.calls == [
        ("list_objects_v2", {"Bucket": "b", "Prefix": "messages/", "MaxKeys": 1}),
        ("get_object", {"Bucket": "b", "Key": "messages/a", "Range": "bytes=0-0"}),
    ]


def test_an_empty_bucket_shows_the_right_to_read_by_the_answer_for_a_missing_object() -> None:
    assert [result.ok for result in _check("bucket", list_objects_v2={})] == [True, True]
    read = _check("conflicts", list_objects_v2={}, get_object="AccessDenied|")[1]
    assert (read.check, read.ok, read.detail) == ("conflicts", False, "s3:GetObject is missing")


def test_without_the_right_to_list_the_right_to_read_stays_open() -> None:
    assert [result.ok for result in _check("payloads", list_objects_v2="AccessDenied|")] == [False, None]


def test_an_empty_object_can_be_read() -> None:
    assert _check("bucket", get_object="InvalidRange")[1].ok


def test_a_token_is_counted_and_not_shown() -> None:
    assert _check("token") == [Result("token", "ssm:GetParameter", ok=True, detail="2 valid")]


def test_the_text_of_ssm_is_not_shown() -> None:
    assert _check("token", get_parameter="ValidationException|hidden")[0].detail == "ValidationException"


def test_an_inbox_without_files_is_fine() -> None:
    assert _check("inbox") == [Result("inbox", "s3:ListBucketVersions", ok=True, detail="no file yet")]


def test_what_is_not_configured_fails_with_the_name_of_its_variable() -> None:
    (result,) = _check("dlq")
    assert (result.ok, "SQS_DLQ_URL is not set" in result.detail) == (False, True)


def test_what_every_pipeline_has_is_always_checked_and_the_rest_where_it_is_named() -> None:
    assert configured(Target()) == list(EVERYWHERE)
    assert configured(TARGET) == [*EVERYWHERE, "inbox", "payloads", "token"]


def test_nothing_is_changed_by_any_check() -> None:
    clients: Any = Clients()
    check_all([name for name in configured(TARGET) if name != "api"], TARGET, clients)
    assert {operation.partition("_")[0] for operation, _ in clients.calls} == {"get", "list", "simulate"}


def test_the_command_knows_each_check() -> None:
    assert tuple(CHECKS) == NAMES


def test_the_probe_s_checks_need_what_its_role_may_do_and_nothing_else() -> None:
    clients: Any = Clients()
    target = replace(TARGET, dead_letter_queue_url="d")
    results = check_all([name for name in PROBE_CHECKS if name != "api"], target, clients, PROBE_CHECKS)
    # infrastructure/probe.yaml has these rights, with the prefix as a condition.
    assert {result.needs for result in results} == {"sqs:GetQueueAttributes", "s3:ListBucket", "ssm:GetParameter"}
    assert {result.ok for result in results} == {True}
    listed = ("list_objects_v2", {"Bucket": "b", "Prefix": PROBE_PREFIX, "MaxKeys": 1})
    assert listed in clients.calls
    assert sorted({operation for operation, _ in clients.calls}) == [
        "get_parameter",
        "get_queue_attributes",
        "list_objects_v2",
    ]


@pytest.mark.parametrize("found", [{}, {"Contents": [{"Key": "health/probe/a"}]}])
def test_an_archive_with_or_without_e_mails_of_the_probe_is_fine(found: dict[str, Any]) -> None:
    clients: Any = Clients(list_objects_v2=found)
    (result,) = check_all(["probes"], TARGET, clients, PROBE_CHECKS)
    assert (result.check, result.ok) == ("probes", True)
