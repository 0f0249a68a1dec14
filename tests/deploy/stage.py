"""The environment of deploy.sh in tests: the emulator, real services, and replacements of docker, make and kubectl."""

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from common.testing.emulator import ACCOUNT_ID, REGION, ROOT, outer_environment, running_emulator
from common.testing.ports import free_port
from local_stack.processes import Process

REGISTRY = f"{ACCOUNT_ID}.dkr.ecr.{REGION}.amazonaws.com"
TOOLS = ("aws", "docker", "kubectl", "make")


@dataclass(frozen=True, slots=True)
class Run:
    """The result of a run of deploy.sh: exit code, output, and the calls of tools."""

    code: int
    said: str
    calls: list[str]

    def called(self, beginning: str) -> list[str]:
        return [call for call in self.calls if call.startswith(beginning)]


@dataclass(slots=True)
class Stage:
    """Runs deploy.sh with the replaced tools; `state` is the folder with the cluster's objects and the calls."""

    aws: dict[str, str]
    folder: Path
    load_balancer: str = ""

    def __post_init__(self) -> None:
        (self.folder / "bin").mkdir(parents=True)
        for tool in TOOLS:
            (self.folder / "bin" / tool).symlink_to(ROOT / "tests/deploy/stand_in.sh")

    def environment(self, fail: str = "", **settings: str) -> dict[str, str]:
        """Return the environment of deploy.sh; `settings` take precedence."""
        return outer_environment() | {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "STAND_IN_STATE": str(self.folder),
            "STAND_IN_REGION": REGION,
            "STAND_IN_ROOT": str(ROOT),
            "STAND_IN_PYTHON": str(ROOT / ".venvs/dev/bin/python"),
            "STAND_IN_FAIL": fail,
            "STAND_IN_LOAD_BALANCER": self.load_balancer,
            "HEALTH_TIMEOUT_SECONDS": "20",
            "VERIFY_TIMEOUT_SECONDS": "20",
            "KEDA_SETTLE_SECONDS": "0",
            "REPLICAS_TIMEOUT_SECONDS": "1",
            "LOCK_SECONDS": "4",
        } | self.aws | settings  # fmt: skip

    def deploy(self, *options: str, fail: str = "", answer: str = "", **settings: str) -> Run:
        """Run deploy.sh. An answer is typed at a terminal; without an answer there is no terminal."""
        calls = self.folder / "calls"
        calls.write_text("")
        (self.folder / "failed").unlink(missing_ok=True)
        with terminal(answer) as stdin:
            done = subprocess.run(
                [str(ROOT / "deploy.sh"), REGISTRY, ACCOUNT_ID, *options],
                stdin=stdin,
                capture_output=True,
                text=True,
                check=False,
                env=self.environment(fail, **settings),
            )
        return Run(done.returncode, done.stdout + done.stderr, calls.read_text().splitlines())

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        """Start deploy.sh without waiting; `said` returns its output so far."""
        with (self.folder / "said").open("w") as said:
            return subprocess.Popen(
                [str(ROOT / "deploy.sh"), REGISTRY, ACCOUNT_ID, *options],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=self.environment(),
            )

    def said(self) -> str:
        return (self.folder / "said").read_text()

    def render(self, tag: str, *options: str) -> Path:
        """Render a release into a file, with placeholders for the stack's outputs."""
        file = self.folder / f"{tag}.yaml"
        run = self.deploy("--only", "render", "--dry-run", "--image-tag", tag, "--rendered", str(file), *options)
        assert run.code == 0, run.said
        return file

    def objects(self) -> dict[str, Any]:
        """Return the objects in the cluster by kind/namespace/name."""
        path = self.folder / "objects.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def put(self, key: str, manifest: dict[str, Any]) -> None:
        """Put an object into the cluster like another user."""
        (self.folder / "objects.json").write_text(json.dumps(self.objects() | {key: manifest}))

    @property
    def applied(self) -> str:
        """Return what was applied to the cluster last, or an empty text."""
        path = self.folder / "applied.yaml"
        return path.read_text() if path.exists() else ""

    def token(self) -> str:
        """Return the API token that deploy.sh created."""
        ssm = boto3.client("ssm", **client_options(self.aws))  # type: ignore[call-overload]
        value: str = ssm.get_parameter(Name="/email-service/dev/api-token", WithDecryption=True)["Parameter"]["Value"]
        return value


