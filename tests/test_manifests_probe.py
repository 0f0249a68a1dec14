"""The probe's manifests: a Job every five minutes that cannot pile up, in a pod that may do little."""

from typing import Any

import pytest

from common.testing.emulator import ROOT
from pillarbox_ops.target import Target
from tests.deploy.manifests import K8S, Manifest, base, documents, one

FOLDER = K8S / "components/probe"
MANIFESTS = documents((FOLDER / "probe.yaml").read_text())
CRON_JOB = one("CronJob", "pillarbox-probe", MANIFESTS)
JOB = CRON_JOB["spec"]["jobTemplate"]["spec"]
POD: Manifest = JOB["template"]
PERIOD_SECONDS = 300


def settings() -> dict[str, str]:
    return dict(line.split("=", 1) for line in (FOLDER / "probe.env").read_text().splitlines())


def container() -> dict[str, Any]:
    (found,) = POD["spec"]["containers"]
    return dict(found)


def test_it_runs_every_five_minutes_and_never_twice_at_once() -> None:
    spec = CRON_JOB["spec"]
    assert spec["schedule"] == "*/5 * * * *"
    assert spec["concurrencyPolicy"] == "Forbid"
    assert JOB["activeDeadlineSeconds"] < PERIOD_SECONDS
    assert spec["startingDeadlineSeconds"] < PERIOD_SECONDS


def test_a_failure_stays_a_failure_and_is_kept_to_be_looked_at() -> None:
    assert (JOB["backoffLimit"], POD["spec"]["restartPolicy"]) == (0, "Never")
    assert CRON_JOB["spec"]["failedJobsHistoryLimit"] > CRON_JOB["spec"]["successfulJobsHistoryLimit"] > 0


def test_the_pod_meets_the_restricted_standard() -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    spec = POD["spec"]
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(spec)
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "runAsGroup": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [set(volume) for volume in spec["volumes"]] == [{"name", "emptyDir"}]
    assert spec["automountServiceAccountToken"] is False
    assert set(container()["resources"]) == {"requests", "limits"}


def test_the_policies_of_its_namespace_let_it_out_to_dns_and_https_and_nobody_in() -> None:
    assert CRON_JOB["metadata"]["namespace"] == "pillarbox"
    labels = POD["metadata"]["labels"].items()
    out, into = set(), set()
    for policy in base():
        if (policy["kind"], policy["metadata"]["namespace"]) != ("NetworkPolicy", "pillarbox"):
            continue
        if policy["spec"]["podSelector"].get("matchLabels", {}).items() <= labels:
            out |= {
                port["port"] for rule in policy["spec"].get("egress", []) for port in rule["ports"] if "to" not in rule
            }
            into |= {port["port"] for rule in policy["spec"].get("ingress", []) for port in rule["ports"]}
    assert out == {53, 443}
    assert into == set()


def test_no_service_and_so_no_load_balancer_has_the_pod_among_its_targets() -> None:
    """A pod of this namespace that is a target waits for the load balancer before it is ready."""
    selectors = [m["spec"]["selector"] for m in base() if m["kind"] == "Service"]
    assert selectors
    assert not [selector for selector in selectors if selector.items() <= POD["metadata"]["labels"].items()]


def test_the_role_trusts_the_service_account_of_the_pod() -> None:
    account = one("ServiceAccount", POD["spec"]["serviceAccountName"], MANIFESTS)["metadata"]
    assert "eks.amazonaws.com/role-arn" in account["annotations"]
    subject = f'"system:serviceaccount:{account["namespace"]}:{account["name"]}"'
    assert (ROOT / "infrastructure/probe.yaml").read_text().count(subject) == 2


def test_it_runs_the_image_of_ops_with_settings_that_ops_reads() -> None:
    assert container()["image"] == "pillarbox/ops"
    assert container()["envFrom"] == [{"configMapRef": {"name": "probe-settings"}}]
    # Each variable alone sets a field of the target, so none is misspelt.
    unset = Target.from_variables({})
    for name in settings():
        assert Target.from_variables({name: "x"}) != unset, name


@pytest.mark.parametrize(
    "name", ["queue_url", "dead_letter_queue_url", "bucket", "token_parameter", "api_url", "region"]
)
def test_what_the_probe_needs_is_set(name: str) -> None:
    assert Target.from_variables(settings()).need(name)
