"""The images work from HTTP to S3 under the hardening of the manifests."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import boto3
import pytest

from common.testing.emulator import ROOT, running_emulator
from common.testing.ports import free_port
from common.testing.waiting import eventually
from e2e_test.e2e_archive import Archive, Found
from e2e_test.e2e_http import request
from local_stack.processes import answers
from local_stack.provision import create_resources

pytestmark = [pytest.mark.images, pytest.mark.timeout(600)]

SERVICES = ("service1-api", "service2-consumer")
BASE = "docker.io/library/python:3.13-slim-trixie"
BUILDER = os.environ.get("CONTAINER_TOOL") or "podman"
RUNNER = "podman" if BUILDER == "buildah" else BUILDER
HARDENED = ("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=host")


def container_tool(*arguments: str) -> str:
    try:
        done = subprocess.run([RUNNER, *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.fail(f"{RUNNER} is not installed: install podman (or set CONTAINER_TOOL=docker)")
    assert done.returncode == 0, f"{RUNNER} {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


def inspect(image: str) -> dict[str, Any]:
    description: dict[str, Any] = json.loads(container_tool("image", "inspect", image))[0]
    return description


def health_check(image: str) -> list[str]:
    description = inspect(image)
    # Docker keeps it in the configuration, podman beside it.
    test: list[str] = (description["Config"].get("Healthcheck") or description["Healthcheck"])["Test"]
    return test


@pytest.fixture(scope="module")
def tag() -> str:
    """Return the tag of the images under test; without IMAGE_TAG build them from the working tree."""
    if given := os.environ.get("IMAGE_TAG"):
        return given
    subprocess.run(["make", "images", "TAG=test", f"CONTAINER_TOOL={BUILDER}"], cwd=ROOT, check=True)
    return "test"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with running_emulator(tmp_path_factory.mktemp("emulator")) as aws:
        yield aws | create_resources(aws, {})


class Container:
    """A running container of one service, hardened like in the manifests."""

    def __init__(self, service: str, tag: str, environment: dict[str, str]) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        values = environment | {"PORT": self.url.rpartition(":")[2], "DRAIN_SECONDS": "1", "LONG_POLL_SECONDS": "1"}
        del values["API_TOKEN"]  # the service reads it from SSM
        options = [f"--env={name}={value}" for name, value in values.items()]
        self.id = container_tool("run", "--detach", *HARDENED, *options, f"pillarbox/{service}:{tag}")

    def wait_ready(self, service: str) -> None:
        try:
            eventually(lambda: answers(f"{self.url}/ready"), f"{service} is ready", timeout_seconds=30)
        except AssertionError as exc:
            done = subprocess.run([RUNNER, "logs", "--tail=20", self.id], capture_output=True, text=True, check=False)
            raise AssertionError(f"{exc}; the end of its log:\n{done.stdout}{done.stderr}") from exc

    def execute(self, *command: str) -> str:
        return container_tool("exec", self.id, *command)

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        container_tool("stop", "--time=60", self.id)
        return int(container_tool("inspect", "--format={{.State.ExitCode}}", self.id))

    def remove(self) -> None:
        container_tool("rm", "--force", self.id)


@pytest.fixture(scope="module")
def containers(tag: str, environment: dict[str, str]) -> Iterator[dict[str, Container]]:
    with ExitStack() as stack:
        started = {}
        for service in SERVICES:
            started[service] = Container(service, tag, environment)
            stack.callback(started[service].remove)
        for service, container in started.items():
            container.wait_ready(service)
        yield started


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_says_what_it_is_and_starts_without_a_shell(service: str, tag: str) -> None:
    config = inspect(f"pillarbox/{service}:{tag}")["Config"]
    assert config["User"] == "1000:1000"
    assert config["Cmd"][0] in {"gunicorn", "python"}
    assert health_check(f"pillarbox/{service}:{tag}")[0] == "CMD"
    labels = config["Labels"]
    assert labels["org.opencontainers.image.title"] == service
    assert labels["org.opencontainers.image.revision"] == tag


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_without_opentelemetry_says_so_when_it_is_to_trace(service: str, tag: str) -> None:
    values = ("AWS_REGION=eu-west-1", "SQS_QUEUE_URL=http://127.0.0.1:9/0/emails", "S3_BUCKET_NAME=archive")
    options = [f"--env={value}" for value in (*values, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:9")]
    command = [RUNNER, "run", "--rm", *HARDENED, *options, f"pillarbox/{service}:{tag}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "OTEL_EXPORTER_OTLP_ENDPOINT: this environment has no OpenTelemetry." in done.stderr


def test_an_image_is_little_more_than_its_base(tag: str, capsys: pytest.CaptureFixture[str]) -> None:
    base = inspect(BASE)["Size"]
    for service in SERVICES:
        size = inspect(f"pillarbox/{service}:{tag}")["Size"]
        with capsys.disabled():
            print(f"\npillarbox/{service}: {size / 1e6:.0f} MB, of which {(size - base) / 1e6:.0f} MB above {BASE}")
        assert size - base < 60e6


@pytest.mark.parametrize("service", SERVICES)
def test_the_list_of_packages_names_debian_s_and_all_locked_ones(service: str, tag: str) -> None:
    script = str(ROOT / "infrastructure/sbom.py")
    command = [sys.executable, script, "--tool", RUNNER, f"pillarbox/{service}:{tag}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    listed = {component["purl"] for component in json.loads(done.stdout)["components"]}
    requirements = (ROOT / service / "requirements.txt").read_text()
    locked = re.findall(r"^([a-z0-9-]+)==([^ ;]+) \\$", requirements, re.MULTILINE)  # those without a condition
    assert len(locked) > 10
    assert {f"pkg:pypi/{name}@{version}" for name, version in locked} - listed == set()
    assert any(purl.startswith("pkg:deb/debian/libc6@") for purl in listed)


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_runs_as_nobody_special(service: str, containers: dict[str, Container]) -> None:
    container = containers[service]
    status = container.execute("python", "-c", "print(open('/proc/1/status').read())")
    assert re.search(r"^Uid:\s+1000\s+1000\s", status, re.MULTILINE)
    assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
    attempt = "import errno\ntry:\n    open('/app/x', 'w')\nexcept OSError as e:\n    print(errno.errorcode[e.errno])"
    assert container.execute("python", "-c", attempt) == "EROFS"


@pytest.mark.parametrize("service", SERVICES)
def test_the_image_s_own_health_check_passes(service: str, tag: str, containers: dict[str, Container]) -> None:
    containers[service].execute(*health_check(f"pillarbox/{service}:{tag}")[1:])


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_can_trade_its_service_account_for_credentials(
    service: str, containers: dict[str, Container]
) -> None:
    trade = (
        "import os, pathlib; from pillarbox_aws.session import new_session;"
        "pathlib.Path('/tmp/token').write_text('a web identity token');"
        "os.environ.update(AWS_ROLE_ARN='arn:aws:iam::000000000000:role/x', AWS_WEB_IDENTITY_TOKEN_FILE='/tmp/token');"
        "del os.environ['AWS_ACCESS_KEY_ID'];"
        "credentials = new_session(os.environ['AWS_REGION']).get_credentials(); credentials.get_frozen_credentials();"
        "print(credentials.method)"
    )
    assert containers[service].execute("python", "-c", trade) == "assume-role-with-web-identity"


def test_an_email_travels_through_the_containers_from_http_to_s3(
    containers: dict[str, Container], environment: dict[str, str]
) -> None:
    email = {
        "email_subject": "From a container",
        "email_sender": "images@pillarbox.invalid",
        "email_timestream": "1693561101",
        "email_content": "✓ \U0001f4ee",
    }
    headers = {"Authorization": f"Bearer {environment['API_TOKEN']}"}
    answer = request(f"{containers['service1-api'].url}/api/message", json.dumps({"data": email}).encode(), headers)
    assert answer.status == 200
    s3 = boto3.client(
        "s3", endpoint_url=environment["AWS_ENDPOINT_URL"], aws_access_key_id="test", aws_secret_access_key="test"
    )
    archive = Archive(s3, environment["S3_BUCKET_NAME"], "messages/")
    found: Found = eventually(lambda: archive.find(answer.body["message_id"]), "the e-mail is stored")
    assert found.record["email_data"] == email


@pytest.mark.parametrize("service", SERVICES)
def test_sigterm_ends_a_container_with_exit_code_0(service: str, tag: str, environment: dict[str, str]) -> None:
    container = Container(service, tag, environment)
    try:
        container.wait_ready(service)
        assert container.stop() == 0
    finally:
        container.remove()
