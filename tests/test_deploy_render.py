"""The values of an environment file are in the manifests that deploy.sh renders."""

import json
import subprocess
from itertools import product
from pathlib import Path

import kubernetes_validate  # type: ignore[import-untyped]
import pytest

from common.testing.emulator import ROOT
from tests.deploy.manifests import WORKLOADS, Manifest, documents, one
from tests.deploy.stage import Stage, cluster_alone
from tests.test_manifests_render import OWN_KINDS, VERSIONS

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

CERTIFICATE = "arn:aws:acm:eu-west-1:000000000000:certificate/11111111-2222-3333-4444-555555555555"
HTTPS = f"CERTIFICATE_ARN={CERTIFICATE}\nAPI_HOST_NAME=mail.example.com\n"
COMBINATIONS = [
    (overlay, components, https, pod_identity)
    for overlay, components, https, pod_identity in product(
        ("dev", "prod"),
        ("", "fixed-replicas", "service-monitor", "fixed-replicas service-monitor monitoring"),
        ("", HTTPS),
        ("no", "yes"),
    )
    if https or overlay == "dev"  # production requires a certificate
]
ALB = "alb.ingress.kubernetes.io/"


@pytest.fixture
def cluster(tmp_path: Path) -> Stage:
    return cluster_alone(tmp_path / "stage")


def rendered(cluster: Stage, text: str, name: str = "dev") -> list[Manifest]:
    folder = cluster.folder / "environments"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.env").write_text(text)
    cluster.aws["ENVIRONMENTS_FOLDER"] = str(folder)
    return documents(cluster.render("v1", "--environment", name).read_text())


