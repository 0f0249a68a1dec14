"""e2e_test/send_files.sh and run_e2e.sh --files with a simulated file intake: success and the errors.

The module is tested in this process, on the emulator; the scripts are tested as processes. test_files.py of e2e_test
runs the script on the real file intake.
"""

import email
import email.policy
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from common.testing.emulator import ROOT, outer_environment, running_emulator
from e2e_test import send_files
from tests.deploy.cloud import Cloud
from tests.deploy.in_process import Done, run_main

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

INBOX, ARCHIVE = "the-inbox", "the-archive"
Record = dict[str, Any]


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with running_emulator(tmp_path_factory.mktemp("emulator")) as environment:
        yield environment | {"INBOX_BUCKET_NAME": INBOX, "S3_BUCKET_NAME": ARCHIVE}


@pytest.fixture(scope="module")
def s3(emulator: dict[str, str]) -> "S3Client":
    client: S3Client = Cloud(emulator).client("s3")
    for bucket in (INBOX, ARCHIVE):
        client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return client


def run(environment: dict[str, str], *arguments: str, script: str = "send_files") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / f"e2e_test/{script}.sh", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=outer_environment() | environment,
    )


def run_module(environment: dict[str, str], *arguments: str) -> Done:
    """Run the module that the script runs after its checks."""
    return run_main(lambda: send_files.main(list(arguments), environment), environment)


def record_of(key: str, raw: bytes) -> Record:
    """Return the record that file intake archives for such a file."""
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    text = mail.get_body(("plain",))
    assert text
    return {
        "email_data": {
            "email_subject": mail["Subject"],
            "email_sender": mail["From"],
            "email_content": text.get_content(),
        },
        "metadata": {"source_object": {"bucket": INBOX, "key": key}},
    }


@contextmanager
def file_intake(s3: "S3Client", change: Callable[[Record], list[Record]]) -> Iterator[None]:
    """Archive each new file of the inbox until the block ends; `change` returns the records to archive."""
    stop = threading.Event()
    done = {entry["Key"] for entry in s3.list_objects_v2(Bucket=INBOX).get("Contents", [])}

    def work() -> None:
        while not stop.wait(0.05):
            for entry in s3.list_objects_v2(Bucket=INBOX).get("Contents", []):
                key = entry["Key"]
                if key in done:
                    continue
                done.add(key)
                made = change(record_of(key, s3.get_object(Bucket=INBOX, Key=key)["Body"].read()))
                for number, record in enumerate(made):
                    name = f"messages/{key.replace('/', '-')}-{number}.json"
                    s3.put_object(Bucket=ARCHIVE, Key=name, Body=json.dumps(record).encode())

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_it_prints_the_key_of_the_record_of_each_file(emulator: dict[str, str], s3: "S3Client") -> None:
    with file_intake(s3, lambda record: [record]):
        done = run_module(emulator, "3")
    assert done.returncode == 0, done.stderr
    keys = done.stdout.split("\n")[:-1]
    assert len(set(keys)) == 3
    assert all(key.startswith("messages/") for key in keys)
    assert done.stderr.splitlines()[-1] == f"PASSED: 3 record(s) in s3://{ARCHIVE}/messages/"


def changed(field: str, value: str) -> Callable[[Record], list[Record]]:
    return lambda record: [record | {"email_data": record["email_data"] | {field: value}}]


@pytest.mark.parametrize(
    ("change", "complaint", "timeout_seconds"),
    [
        (lambda _record: [], "0 of 2 records within 1 s", "1"),
        (lambda record: [record, record], "is archived twice", "60"),
        (changed("email_subject", "=?utf-8?q?x?="), "differs in email_subject", "60"),
        (changed("email_content", "à bient=C3=B4t"), "differs in email_content", "60"),
        (changed("email_sender", ""), "differs in email_sender", "60"),
    ],
    ids=["missing", "twice", "subject", "content", "sender"],
)
def test_a_record_that_is_not_as_it_should_be_fails_the_test(
    emulator: dict[str, str],
    s3: "S3Client",
    change: Callable[[Record], list[Record]],
    complaint: str,
    timeout_seconds: str,
) -> None:
    with file_intake(s3, change):
        done = run_module(emulator | {"E2E_TIMEOUT_SECONDS": timeout_seconds}, "2")
    assert (done.returncode, done.stdout) == (1, "")
    assert complaint in done.stderr
    assert done.stderr.endswith("FAILED\n")


@pytest.mark.parametrize("arguments", [("0",), ("-1",), ("1001",), ("ten",), ("1", "2"), ("--remote",)])
def test_a_wrong_call_is_refused(arguments: tuple[str, ...]) -> None:
    done = run({}, *arguments)
    assert (done.returncode, done.stderr.splitlines()[-1][:6]) == (2, "usage:")


@pytest.mark.parametrize("arguments", [("--files", "--local"), ("--check", "--all"), ("--yes", "--files", "3")])
def test_a_wrong_call_of_the_whole_test_is_refused(arguments: tuple[str, ...]) -> None:
    done = run({}, *arguments, script="run_e2e")
    assert (done.returncode, done.stderr.splitlines()[-1][:6]) == (2, "usage:")


def test_missing_settings_are_named() -> None:
    done = run_module({"AWS_REGION": "eu-west-1", "S3_BUCKET_NAME": "x"}, "25")
    assert (done.returncode, done.stderr) == (2, "not set: INBOX_BUCKET_NAME\n")


@pytest.mark.parametrize(("script", "options"), [("send_files", ()), ("run_e2e", ("--files",))])
def test_nothing_is_dropped_without_an_answer(script: str, options: tuple[str, ...]) -> None:
    done = run({"AWS_REGION": "eu-west-1", "INBOX_BUCKET_NAME": "the-inbox"}, *options, script=script)
    assert (done.returncode, "not sent" in done.stderr) == (2, True)
    assert "file(s) into the-inbox" in done.stderr + done.stdout or "25 files into the-inbox" in done.stdout
