"""Replaces kubectl for the calls of deploy.sh to a cluster: the objects are in one file, and there are no controllers.

Environment: STAND_IN_STATE the folder, STAND_IN_LOAD_BALANCER the Ingress's host name, STAND_IN_READY the ready pods
of each Deployment (2), STAND_IN_KEDA the status of the ScaledObject's condition Ready (True), STAND_IN_APIS the API
groups of the cluster. Commands that need no cluster are not replaced.
"""

import fcntl
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

STATE = Path(os.environ["STAND_IN_STATE"])
APIS = "keda.sh/v1alpha1:scaledobjects,triggerauthentications monitoring.coreos.com/v1:servicemonitors,podmonitors"
Objects = dict[str, dict[str, Any]]


def kind_of(word: str) -> str:
    """Return a kind in one spelling: scaledobjects.keda.sh, ScaledObject.keda.sh and scaledobject are equal."""
    name = word.partition(".")[0].lower()
    return name if name == "ingress" else name.removesuffix("s")


def key_of(manifest: dict[str, Any]) -> str:
    metadata = manifest["metadata"]
    return "/".join((kind_of(manifest["kind"].lower()), metadata.get("namespace", "-"), metadata["name"]))


def values(found: Any, path: str) -> Iterator[Any]:
    """Return the values of a jsonpath: names with escaped dots, [0], [*] and [?(@.name=="value")]."""
    match = re.match(r'\.((?:[^.\[\\]|\\.)+)|\[(\d+)\]|\[(\*)\]|\[\?\(@\.(\w+)=="(\w+)"\)\]', path)
    if not match:
        yield found
        return
    name, index, every, field, wanted = match.groups()
    steps: list[Any] = []
    if name:
        steps = [found.get(name.replace("\\", ""))] if isinstance(found, dict) else []
    elif index:
        steps = (found or [])[int(index) : int(index) + 1]
    elif every:
        steps = list(found or [])
    else:
        steps = [item for item in found or [] if item.get(field) == wanted]
    for step in steps:
        if step is not None:
            yield from values(step, path[match.end() :])


def filled(template: str, found: Any) -> str:
    """Return a jsonpath template with its ranges and expressions evaluated."""

    def repeated(match: re.Match[str]) -> str:
        return "".join(filled(match.group(2), item) for item in values(found, match.group(1)))

    template = re.sub(r"\{range ([^}]*)\}(.*)\{end\}", repeated, template)
    return re.sub(
        r'\{(\.[^}]*|"\\n")\}',
        lambda match: "\n" if match.group(1) == '"\\n"' else " ".join(map(text_of, values(found, match.group(1)))),
        template,
    )


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


