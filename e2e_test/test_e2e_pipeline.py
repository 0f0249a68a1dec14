"""The end-to-end scripts: output and exit codes, with both real services and without them."""

import gzip
import json
import os
import subprocess
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from common.testing.emulator import ROOT, outer_environment
from common.testing.ports import free_port
from e2e_test import e2e_api_test, e2e_pipeline
from e2e_test.conftest import Pipeline
from e2e_test.e2e_archive import Archive
from e2e_test.e2e_pipeline import Accepted, target_of, wait_by_api
from e2e_test.send_to_queue import new_message_id
from tests.deploy.in_process import run_main

PYTHON = str(ROOT / ".venvs/dev/bin/python")
AWS = {"API_TOKEN": "t", "S3_BUCKET_NAME": "b", "AWS_REGION": "eu-west-1"}


@pytest.fixture
def environment(pipeline: Pipeline) -> dict[str, str]:
    """The environment variables of an operator: the running services and their archive."""
    return outer_environment() | pipeline.stack.environment | {"E2E_PYTHON": PYTHON}


def run(script: str, *arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / "e2e_test" / script), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


def test_an_email_that_arrives_is_a_pass_step_by_step(environment: dict[str, str]) -> None:
    done = run("run_e2e.sh", "--yes", environment=environment)
    lines = done.stdout.splitlines()
    assert [line[:5] for line in lines if line.startswith("[")] == [f"[{step}/5]" for step in range(1, 6)]
    assert "      status from the API: 200 archived" in lines
    assert "cleanup: 1 version(s)" in done.stdout
    assert (lines[-1], done.returncode) == ("PASSED", 0)
    assert environment["API_TOKEN"] not in done.stdout + done.stderr


def test_an_email_that_does_not_arrive_is_a_failure(environment: dict[str, str]) -> None:
    elsewhere = environment | {"S3_PREFIX": "elsewhere/", "E2E_TIMEOUT_SECONDS": "1"}
    done = run_main(e2e_pipeline.main, elsewhere)
    assert "within 1 s" in done.stdout
    assert (done.stdout.splitlines()[-1], done.returncode) == ("FAILED", 1)


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"API_TOKEN": "wrong"}, "status 401 unauthorized"), ({"API_URL": "http://127.0.0.1:9"}, "no answer")],
)
def test_a_refusal_is_a_failure_that_says_why(environment: dict[str, str], changed: dict[str, str], said: str) -> None:
    done = run_main(e2e_pipeline.main, environment | changed)
    assert said in done.stdout
    assert (done.stdout.splitlines()[-1], done.returncode) == ("FAILED", 1)


def test_nothing_is_sent_to_aws_without_a_yes(environment: dict[str, str]) -> None:
    done = run("run_e2e.sh", environment=environment)
    assert (done.returncode, "[1/5]" in done.stdout) == (2, False)
    assert "not sent" in done.stderr