@pytest.mark.parametrize(("overlay", "components", "https", "pod_identity"), COMBINATIONS)
def test_every_environment_renders_what_kubernetes_accepts(
    cluster: Stage, overlay: str, components: str, https: str, pod_identity: str
) -> None:
    text = f"OVERLAY={overlay}\nCOMPONENTS={components}\nPROMETHEUS_RELEASE=x\nPOD_IDENTITY={pod_identity}\n{https}"
    manifests = rendered(cluster, text, "staging")
    for manifest in manifests:
        if manifest["kind"] not in OWN_KINDS:
            kubernetes_validate.validate(manifest, VERSIONS[-1], strict=True)
        labels = manifest["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "pillarbox-staging"
        assert labels["app.kubernetes.io/version"] == "v1"
    assert bool([m for m in manifests if m["kind"] == "ScaledObject"]) is ("fixed" not in components)
    assert bool([m for m in manifests if m["kind"] == "PodMonitor"]) is ("service-monitor" in components)
    assert bool([m for m in manifests if m["kind"] == "PrometheusRule"]) is ("monitoring" in components)
    accounts = [m for m in manifests if m["kind"] == "ServiceAccount"]
    assert {account["metadata"]["name"] for account in accounts} == set(WORKLOADS)
    for account in accounts:
        annotations = account["metadata"].get("annotations", {})
        assert ("eks.amazonaws.com/role-arn" in annotations) is (pod_identity == "no")


@pytest.mark.parametrize("components", ["", "fixed-replicas service-monitor"])
def test_where_file_intake_is_off_nothing_of_it_is_rendered(cluster: Stage, components: str) -> None:
    manifests = rendered(cluster, f"FILE_INTAKE=no\nCOMPONENTS={components}\nPROMETHEUS_RELEASE=x\n")
    assert "file-intake" not in str(manifests)
    deployments = [m["metadata"]["name"] for m in manifests if m["kind"] == "Deployment"]
    assert sorted(deployments) == ["service1-api", "service2-consumer"]


def test_traces_are_switched_on_by_the_component_and_the_settings_of_each_workload(cluster: Stage) -> None:
    endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector.observability:4318"
    text = f"COMPONENTS=tracing\nAPI_SETTING_{endpoint}\nFILE_INTAKE_SETTING_{endpoint}\n"
    manifests = rendered(cluster, text + "FILE_INTAKE_SETTING_OTEL_SERVICE_NAME=file-intake\n")
    settings = {m["metadata"]["name"].rpartition("-settings-")[0]: m["data"] for m in manifests if "data" in m}
    name, value = endpoint.split("=")
    assert {workload for workload, data in settings.items() if name in data} == {"service1-api", "file-intake"}
    assert settings["service1-api"][name] == value
    assert settings["file-intake"]["OTEL_SERVICE_NAME"] == "file-intake"
    assert len([m for m in manifests if m["metadata"]["name"] == "traces"]) == 2


def test_the_load_balancer_is_as_the_file_says(cluster: Stage) -> None:
    web_acl = "arn:aws:wafv2:eu-west-1:000000000000:regional/webacl/mail/11111111-2222-3333-4444-555555555555"
    text = f"""{HTTPS}ALB_SCHEME=internal
ALB_SUBNETS=subnet-1,subnet-2
ALB_INBOUND_CIDRS=10.0.0.0/8,2001:db8::/32
WAF_ACL_ARN={web_acl}
ALB_ACCESS_LOG_BUCKET=logs.example.com
ALB_DELETION_PROTECTION=yes
TAGS=Team=mail,Cost Centre=4711
"""
    ingress = one("Ingress", "service1-api", rendered(cluster, text))
    annotations = ingress["metadata"]["annotations"]
    assert annotations[f"{ALB}scheme"] == "internal"
    assert annotations[f"{ALB}subnets"] == "subnet-1,subnet-2"
    assert annotations[f"{ALB}inbound-cidrs"] == "10.0.0.0/8,2001:db8::/32"
    assert annotations[f"{ALB}wafv2-acl-arn"] == web_acl
    assert annotations[f"{ALB}certificate-arn"] == CERTIFICATE
    assert annotations[f"{ALB}tags"] == "Application=pillarbox,Environment=dev,Team=mail,Cost Centre=4711"
    attributes = dict(pair.split("=") for pair in annotations[f"{ALB}load-balancer-attributes"].split(","))
    assert attributes == {
        "idle_timeout.timeout_seconds": "60",
        "routing.http.drop_invalid_header_fields.enabled": "true",
        "deletion_protection.enabled": "true",
        "access_logs.s3.enabled": "true",
        "access_logs.s3.bucket": "logs.example.com",
        "access_logs.s3.prefix": "pillarbox-dev",
    }
    assert ingress["spec"]["rules"][0]["host"] == "mail.example.com"


def test_what_is_switched_off_is_named_since_the_controller_keeps_what_is_not(cluster: Stage) -> None:
    annotations = one("Ingress", "service1-api", rendered(cluster, ""))["metadata"]["annotations"]
    attributes = annotations[f"{ALB}load-balancer-attributes"].split(",")
    assert {"deletion_protection.enabled=false", "access_logs.s3.enabled=false"} <= set(attributes)


def test_the_numbers_are_those_of_the_file(cluster: Stage) -> None:
    text = """API_MIN_REPLICAS=3
API_MAX_REPLICAS=30
CONSUMER_MIN_REPLICAS=4
CONSUMER_MAX_REPLICAS=40
KEDA_QUEUE_LENGTH=500
KEDA_FALLBACK_REPLICAS=5
FILE_INTAKE_MIN_REPLICAS=3
FILE_INTAKE_MAX_REPLICAS=33
FILE_INTAKE_QUEUE_LENGTH=7
PROGRESS_DEADLINE_SECONDS=600
PLATFORMS=linux/arm64
"""
    manifests = rendered(cluster, text)
    api = one("HorizontalPodAutoscaler", "service1-api", manifests)["spec"]
    assert (api["minReplicas"], api["maxReplicas"]) == (3, 30)
    consumer = one("ScaledObject", "service2-consumer", manifests)["spec"]
    assert (consumer["minReplicaCount"], consumer["maxReplicaCount"]) == (4, 40)
    assert consumer["fallback"]["replicas"] == 5
    assert consumer["triggers"][0]["metadata"]["queueLength"] == "500"
    files = one("ScaledObject", "file-intake", manifests)["spec"]
    assert (files["minReplicaCount"], files["maxReplicaCount"]) == (3, 33)
    assert files["triggers"][0]["metadata"]["queueLength"] == "7"
    for name in WORKLOADS:
        spec = one("Deployment", name, manifests)["spec"]
        assert spec["progressDeadlineSeconds"] == 600
        affinity = spec["template"]["spec"]["affinity"]["nodeAffinity"]
        (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        assert term["matchExpressions"] == [{"key": "kubernetes.io/arch", "operator": "In", "values": ["arm64"]}]
    fixed = rendered(cluster, f"{text}COMPONENTS=fixed-replicas\n")
    assert one("Deployment", "service2-consumer", fixed)["spec"]["replicas"] == 4
    assert one("Deployment", "file-intake", fixed)["spec"]["replicas"] == 3


@pytest.mark.parametrize(("overlay", "least"), [("dev", 0), ("prod", 1)])
def test_production_keeps_one_consumer_unless_its_file_says_otherwise(cluster: Stage, overlay: str, least: int) -> None:
    manifests = rendered(cluster, f"OVERLAY={overlay}\n{HTTPS}", "live")
    assert one("ScaledObject", "service2-consumer", manifests)["spec"]["minReplicaCount"] == least
    assert one("ScaledObject", "file-intake", manifests)["spec"]["minReplicaCount"] == 0


def settings_maps(manifests: list[Manifest]) -> dict[str, dict[str, str]]:
    """Return the settings of each workload by name."""
    maps = [m for m in manifests if m["kind"] == "ConfigMap"]
    return {m["metadata"]["name"].partition("-settings-")[0]: m["data"] for m in maps}


def test_file_intake_runs_the_consumer_s_image_with_settings_of_its_own(cluster: Stage) -> None:
    manifests = rendered(cluster, "LOG_LEVEL=WARNING\nFILE_INTAKE_SETTING_LANES=4\n")
    (files,) = one("Deployment", "file-intake", manifests)["spec"]["template"]["spec"]["containers"]
    (emails,) = one("Deployment", "service2-consumer", manifests)["spec"]["template"]["spec"]["containers"]
    assert files["image"] == emails["image"]
    assert files["image"].endswith("/pillarbox/service2-consumer:v1")
    maps = settings_maps(manifests)
    assert (maps["file-intake"]["INTAKE"], maps["file-intake"]["LOG_LEVEL"]) == ("files", "WARNING")
    assert (maps["file-intake"]["LANES"], maps["service2-consumer"]["LANES"]) == ("4", "2")
    assert "INTAKE" not in maps["service2-consumer"]


def test_how_the_archive_looks_is_said_once_and_what_the_consumer_does_is_its_own(cluster: Stage) -> None:
    text = """CONSUMER_SETTING_S3_KEY_TEMPLATE={prefix}{message_id}.json
CONSUMER_SETTING_OBJECT_LAYOUT=batch
CONSUMER_SETTING_BATCH_MAX_SECONDS=10
CONSUMER_SETTING_LANES=3
FILE_INTAKE_SETTING_BATCH_MAX_SECONDS=20
"""
    files = settings_maps(rendered(cluster, text))["file-intake"]
    assert files["S3_KEY_TEMPLATE"] == "{prefix}{message_id}.json"
    assert files["OBJECT_LAYOUT"] == "batch"
    assert files["BATCH_MAX_SECONDS"] == "20"
    assert files["LANES"] == "2"


def test_a_setting_goes_into_the_service_s_settings_as_it_stands(cluster: Stage) -> None:
    text = """LOG_LEVEL=WARNING
API_SETTING_RATE_LIMIT=100/minute
API_SETTING_TRUSTED_PROXY_HOPS=2
CONSUMER_SETTING_S3_KEY_TEMPLATE={prefix}{date:%Y/%m/%d/%H}/"{message_id}".json
"""
    maps = settings_maps(rendered(cluster, text))
    api, consumer = maps["service1-api"], maps["service2-consumer"]
    assert (api["RATE_LIMIT"], api["TRUSTED_PROXY_HOPS"], api["LOG_LEVEL"]) == ("100/minute", "2", "WARNING")
    assert consumer["S3_KEY_TEMPLATE"] == '{prefix}{date:%Y/%m/%d/%H}/"{message_id}".json'
    assert consumer["LOG_LEVEL"] == "WARNING"


STATUS_SETTINGS = """
output() { echo "${OUTPUTS[$1]}"; }
source infrastructure/deploy/environment.sh
source infrastructure/deploy/manifests.sh
declare -A OUTPUTS=([ObjectPrefix]=emails/)
SETTINGS=([CONSUMER_SETTING_S3_KEY_TEMPLATE]='{prefix}"{message_id}"' [CONSUMER_SETTING_OBJECT_LAYOUT]=batch
  [CONSUMER_SETTING_OBJECT_COMPRESSION]=gzip)
status_settings
OUTPUTS[StatusBucketName]=archive
status_settings
"""


def test_the_status_route_knows_the_archive_as_the_consumer_writes_it_where_the_stack_allows_it() -> None:
    done = subprocess.run(["bash", "-euc", STATUS_SETTINGS], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "STATUS_BUCKET=archive",
        "STATUS_PREFIX=emails/",
        "STATUS_OBJECT_LAYOUT=batch",
        'STATUS_KEY_TEMPLATE={prefix}"{message_id}"',
    ]


def test_the_monitors_bear_the_label_that_prometheus_selects_by(cluster: Stage) -> None:
    text = "COMPONENTS=service-monitor\nPROMETHEUS_RELEASE=kube-prometheus-stack\nPROMETHEUS_NAMESPACE=observability\n"
    manifests = rendered(cluster, text)
    monitors = {"service1-api": "ServiceMonitor", "service2-consumer": "PodMonitor", "file-intake": "PodMonitor"}
    for name, kind in monitors.items():
        assert one(kind, name, manifests)["metadata"]["labels"]["release"] == "kube-prometheus-stack"
    policies = [m for m in manifests if m["metadata"]["name"] == "metrics"]
    assert len(policies) == 2
    for policy in policies:
        (source,) = policy["spec"]["ingress"][0]["from"]
        assert source["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "observability"}


def test_the_rules_bear_the_label_that_prometheus_selects_by_and_lead_to_the_runbook(cluster: Stage) -> None:
    runbook = "https://git.example.com/mail/pillarbox/docs/operations.md"
    text = f"COMPONENTS=monitoring\nPROMETHEUS_RELEASE=kube-prometheus-stack\nRUNBOOK_URL={runbook}\n"
    manifests = rendered(cluster, text)
    rule = one("PrometheusRule", "pillarbox", manifests)
    assert rule["metadata"]["labels"]["release"] == "kube-prometheus-stack"
    alerts = [rule for group in rule["spec"]["groups"] for rule in group["rules"] if "alert" in rule]
    assert alerts
    for alert in alerts:
        assert alert["annotations"]["runbook_url"] == f"{runbook}#{alert['alert'].lower()}"
    for text in one("ConfigMap", "pillarbox-dashboards", manifests)["data"].values():
        (constant,) = (v for v in json.loads(text)["templating"]["list"] if v["name"] == "runbook")
        assert constant["query"] == runbook


def test_without_an_address_of_the_runbook_alerts_name_its_path(cluster: Stage) -> None:
    rule = one("PrometheusRule", "pillarbox", rendered(cluster, "COMPONENTS=monitoring\n"))
    assert "release" not in rule["metadata"]["labels"]
    (first, *_) = (rule for group in rule["spec"]["groups"] for rule in group["rules"] if "alert" in rule)
    assert first["annotations"]["runbook_url"] == f"docs/operations.md#{first['alert'].lower()}"


@pytest.mark.parametrize("tag", ["1e3", "true", "0x1f", "null", "4f0c9d1"])
def test_an_odd_tag_stays_text(cluster: Stage, tag: str) -> None:
    manifests = documents(cluster.render(tag).read_text())
    deployment = one("Deployment", "service1-api", manifests)
    assert deployment["metadata"]["labels"]["app.kubernetes.io/version"] == tag
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"].endswith(f"/service1-api:{tag}")
