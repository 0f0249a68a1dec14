"""deploy.sh with a real API server, the AWS emulator, simulated docker and make, and both services running.

It is the stage of tests/deploy with two other tools: kubectl calls the control plane, and aws grants access to it.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from common.testing.emulator import ACCOUNT_ID, ROOT
from tests.cluster.cluster import Cluster, eventually
from tests.deploy.manifests import SERVICES, WORKLOADS
from tests.deploy.stage import REGISTRY, Run, Stage, client_options, services, stack_outputs, stage

NAMESPACES = {
    "service1-api": "pillarbox",
    "service2-consumer": "pillarbox-consumer",
    "file-intake": "pillarbox-consumer",
}
KINDS = (
    "configmap,deployment,horizontalpodautoscaler,ingress,networkpolicy,poddisruptionbudget,replicaset,scaledobject,"
    "service,serviceaccount,triggerauthentication"
)

TOOLS = ("aws", "kubectl")
# kwok's pods are ready after a second; a pod that is not ready by then never becomes ready.
ENVIRONMENT = "PROGRESS_DEADLINE_SECONDS=20\n"
SLOW_ENVIRONMENT = ENVIRONMENT.replace("20", "900")


@dataclass(frozen=True, slots=True)
class Deploying:
    """A running deploy.sh and the file with its output."""

    process: subprocess.Popen[bytes]
    output: Path

    def wait_for_step(self, step: str) -> None:
        """Wait until a step begins; fail if the script ends before."""

        def begun() -> bool:
            ended = self.process.poll() is not None
            if re.search(rf"^\[\d+/\d+\] {step}$", self.output.read_text(), re.MULTILINE):
                return True
            assert not ended, f"ended before step {step}: {self.output.read_text()}"
            return False

        eventually(begun, f"step {step} begins", 180)

    def kill(self) -> None:
        """Kill only the script, not its child processes, like a killed shell."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@dataclass(frozen=True, slots=True)
class Scene:
    """Runs deploy.sh and queries the cluster."""

    cluster: Cluster
    stage: Stage

    def deploy(self, tag: str, *options: str, **settings: str) -> Run:
        """Run deploy.sh to its end without a terminal."""
        return self.stage.deploy("--image-tag", tag, "--yes", *options, **self._settings() | settings)

    def redeploy(self, tag: str, *options: str, **settings: str) -> Run:
        """Run only the steps that concern the cluster."""
        self.push(tag)
        return self.deploy(tag, "--skip-infrastructure", "--skip-build", *options, **settings)

    @contextmanager
    def deploying(self, tag: str, *options: str, **settings: str) -> Iterator[Deploying]:
        """Start deploy.sh; kill its processes when the block ends."""
        output = self.stage.folder / f"{tag}-{time.monotonic_ns()}.log"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [str(ROOT / "deploy.sh"), REGISTRY, ACCOUNT_ID, "--image-tag", tag, "--yes", *options],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=self.stage.environment(**self._settings() | settings),
                start_new_session=True,
            )
        try:
            yield Deploying(process, output)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def slow_settings(self) -> dict[str, str]:
        """Return settings with which deploy.sh waits long for pods that do not get ready."""
        return {"ENVIRONMENTS_FOLDER": str(self.stage.folder / "slow")}

    def push(self, tag: str) -> None:
        """Put images with the tag into the registry."""
        ecr = boto3.client("ecr", **client_options(self.stage.aws))  # type: ignore[call-overload]
        for service in SERVICES:
            manifest = json.dumps({"schemaVersion": 2, "image": f"{service}:{tag}"})
            with contextlib.suppress(ecr.exceptions.ImageTagAlreadyExistsException):
                ecr.put_image(repositoryName=f"pillarbox/{service}", imageTag=tag, imageManifest=manifest)

    def _settings(self) -> dict[str, str]:
        folder = self.stage.folder
        return {
            "PATH": os.pathsep.join((str(folder / "tools"), str(folder / "bin"), os.environ["PATH"])),
            "SCENE_STATE": str(folder),
            "SCENE_KUBECONFIG": str(self.cluster.kubeconfig),
            "SCENE_KUBECTL": str(self.cluster.programs / "kubectl"),
            "SCENE_LOAD_BALANCER": self.stage.load_balancer,
            "ENVIRONMENTS_FOLDER": str(folder / "environments"),
            "KEDA_SETTLE_SECONDS": "2",
            "REPLICAS_TIMEOUT_SECONDS": "60",
        }

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """Make deploy.sh use an API server address on which nothing listens."""
        mark = self.stage.folder / "unreachable"
        mark.touch()
        yield
        mark.unlink()

    def deployment(self, service: str) -> Any:
        return self.cluster.get("deployment", service, f"--namespace={NAMESPACES[service]}")

    def images(self) -> set[str]:
        """Return the image tags of the Deployments."""
        found = [
            self.deployment(service)["spec"]["template"]["spec"]["containers"][0]["image"] for service in WORKLOADS
        ]
        return {image.rpartition(":")[2] for image in found}

    def replicas(self, service: str) -> int:
        count: int = self.deployment(service)["spec"]["replicas"]
        return count

    def running(self, service: str) -> set[str]:
        """Return the image tags of a service's ready pods."""
        pods = self.cluster.items("pods", NAMESPACES[service], f"--selector=app.kubernetes.io/name={service}")
        return {pod["spec"]["containers"][0]["image"].rpartition(":")[2] for pod in pods if is_ready(pod)}

    def versions(self) -> dict[str, str]:
        """Return the resourceVersion of both namespaces and of each object in them.

        For the autoscaler it is the specification, because its status changes with the load.
        """
        objects = [o for namespace in sorted(set(NAMESPACES.values())) for o in self.cluster.items(KINDS, namespace)]
        objects += self.cluster.items("namespaces")
        return {
            f"{o['kind']} {o['metadata']['name']}": json.dumps(o["spec"])
            if o["kind"] == "HorizontalPodAutoscaler"
            else o["metadata"]["resourceVersion"]
            for o in objects
        }


def is_ready(pod: Any) -> bool:
    conditions = {condition["type"]: condition["status"] for condition in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


@contextmanager
def prepared_scene(cluster: Cluster, folder: Path) -> Iterator[Scene]:
    """Create the stacks and the token, and run both services behind a simulated load balancer."""
    with stage(folder) as set_stage:
        for name, place in {"tools": TOOLS, "environments": (), "slow": ()}.items():
            (set_stage.folder / name).mkdir()
            for tool in place:
                (set_stage.folder / name / tool).symlink_to(ROOT / "tests/cluster/stand_in.sh")
        (set_stage.folder / "environments/dev.env").write_text(ENVIRONMENT)
        (set_stage.folder / "slow/dev.env").write_text(SLOW_ENVIRONMENT)
        scene = Scene(cluster, set_stage)
        for step in ("infrastructure", "token"):
            made = scene.deploy("none", "--only", step)
            assert made.code == 0, made.said
        with services(set_stage, stack_outputs(set_stage, "pillarbox-dev")) as set_stage.load_balancer:
            yield scene
