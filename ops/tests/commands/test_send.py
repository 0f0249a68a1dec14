import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pillarbox_ops.errors import ExitCode

from ..emails import example
from ..fake_http import FakeServer, Reply, Request, serving
from ..pipelines import Pipeline, Ran

Run = Callable[..., Ran]
OK: Reply = (200, b"{}", {})
REFUSED: Reply = (401, b'{"code": "unauthorized"}', {})


@pytest.fixture
def api() -> Iterator[FakeServer]:
    with serving() as server:
        server.replies = [OK]
        yield server


def _data(request: Request) -> dict[str, str]:
    data: dict[str, str] = json.loads(request.body)["data"]
    return data


def test_a_test_email_is_sent_and_its_id_printed(run: Run, api: FakeServer) -> None:
    ran = run("send", "--sender", "me", API_URL=api.url, API_TOKEN="a-token")
    (row,) = ran.rows
    assert ran.code == ExitCode.DONE
    assert row["status"] == "accepted"
    assert row["message_id"] == api.requests[0].headers["Idempotency-Key"]
    assert _data(api.requests[0])["email_sender"] == "me"
    assert "a-token" not in ran.out + ran.err


def test_several_are_sent_each_with_an_id_of_its_own(run: Run, api: FakeServer) -> None:
    ran = run("send", "--count", "5", "--rate", "1000", API_URL=api.url, API_TOKEN="a-token")
    assert len({row["message_id"] for row in ran.rows}) == 5
    assert {_data(request)["email_subject"] for request in api.requests} == {
        f"Pillarbox test {number}" for number in range(1, 6)
    }


@pytest.mark.parametrize("content", [json.dumps(example()), "From: me\nSubject: A subject\n\nThe content"])
def test_a_file_is_sent(run: Run, api: FakeServer, tmp_path: Path, content: str) -> None:
    (tmp_path / "file").write_text(content)
    assert run("send", "file", "--sender", "other", API_URL=api.url, API_TOKEN="a-token").code == ExitCode.DONE
    sent = _data(api.requests[0])
    assert (sent["email_subject"], sent["email_content"], sent["email_sender"]) == ("A subject", "The content", "other")


def test_a_file_that_is_no_email_is_an_error_before_anything_is_sent(run: Run, api: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text('{"email_subject": "hidden"}')
    ran = run("send", "file", API_URL=api.url, API_TOKEN="a-token")
    assert ran.code == ExitCode.USAGE
    assert "file: email_sender is required" in ran.err
    assert "hidden" not in ran.err
    assert api.requests == []


@pytest.mark.parametrize(
    ("replies", "code"), [([REFUSED], ExitCode.FAILED), ([REFUSED, OK], ExitCode.DONE_IN_PART), ([OK], ExitCode.DONE)]
)
def test_the_exit_code_says_whether_all_were_taken(
    run: Run, api: FakeServer, replies: list[Reply], code: ExitCode
) -> None:
    api.replies = replies
    ran = run("send", "--count", "3", API_URL=api.url, API_TOKEN="a-token")
    assert ran.code == code
    assert ("unauthorized" in ran.out) == (code != ExitCode.DONE)


def test_waiting_without_a_status_route_looks_into_the_archive(run: Run, api: FakeServer, pipeline: Pipeline) -> None:
    def answer(request: Request) -> Reply:
        if request.method == "GET":
            return 501, b'{"code": "status_unavailable"}', {}
        message_id = request.headers["Idempotency-Key"]
        milliseconds = int(message_id[:8] + message_id[9:13], 16)
        day = f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y/%m/%d}"
        pipeline.archive(_data(request), message_id, f"messages/{day}/{message_id}.json")
        return OK

    api.answer = answer
    ran = run("send", "--wait", API_URL=api.url, API_TOKEN="a-token")
    assert ran.code == ExitCode.DONE
    assert ran.rows[0]["status"] == "archived"
    assert ran.rows[0]["archived_milliseconds"] >= 0


def test_the_token_is_the_first_of_the_parameter(run: Run, api: FakeServer, pipeline: Pipeline) -> None:
    name = f"/{pipeline.name}/token"
    pipeline.ssm.put_parameter(Name=name, Value="first\nsecond\n", Type="SecureString")
    assert run("send", API_URL=api.url, SSM_PARAMETER_NAME=name, API_TOKEN="").code == ExitCode.DONE
    assert api.requests[0].headers["Authorization"] == "Bearer first"


def test_without_an_address_or_a_token_it_says_what_is_missing(run: Run, api: FakeServer) -> None:
    assert "API_URL is not set" in run("send", API_TOKEN="a-token").err
    assert "API_TOKEN is not set" in run("send", API_URL=api.url).err


def test_a_token_with_a_line_end_is_sent_without_it_and_another_wrong_one_is_not_shown(run: Run) -> None:
    with serving() as api:
        api.replies = [(200, b"{}", {})]
        assert run("send", API_URL=api.url, API_TOKEN="tok\n").code == 0
        ran = run("send", API_URL=api.url, API_TOKEN="tok\nen")
    assert [request.headers["Authorization"] for request in api.requests] == ["Bearer tok"]
    assert ran.code == ExitCode.USAGE
    assert ran.err == "pillarbox: API_TOKEN has characters that a token cannot have\n"
