"""e2e_test/send_to_queue.sh: e-mails that bypass the API are stored like all others."""

import os
import subprocess
from pathlib import Path

import pytest

from common.testing.waiting import eventually
from e2e_test import send_to_queue
from e2e_test.conftest import Pipeline
from tests.deploy.in_process import run_main

ROOT = Path(__file__).resolve().parent.parent


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    outer = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.run(
        [ROOT / "e2e_test/send_to_queue.sh", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=outer | environment,
    )


def test_each_e_mail_becomes_one_record_under_the_id_that_is_printed(pipeline: Pipeline) -> None:
    done = run(pipeline.stack.environment, "--yes", "25")
    assert done.returncode == 0, done.stderr
    ids = set(done.stdout.split())
    assert len(ids) == 25
    eventually(lambda: len(pipeline.records(ids)) == 25, "25 records are stored")
    records = {record["message_id"]: record for record in pipeline.records(ids)}
    assert set(records) == ids
    for record in records.values():
        assert record["email_data"]["email_sender"] == "queue-test@pillarbox.invalid"
        assert record["metadata"]["source"] == "send_to_queue"


def test_one_e_mail_is_sent_by_default(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nif [ "$1" = -m ]; then echo "$@"; fi\n')
    python.chmod(0o755)
    done = run({"E2E_PYTHON": str(python)}, "--yes")
    assert (done.returncode, done.stdout) == (0, "-m e2e_test.send_to_queue 1\n")


def test_a_missing_queue_is_reported(pipeline: Pipeline) -> None:
    environment = pipeline.stack.environment | {"SQS_QUEUE_URL": f"{pipeline.queue_url}-missing"}
    done = run_main(lambda: send_to_queue.main(["1"], environment), environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("0 sent, then: ")


@pytest.mark.parametrize("arguments", [("0",), ("-1",), ("10001",), ("ten",), ("1", "2"), ("--remote",)])
def test_a_wrong_call_is_refused(arguments: tuple[str, ...]) -> None:
    done = run({}, *arguments)
    assert (done.returncode, done.stderr.splitlines()[-1][:6]) == (2, "usage:")


def test_missing_settings_are_named() -> None:
    environment = {"AWS_REGION": "eu-west-1"}
    done = run_main(lambda: send_to_queue.main(["1"], environment), environment)
    assert (done.returncode, "not set: SQS_QUEUE_URL" in done.stderr) == (2, True)


def test_nothing_is_sent_to_aws_without_an_answer() -> None:
    done = run({"AWS_REGION": "eu-west-1", "SQS_QUEUE_URL": "http://127.0.0.1:9/queue"})
    assert (done.returncode, "not sent" in done.stderr) == (2, True)