@pytest.mark.parametrize("status_path", ["", "/api/messages/x", "/no-such-route"])
def test_an_api_that_does_not_tell_the_status_leaves_the_wait_to_the_bucket(
    environment: dict[str, str], status_path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target = target_of(environment)
    wait_by_api(target, Accepted("x", status_path), time.monotonic() + 60)
    printed = capsys.readouterr().out
    assert "status from the API: 40" in printed if status_path else not printed
    wait_by_api(replace(target, api_url="http://127.0.0.1:9"), Accepted("x", "/x"), time.monotonic() + 60)
    assert "the API did not return the status" in capsys.readouterr().out


def test_an_email_that_the_api_does_not_find_is_asked_for_until_the_time_is_up(environment: dict[str, str]) -> None:
    path = f"/api/messages/{new_message_id(int(time.time() * 1000))}"
    began = time.monotonic()
    wait_by_api(target_of(environment), Accepted("x", path), began + 1)
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize("arguments", [("--remote",), ("--local", "--yes"), ("dev",)])
def test_a_wrong_argument_is_a_usage_line(arguments: tuple[str, ...]) -> None:
    done = run("run_e2e.sh", *arguments, environment={"PATH": os.environ["PATH"]})
    assert done.returncode == 2
    assert done.stderr.startswith("usage: e2e_test/run_e2e.sh")


@pytest.mark.parametrize("name", ["API_TOKEN", "S3_BUCKET_NAME", "AWS_REGION"])
def test_a_missing_setting_is_named(name: str) -> None:
    environment = AWS | {"API_URL": "http://x"}
    del environment[name]
    with pytest.raises(ValueError, match=f"not set: {name}$"):
        target_of(environment)


def test_an_address_is_needed_and_either_name_gives_it() -> None:
    with pytest.raises(ValueError, match="not set: API_URL or ALB_DNS"):
        target_of(AWS)
    assert target_of(AWS | {"ALB_DNS": "lb.example.com"}).api_url == "http://lb.example.com"
    both = target_of(AWS | {"ALB_DNS": "lb.example.com", "API_URL": "https://mail.example.com/"})
    assert (both.api_url, both.connect_to) == ("https://mail.example.com", "lb.example.com")


@pytest.mark.parametrize("seconds", ["0", "-1", "soon", "1.5"])
def test_a_time_that_is_no_time_is_refused(seconds: str) -> None:
    with pytest.raises(ValueError, match="E2E_TIMEOUT_SECONDS"):
        target_of(AWS | {"API_URL": "http://x", "E2E_TIMEOUT_SECONDS": seconds})


def test_the_api_s_refusals_are_checked_one_a_line(environment: dict[str, str]) -> None:
    done = run("api_test.sh", environment["API_URL"], environment=environment)
    lines = done.stdout.splitlines()
    assert (lines[-1], done.returncode) == ("PASSED", 0)
    for what in ("valid request", "missing token", "empty email_sender", "timestamp before 2000", "invalid JSON"):
        assert len([line for line in lines if line.startswith(f"ok     {what} (")]) == 1


def test_an_api_that_answers_otherwise_fails_the_check(environment: dict[str, str]) -> None:
    done = run_main(lambda: e2e_api_test.main([environment["API_URL"]]), environment | {"API_TOKEN": "wrong"})
    assert "FAILED valid request: expected 200, got 401 unauthorized" in done.stdout
    assert "ok     missing token" in done.stdout
    assert done.returncode == 1


def test_an_api_that_is_not_there_fails_the_check(environment: dict[str, str]) -> None:
    done = run_main(lambda: e2e_api_test.main([f"http://127.0.0.1:{free_port()}"]), environment)
    assert "FAILED valid request: no answer" in done.stdout
    assert done.returncode == 1


@pytest.mark.parametrize("arguments", [(), ("mail.example.com",), ("http://a", "http://b")])
def test_the_api_check_needs_a_url(arguments: tuple[str, ...]) -> None:
    done = run_main(lambda: e2e_api_test.main(list(arguments)), {})
    assert done.returncode == 2
    assert done.stderr.startswith("usage: API_TOKEN=")


@pytest.mark.parametrize(
    ("key", "others"),
    [
        ("messages/2025/12/10/{id}.json", 0),
        ("messages/2025/12/10/14/0193ae1c-0000-7000-8000-000000000000-abc.jsonl.gz", 2),
        ("messages/2025/12/10/someone/{id}_143022.json", 0),
    ],
    ids=["message", "batch", "template"],
)
def test_a_record_is_found_by_its_id_whatever_the_layout(pipeline: Pipeline, key: str, others: int) -> None:
    milliseconds = int(datetime(2025, 12, 10, 14, 30, 22, tzinfo=UTC).timestamp() * 1000)
    message_id, other_id = new_message_id(milliseconds), new_message_id(milliseconds)
    first_id = new_message_id(milliseconds - 20_000)
    key = key.format(id=message_id).replace("0193ae1c-0000-7000-8000-000000000000", first_id)
    records = [{"message_id": name} for name in (first_id, message_id, other_id)]
    lines = [json.dumps(record).encode() for record in (records if others else records[1:2])]
    body = gzip.compress(b"\n".join(lines) + b"\n") if key.endswith(".gz") else lines[0]
    pipeline.s3.put_object(Bucket=pipeline.bucket, Key=key, Body=body)
    archive = Archive(pipeline.s3, pipeline.bucket, "messages/")
    found = archive.find(message_id)
    assert found
    assert (found.key, found.record, found.records_in_object) == (key, {"message_id": message_id}, others + 1)
    assert archive.delete(found) == 1
    assert archive.find(message_id) is None