class Cluster:
    """The objects, and the kubectl commands that read and change them."""

    def __init__(self, objects: Objects, options: dict[str, str]) -> None:
        self.objects, self.options = objects, options
        self.namespace = options.get("namespace", "pillarbox")

    def run(self, verb: str, words: list[str]) -> int:
        return int(getattr(self, f"do_{verb}")(words) or 0)

    def manifests(self) -> list[dict[str, Any]]:
        return [document for document in yaml.safe_load_all(Path(self.options["filename"]).read_text()) if document]

    def do_apply(self, _: list[str]) -> None:
        text = Path(self.options["filename"]).read_text()
        if "\nkind: Deployment\n" in text:
            (STATE / "applied.yaml").write_text(text)
        for manifest in self.manifests():
            self.store(manifest)

    def store(self, manifest: dict[str, Any]) -> None:
        manifest["metadata"]["resourceVersion"] = str(int(self.objects.get("version", {"n": 0})["n"]) + 1)
        self.objects["version"] = {"n": int(manifest["metadata"]["resourceVersion"])}
        self.objects[key_of(manifest)] = manifest

    def do_create(self, _: list[str]) -> int:
        (manifest,) = self.manifests()
        if key_of(manifest) in self.objects:
            return self.complain("AlreadyExists")
        self.store(manifest)
        return 0

    def do_replace(self, _: list[str]) -> int:
        (manifest,) = self.manifests()
        live = self.objects.get(key_of(manifest))
        if not live or live["metadata"]["resourceVersion"] != manifest["metadata"]["resourceVersion"]:
            return self.complain("Conflict")
        self.store(manifest)
        return 0

    def do_patch(self, words: list[str]) -> int:
        live = self.objects.get("/".join((kind_of(words[0]), self.namespace, words[1])))
        test, change = json.loads(self.options["patch"])
        if not live or live["spec"]["holderIdentity"] != test["value"]:
            return self.complain("the test failed")
        live["spec"]["renewTime"] = change["value"]
        self.store(live)
        return 0

    def do_delete(self, words: list[str]) -> None:
        namespace = "-" if kind_of(words[0]) == "namespace" else self.namespace
        self.objects.pop("/".join((kind_of(words[0]), namespace, words[1])), None)

    def do_diff(self, _: list[str]) -> int:
        changed = []
        for manifest in self.manifests():
            live = json.loads(json.dumps(self.objects.get(key_of(manifest), {"metadata": {}})))
            live["metadata"].pop("resourceVersion", None)
            if live != manifest:
                changed.append(key_of(manifest))
        print("\n".join(f"+ {name}" for name in changed))
        return 1 if changed else 0

    def do_rollout(self, words: list[str]) -> int:
        print(f"{words[1]} successfully rolled out")
        return 0

    def do_logs(self, words: list[str]) -> None:
        print(f"a line of {words[0]}")

    def do_get(self, words: list[str]) -> int:
        if "raw" in self.options:
            return self.raw(self.options["raw"].removeprefix("/apis/"))
        kind, name = kind_of(words[0]), words[1] if len(words) > 1 else ""
        if kind == "event":
            print("Warning  FailedScheduling")
            return 0
        namespace = "-" if kind == "namespace" else self.namespace
        found = self.with_status(kind, self.objects.get(f"{kind}/{namespace}/{name}")) if name else self.listed(kind)
        if found is None:
            return 0 if "ignore-not-found" in self.options else self.complain("NotFound")
        output = self.options.get("output", "")
        if output.startswith("jsonpath="):
            print(filled(output.removeprefix("jsonpath="), found), end="")
        else:
            print(f"{kind}/{name}")
        return 0

    def listed(self, kind: str) -> dict[str, Any]:
        if kind == "pod":
            return {"items": [{"metadata": {"name": "a-pod"}, "status": {"conditions": []}}]}
        return {"items": [found for key, found in sorted(self.objects.items()) if key.startswith(f"{kind}/")]}

    def with_status(self, kind: str, found: dict[str, Any] | None) -> dict[str, Any] | None:
        """Return the object with the status that a cluster's controllers would set."""
        keda = os.environ.get("STAND_IN_KEDA") or "True"
        said = {
            "deployment": {"readyReplicas": int(os.environ.get("STAND_IN_READY") or 2)},
            "ingress": {"loadBalancer": {"ingress": [{"hostname": os.environ.get("STAND_IN_LOAD_BALANCER", "")}]}},
            "scaledobject": {"conditions": [{"type": "Ready", "status": keda, "reason": "Played", "message": "-"}]},
        }
        return found and found | ({"status": said[kind]} if kind in said else {})

    def raw(self, group: str) -> int:
        for api in os.environ.get("STAND_IN_APIS", APIS).split():
            name, _, resources = api.partition(":")
            if name == group:
                listed = [{"name": resource} for resource in resources.split(",")]
                print(json.dumps({"resources": listed}, separators=(",", ":")))
                return 0
        return self.complain("Error from server (NotFound): the server could not find the requested resource")

    def complain(self, text: str) -> int:
        print(text, file=sys.stderr)
        return 1


def main(arguments: list[str]) -> int:
    flags = {"server-side", "force-conflicts", "ignore-not-found", "all-namespaces", "previous", "no-headers"}
    words: list[str] = []
    options: dict[str, str] = {}
    while arguments:
        word = arguments.pop(0)
        if not word.startswith("--"):
            words.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        options[name] = value if equals else "" if name in flags else arguments.pop(0)
    with (STATE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = STATE / "objects.json"
        objects: Objects = json.loads(path.read_text()) if path.exists() else {}
        code = Cluster(objects, options).run(words[0], words[1:])
        path.write_text(json.dumps(objects, indent=1))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