def client_options(aws: dict[str, str]) -> dict[str, str]:
    return {
        "endpoint_url": aws["AWS_ENDPOINT_URL"],
        "region_name": REGION,
        "aws_access_key_id": aws["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": aws["AWS_SECRET_ACCESS_KEY"],
    }


@contextmanager
def terminal(typed: str) -> Iterator[int]:
    """Yield a file descriptor to read from: a terminal with typed text, or an empty input."""
    if not typed:
        yield subprocess.DEVNULL
        return
    keyboard, screen = pty.openpty()
    try:
        os.write(keyboard, typed.encode())
        yield screen
    finally:
        os.close(keyboard)
        os.close(screen)


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Create a stage with an EKS cluster and its OIDC provider, without Pillarbox."""
    with running_emulator(folder / "emulator") as aws:
        eks = boto3.client("eks", **client_options(aws))  # type: ignore[call-overload]
        for environment in ("dev", "prod"):
            name = f"pillarbox-{environment}"
            role = f"arn:aws:iam::{ACCOUNT_ID}:role/cluster"
            cluster = eks.create_cluster(name=name, roleArn=role, resourcesVpcConfig={"subnetIds": ["subnet-1"]})
            issuer = cluster["cluster"]["identity"]["oidc"]["issuer"]
            boto3.client("iam", **client_options(aws)).create_open_id_connect_provider(Url=issuer)  # type: ignore[call-overload]
        yield Stage(aws, folder / "stage")


def cluster_alone(folder: Path) -> Stage:
    """Create a stage without AWS, for the steps that use only the cluster."""
    return Stage({"STAND_IN_AWS": "played", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}, folder)


@contextmanager
def services(set_stage: Stage, outputs: dict[str, str]) -> Iterator[str]:
    """Run both real services with the stack's resources; yield the API's address as host:port."""
    environment = outer_environment() | set_stage.aws | {
        "SQS_QUEUE_URL": outputs["QueueUrl"],
        "S3_BUCKET_NAME": outputs["BucketName"],
        "SSM_PARAMETER_NAME": outputs["TokenParameterName"],
        "STATUS_BUCKET": outputs.get("StatusBucketName", ""),
        "DRAIN_SECONDS": "0",
        "LONG_POLL_SECONDS": "1",
        "BIND_HOST": "127.0.0.1",
    }  # fmt: skip
    commands = {
        "service1-api": ("gunicorn", "--config", "gunicorn.conf.py", "service1_api.wsgi:app"),
        "service2-consumer": ("python", "-m", "service2_consumer"),
    }
    with ExitStack() as stack:
        addresses = {}
        for name, (program, *arguments) in commands.items():
            port = free_port()
            addresses[name] = f"127.0.0.1:{port}"
            process = Process(
                name,
                (ROOT / ".venvs" / name / "bin" / program, *arguments),
                environment=environment | {"PORT": str(port)},
                directory=set_stage.folder,
                working_directory=ROOT / name,
                ready_url=f"http://{addresses[name]}/ready",
            )
            process.start()
            stack.callback(process.stop, 20)
            process.wait_ready(30)
        yield addresses["service1-api"]


def stack_outputs(set_stage: Stage, name: str) -> dict[str, str]:
    """Return the outputs of a stack by name."""
    cloudformation = boto3.client("cloudformation", **client_options(set_stage.aws))  # type: ignore[call-overload]
    (description,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in description["Outputs"]}
