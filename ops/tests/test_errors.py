import re

import pytest
from botocore.exceptions import ClientError

from pillarbox_ops.errors import ExitCode, OpsError, content_refusal, explained, kind_and_place, missing


def test_the_exit_codes_are_those_that_help_names() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "DONE": 0,
        "FAILED": 1,
        "USAGE": 2,
        "NOTHING_MATCHED": 3,
        "DONE_IN_PART": 4,
    }


def test_an_error_fails_unless_it_says_otherwise() -> None:
    assert OpsError("x").exit_code is ExitCode.FAILED


def test_a_missing_setting_is_wrong_usage_and_says_what_to_do() -> None:
    error = missing("API_URL", "the base URL")
    assert error.exit_code is ExitCode.USAGE
    assert str(error) == "API_URL is not set: the base URL. Source .local/stack.env, set it, or use --environment NAME"


def test_errors_of_aws_and_of_this_package_are_explained_and_no_others() -> None:
    refused = ClientError({"Error": {"Code": "QueueDoesNotExist", "Message": "hidden"}}, "SendMessage")
    assert explained(refused) == "AWS refused SendMessage: QueueDoesNotExist"
    assert explained(OpsError("the text")) == "the text"
    assert explained(ZeroDivisionError()) is None


def test_the_kind_and_the_place_of_an_error_do_not_quote_it() -> None:
    with pytest.raises(ValueError, match="hidden") as raised:
        int("hidden")
    assert re.fullmatch(r"ValueError at \S+/test_errors\.py:\d+", kind_and_place(raised.value))
    assert kind_and_place(ValueError("hidden")) == "ValueError at ?"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ClientError({"Error": {"Code": "AWS.X.MissingParameter"}}, "SendMessageBatch"), "AWS.X.MissingParameter"),
        (ClientError({"Error": {"Code": "AccessDenied"}}, "SendMessageBatch"), None),
        (ClientError({}, "SendMessageBatch"), None),
        (ValueError("MissingParameter"), None),
    ],
)
def test_a_refusal_for_the_content_of_a_batch_is_told_from_other_errors(error: Exception, expected: str | None) -> None:
    assert content_refusal(error) == expected
