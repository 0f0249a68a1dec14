import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pillarbox_ops.errors import ExitCode

from ..emails import archived
from ..fake_http import FakeServer, serving
from ..pipelines import Pipeline, Ran

Run = Callable[..., Ran]
CONSUMER = """# TYPE pillarbox_consumer_stored_total counter
pillarbox_consumer_stored_total 7
# TYPE pillarbox_consumer_lanes_alive gauge
pillarbox_consumer_lanes_alive 4
"""


def test_the_queues_and_the_last_email_are_shown(run: Run, pipeline: Pipeline) -> None:
    pipeline.sqs.send_message(QueueUrl=pipeline.dlq_url, MessageBody="x")
    message_id = archived(pipeline, 1)
    archived(pipeline, 0)
    ran = run("status")
    (shown,) = ran.rows
    assert ran.code == ExitCode.DONE
    assert shown["queues"] == {
        "queue": {"visible": 0, "in_flight": 0, "delayed": 0, "oldest_seconds": None},
        "dead_letters": {"visible": 1, "in_flight": 0, "delayed": 0, "oldest_seconds": None},
    }
    assert shown["last_archived"]["message_id"] == message_id


def test_a_table_has_a_zero_for_none_and_a_dash_for_what_is_not_known(run: Run, pipeline: Pipeline) -> None:
    lines = [line.split() for line in run("status", "-o", "table").out.splitlines()]
    assert lines[1] == ["queue", "0", "0", "0", "-"]
    assert lines[-1] == ["last", "archived", "-"]


def test_what_cannot_be_read_is_a_note_and_the_rest_is_shown(run: Run, pipeline: Pipeline) -> None:
    ran = run("status", SQS_DLQ_URL=f"{pipeline.dlq_url}-missing", CONSUMER_URL="http://127.0.0.1:9")
    assert ran.code == ExitCode.DONE_IN_PART
    assert list(ran.rows[0]["queues"]) == ["queue"]
    assert "dead_letters: AWS refused GetQueueAttributes" in ran.err
    assert "service2-consumer: http://127.0.0.1:9/metrics does not answer" in ran.err


def test_services_are_shown_by_their_metrics_and_left_out_where_these_are_not_routed(run: Run) -> None:
    with serving() as consumer, serving() as api:
        consumer.replies = [(200, CONSUMER.encode(), {})]
        api.replies = [(404, b"", {})]
        ran = run("status", CONSUMER_URL=consumer.url, API_URL=api.url)
    assert ran.code == ExitCode.DONE
    assert ran.rows[0]["services"] == {"service2-consumer": {"stored": 7.0, "lanes_alive": 4.0}}
    assert _paths(consumer) == _paths(api) == ["/metrics"]


def test_replicas_are_asked_of_the_named_context_only(run: Run, tmp_path: Path) -> None:
    answer = {"items": [{"metadata": {"name": "x"}, "spec": {"replicas": 3}, "status": {"readyReplicas": 2}}]}
    program = tmp_path / "kubectl"
    lines = (f"#!{sys.executable}", "import sys", "assert sys.argv[1:3] == ['--context', 'prod'], sys.argv")
    program.write_text("\n".join((*lines, f"print({json.dumps(json.dumps(answer))})")))
    program.chmod(0o755)
    assert run("status", "--kube-context", "prod", PATH=str(tmp_path)).rows[0]["replicas"] == {"x": "2/3"}
    assert run("status", PATH=str(tmp_path)).rows[0]["replicas"] == {}
    ran = run("status", "--kube-context", "dev", PATH=str(tmp_path))
    assert ran.code == ExitCode.DONE_IN_PART
    assert "replicas: kubectl: " in ran.err


def test_watch_looks_again_until_it_is_interrupted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    ran = run("status", "--watch", "5")
    assert ran.code == 130
    assert len(ran.rows) == 3
    assert all(0 <= pause <= 5 for pause in pauses)


def _paths(server: FakeServer) -> list[str]:
    return [request.path for request in server.requests]


def test_without_a_pipeline_it_is_an_error_and_not_an_empty_document(run: Run) -> None:
    ran = run("status", SQS_QUEUE_URL="", SQS_DLQ_URL="", S3_BUCKET_NAME="")
    assert (ran.code, ran.out) == (ExitCode.USAGE, "")
    assert "SQS_QUEUE_URL is not set" in ran.err


@pytest.mark.parametrize("named", ["API_URL", "CONSUMER_URL", "FILE_INTAKE_URL"])
def test_one_url_is_enough(run: Run, named: str) -> None:
    with serving() as server:
        server.replies = [(200, CONSUMER.encode(), {})]
        ran = run("status", **{"SQS_QUEUE_URL": "", "SQS_DLQ_URL": "", "S3_BUCKET_NAME": "", named: server.url})
    assert (ran.code, len(ran.rows), _paths(server)) == (ExitCode.DONE, 1, ["/metrics"])
