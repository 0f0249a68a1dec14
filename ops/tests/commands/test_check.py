import http.server
import re
import threading
from collections.abc import Callable, Iterator

import pytest

from pillarbox_ops.errors import ExitCode

from ..pipelines import Pipeline, Ran

Run = Callable[..., Ran]


class _Api(http.server.BaseHTTPRequestHandler):
    """Lives and is not ready; below /ingress/ nothing but /health is routed."""

    def do_GET(self) -> None:
        status = 404 if self.path.startswith("/ingress/") else 503
        self.send_response(200 if self.path.endswith("/health") else status)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Stay silent."""


@pytest.fixture
def api_url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Api) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_a_pipeline_that_works_passes_every_check(pipeline: Pipeline, run: Run) -> None:
    pipeline.ssm.put_parameter(Name=f"/{pipeline.name}", Value="hidden", Type="SecureString")
    ran = run("check", SSM_PARAMETER_NAME=f"/{pipeline.name}", INBOX_BUCKET_NAME=pipeline.bucket)
    assert ran.code == 0, ran.out + ran.err
    assert {row["check"] for row in ran.rows} == {"queue", "dlq", "bucket", "conflicts", "inbox", "token"}
    assert not [row for row in ran.rows if row["ok"] is False]
    assert "hidden" not in ran.out + ran.err


def test_a_part_that_is_not_there_fails_and_the_others_are_checked_all_the_same(pipeline: Pipeline, run: Run) -> None:
    ran = run("check", SQS_DLQ_URL=f"{pipeline.dlq_url}-missing")
    assert ran.code == ExitCode.FAILED
    failed = [row for row in ran.rows if row["ok"] is False]
    assert [(row["check"], row["needs"]) for row in failed] == [("dlq", "sqs:GetQueueAttributes")]
    assert "NonExistentQueue" in failed[0]["detail"]
    assert f"1 of {len(ran.rows)} failed" in ran.err


def test_only_what_is_required_is_checked(pipeline: Pipeline, run: Run) -> None:
    ran = run("check", "--require", "bucket", "--require", "queue", SQS_DLQ_URL="")
    assert (ran.code, {row["check"] for row in ran.rows}) == (0, {"bucket", "queue"})
    missing = run("check", "--require", "token", SSM_PARAMETER_NAME="")
    assert missing.code == ExitCode.FAILED
    assert "SSM_PARAMETER_NAME is not set" in missing.rows[0]["detail"]
    assert run("check", "--require", "nonsense").code == ExitCode.USAGE


def test_the_api_is_asked_whether_it_lives_and_is_ready(api_url: str, run: Run) -> None:
    ran = run("check", "--require", "api", API_URL=api_url)
    assert ran.code == ExitCode.FAILED
    assert [(row["needs"], row["ok"], row["detail"]) for row in ran.rows] == [
        (f"{api_url}health", True, "answers 200"),
        (f"{api_url}ready", False, "answers 503"),
    ]


def test_an_ingress_that_does_not_route_ready_is_no_failure(api_url: str, run: Run) -> None:
    ran = run("check", "--require", "api", API_URL=f"{api_url}ingress")
    assert (ran.code, [row["ok"] for row in ran.rows]) == (0, [True, None]), ran.out


def test_an_api_that_does_not_answer_fails(run: Run) -> None:
    ran = run("check", "--require", "api", API_URL="http://127.0.0.1:1")
    assert {row["ok"] for row in ran.rows} == {False}
    assert "does not answer" in ran.rows[0]["detail"]


def test_a_table_says_ok_failed_or_not_checked(pipeline: Pipeline, run: Run) -> None:
    table = run("check", "-o", "table", S3_BUCKET_NAME="no-such-bucket").out
    words = {tuple(re.split(" {2,}", line))[2] for line in table.splitlines()[1:]}
    assert words == {"ok", "failed", "not checked"}
