"""`make run` as a user sees it: its output, the commands that it shows, and what it refuses."""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import HTTPCookieProcessor, ProxyHandler, build_opener

import pytest

from common.testing.ports import free_port
from common.testing.waiting import eventually
from e2e_test.prometheus_api import prometheus_api
from e2e_test.stack_run import Run, read_environment

NAMES = [
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "API_URL",
    "CONSUMER_URL",
    "FILE_INTAKE_URL",
    "API_TOKEN",
    "SQS_QUEUE_URL",
    "SQS_DLQ_URL",
    "S3_BUCKET_NAME",
    "SSM_PARAMETER_NAME",
    "INBOX_BUCKET_NAME",
    "FILES_QUEUE_URL",
    "FILES_DLQ_URL",
    "PAYLOAD_BUCKET",
    "STATUS_BUCKET",
]


@dataclass(frozen=True, slots=True)
class Shown:
    """A running stack, and what it has shown of its first e-mail."""

    run: Run
    directory: Path
    message_id: str
    key: str
    page: str


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """One run for the tests that do not change it: with a proxy that does not work, and with its own key template."""
    names = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    proxies = dict.fromkeys(names, f"http://127.0.0.1:{free_port()}")
    directory = tmp_path_factory.mktemp("shown")
    template = "{prefix}{date:%Y}/{sender}/{message_id}.json"
    run = Run(directory, S3_PREFIX="emails/", S3_KEY_TEMPLATE=template, UI_PORT=str(free_port()), **proxies)
    try:
        message_id = json.loads(run.wait_line(r"answer +200 (\{.*\})$")[1])["message_id"]
        key = run.wait_line(r"object +s3://[^/]+/(\S+)$")[1]
        run.wait_line(r"stored +\d+ ms after it was accepted")
        page = run.wait_line(r"^  (http://127\.0\.0\.1:\d+/login\?token=\S+)$")[1]
        run.wait_line(r"^accepted 1   stored 1   waiting 0   failed 0$")
        yield Shown(run, directory, message_id, key, page)
        assert run.interrupt() == 0
    finally:
        run.end()


def test_a_run_shows_an_email_stored_in_the_layout_that_the_environment_names(shown: Shown) -> None:
    assert re.fullmatch(rf"emails/\d{{4}}/[^/]+/{shown.message_id}\.json", shown.key)


def test_a_run_keeps_its_token_to_this_user(shown: Shown) -> None:
    environment = read_environment(shown.directory)
    assert list(environment) == NAMES
    assert (shown.directory / "stack.env").stat().st_mode & 0o077 == 0
    assert environment["API_TOKEN"] not in "\n".join(shown.run.printed)


def test_the_page_opens_at_its_address_and_shows_the_email(shown: Shown) -> None:
    opener = build_opener(ProxyHandler({}), HTTPCookieProcessor())
    opener.open(shown.page, timeout=60).close()
    origin = shown.page.partition("/login")[0]
    with opener.open(f"{origin}/search?q=id:{shown.message_id}", timeout=60) as answer:
        assert "Happy new year!" in answer.read().decode()
    with pytest.raises(HTTPError, match="401"):
        build_opener(ProxyHandler({})).open(f"{origin}/", timeout=60)
    log = (shown.directory / "log/ui.log").read_text()
    assert shown.page.partition("token=")[2] not in log


def test_a_second_run_on_the_same_state_is_refused(shown: Shown, runs: list[Run]) -> None:
    second = Run(shown.directory)
    runs.append(second)
    second.wait_line(r"another local stack runs in .*; stop it first")
    assert second.exit_code() == 1
    assert shown.run.process.poll() is None


@pytest.mark.system
def test_the_curl_line_works_when_pasted_anywhere(runs: list[Run], tmp_path: Path) -> None:
    run = Run(tmp_path)
    runs.append(run)
    run.wait_line(r"^accepted 1")
    at = next(number for number, line in enumerate(run.printed) if "curl" in line)
    lines = "\n".join(run.printed[at : at + 2])
    pasted = subprocess.run(["sh", "-c", lines], cwd="/", capture_output=True, text=True, check=True)
    assert json.loads(pasted.stdout)["status"] == "success"
    run.wait_line(r"^accepted 2   stored 2   waiting 0   failed 0$")
    assert run.interrupt() == 0


@pytest.mark.system
def test_prometheus_runs_beside_the_stack_twice_in_a_row_and_stops_with_it(runs: list[Run], tmp_path: Path) -> None:
    port = str(free_port())
    for _ in range(2):
        run = Run(tmp_path, PROMETHEUS="1", PROMETHEUS_PORT=port)
        runs.append(run)
        url = run.wait_line(rf"(http://127\.0\.0\.1:{port})$")[1]
        run.wait_line("^accepted")

        def scraped(url: str = url) -> bool:
            targets = prometheus_api(url, "targets")["activeTargets"]
            return len(targets) == 3 and all(target["health"] == "up" for target in targets)

        eventually(scraped, "the three services are scraped")
        rules = [rule for group in prometheus_api(url, "rules")["groups"] for rule in group["rules"]]
        assert {rule["health"] for rule in rules} <= {"ok", "unknown"}  # unknown: not evaluated yet
        pid = run.pid_of("prometheus")
        assert run.interrupt() == 0
        assert not Path(f"/proc/{pid}").exists()
