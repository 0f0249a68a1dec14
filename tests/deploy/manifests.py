"""The manifests under k8s/, as they are written and as kustomize renders them."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.testing.emulator import ROOT

K8S = ROOT / "k8s"
SERVICES = ("service1-api", "service2-consumer")
# Each Deployment with its own service account and settings, and its image.
IMAGES = {"service1-api": "service1-api", "service2-consumer": "service2-consumer", "file-intake": "service2-consumer"}
WORKLOADS = tuple(IMAGES)
Manifest = dict[str, Any]


def documents(text: str) -> list[Manifest]:
    return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document]


@cache
def base() -> list[Manifest]:
    """Return the objects of k8s/base as written, each with the namespace of its kustomization."""
    return written(K8S / "base", None)


def written(folder: Path, namespace: str | None) -> list[Manifest]:
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    namespace = kustomization.get("namespace", namespace)
    found: list[Manifest] = []
    for name in kustomization["resources"]:
        if (folder / name).is_dir():
            found += written((folder / name).resolve(), namespace)
            continue
        for document in documents((folder / name).read_text()):
            found.append(document | {"metadata": {"namespace": namespace} | document["metadata"]})
    return found


def one(kind: str, name: str, manifests: list[Manifest] | None = None) -> Manifest:
    """Return the object of a kind and name; the API's if both namespaces have one."""
    found = [
        manifest
        for manifest in (base() if manifests is None else manifests)
        if (manifest["kind"], manifest["metadata"]["name"]) == (kind, name)
    ]
    (first,) = found if len(found) == 1 else [m for m in found if m["metadata"]["namespace"] == "pillarbox"]
    return first


def namespace_of(service: str) -> str:
    namespace: str = one("Deployment", service)["metadata"]["namespace"]
    return namespace


def pod_of(service: str) -> Manifest:
    pod: Manifest = one("Deployment", service)["spec"]["template"]
    return pod


def container_of(service: str) -> Manifest:
    (container,) = pod_of(service)["spec"]["containers"]
    found: Manifest = container
    return found


def settings_of(service: str) -> dict[str, str]:
    """Return the environment variables of the service's ConfigMap."""
    lines = (K8S / "base" / f"{service}.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def render(
    folder: Path, overlay: str, components: tuple[str, ...], changed: Mapping[Path, str] | None = None
) -> list[Manifest]:
    """Render an overlay with more components like deploy.sh, by an overlay over it, in a copy inside `folder`.

    `changed` has new texts for files of the copy.
    """
    if not shutil.which("kubectl"):
        pytest.fail("kubectl is not installed: it renders the manifests (https://kubernetes.io/docs/tasks/tools/)")
    shutil.copytree(K8S, folder / "k8s")
    for path, text in (changed or {}).items():
        (folder / "k8s" / path).write_text(text)
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "labels": [{"pairs": {"app.kubernetes.io/part-of": "pillarbox"}}],
        "resources": [f"../k8s/overlays/{overlay}"],
        "components": [f"../k8s/components/{component}" for component in components],
    }
    top = folder / "top"
    top.mkdir()
    (top / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    done = subprocess.run(
        ["kubectl", "kustomize", str(top)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"KUBECONFIG": "/dev/null"},
    )
    assert done.returncode == 0, done.stderr
    return documents(done.stdout)
