"""The manifests agree with each other and with the services: paths, names, numbers and permissions."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from common.testing.emulator import ROOT
from e2e_test.e2e_http import request
from pillarbox_otel.sdk import CLOSE_SECONDS
from service1_api.app import create_app
from service1_api.metrics import Metrics as ApiMetrics
from service1_api.settings import Settings as ApiSettings
from service2_consumer.health import HealthServer
from service2_consumer.metrics import Metrics as ConsumerMetrics
from service2_consumer.settings import SPOT_NOTICE_SECONDS, SQS_CALL_SECONDS
from service2_consumer.settings import Settings as ConsumerSettings
from tests.deploy.manifests import (
    IMAGES,
    K8S,
    WORKLOADS,
    base,
    container_of,
    namespace_of,
    one,
    pod_of,
    settings_of,
)
from tests.test_infrastructure_template import TemplateLoader

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
INTERNAL_ROUTES = {"/ready", "/metrics"}
FILLED_IN = {  # the values with which deploy.sh replaces the placeholders
    "AWS_REGION": "eu-west-1",
    "SQS_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/pillarbox-prod-emails",
    "INBOX_BUCKET_NAME": "pillarbox-prod-inbox-123456789012-eu-west-1",
    "S3_BUCKET_NAME": "pillarbox-prod-archive-123456789012-eu-west-1",
}


def gunicorn_setting(name: str) -> int:
    text = (ROOT / "service1-api/gunicorn.conf.py").read_text()
    (value,) = re.findall(rf"^(?: +{name}=|{name} = )(\d+)", text, re.MULTILINE)
    return int(value)


def parameters() -> dict[str, Any]:
    # A subclass of SafeLoader, which creates only plain values.
    template = yaml.load((ROOT / "infrastructure/pipeline.yaml").read_text(), TemplateLoader)  # noqa: S506
    return {name: parameter["Default"] for name, parameter in template["Parameters"].items()}


@pytest.fixture
def complete_environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the environment of a container of the service that the parameter names."""
    settings = settings_of(request.param)
    filled = {name: FILLED_IN[name] for name, value in settings.items() if value == "placeholder"}
    for name, value in (settings | filled).items():
        monkeypatch.setenv(name, value)


# ---- routes and probes -----------------------------------------------------------------------------------------------


def api_routes() -> set[str]:
    unused: Any = None  # no request is made
    app = create_app(
        tokens=unused,
        publisher=unused,
        metrics=ApiMetrics(CollectorRegistry()),
        metrics_registry=CollectorRegistry,
        draining=lambda: False,
        max_request_bytes=1024,
        max_requests_in_flight=1,
    )
    return {rule.rule for rule in app.url_map.iter_rules()}


class IdleConsumer:
    alive = True
    ready = True
    last_poll_at: datetime | None = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def consumer_url() -> Iterator[str]:
    server = HealthServer("127.0.0.1", 0, IdleConsumer(), ConsumerMetrics(CollectorRegistry()))
    yield f"http://127.0.0.1:{server.port}"
    server.close()


@pytest.mark.parametrize("probe", PROBES)
def test_the_api_answers_the_path_of_each_probe(probe: str) -> None:
    assert container_of("service1-api")[probe]["httpGet"]["path"] in api_routes()


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("service", ["service2-consumer", "file-intake"])
def test_the_consumer_answers_the_path_of_each_probe(service: str, probe: str, consumer_url: str) -> None:
    assert request(consumer_url + container_of(service)[probe]["httpGet"]["path"]).status == 200


@pytest.mark.parametrize("service", WORKLOADS)
def test_liveness_asks_whether_it_is_alive_and_readiness_whether_it_can_work(service: str) -> None:
    container = container_of(service)
    assert container["livenessProbe"]["httpGet"]["path"] == "/health"
    assert container["livenessProbe"]["periodSeconds"] == 10
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
    assert container["readinessProbe"]["periodSeconds"] == 5
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] == 30


def test_the_load_balancer_routes_each_public_route_and_no_other() -> None:
    paths = one("Ingress", "service1-api")["spec"]["rules"][0]["http"]["paths"]
    exact = {path["path"] for path in paths if path["pathType"] == "Exact"}
    prefixes = {path["path"] for path in paths if path["pathType"] == "Prefix"}

    def routed(route: str) -> bool:
        return route in exact or any(route == prefix or route.startswith(f"{prefix}/") for prefix in prefixes)

    assert {route for route in api_routes() if not routed(route)} == INTERNAL_ROUTES
    assert exact <= api_routes()


def test_the_load_balancer_asks_a_route_that_exists_and_reaches_pods_directly() -> None:
    annotations = one("Ingress", "service1-api")["metadata"]["annotations"]
    assert annotations["alb.ingress.kubernetes.io/healthcheck-path"] == "/health"
    assert annotations["alb.ingress.kubernetes.io/target-type"] == "ip"


def test_the_load_balancer_closes_idle_connections_before_the_api_does() -> None:
    attributes = one("Ingress", "service1-api")["metadata"]["annotations"][
        "alb.ingress.kubernetes.io/load-balancer-attributes"
    ]
    (idle_seconds,) = re.findall(r"idle_timeout\.timeout_seconds=(\d+)", attributes)
    assert int(idle_seconds) < gunicorn_setting("keepalive_seconds")


# ---- settings and timings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", WORKLOADS)
def test_a_pod_gets_the_settings_of_its_own_service(service: str) -> None:
    (source,) = container_of(service)["envFrom"]
    assert source == {"configMapRef": {"name": f"{service}-settings"}}
    generators = yaml.safe_load((K8S / "base/kustomization.yaml").read_text())["configMapGenerator"]
    generator = {"name": f"{service}-settings", "namespace": namespace_of(service), "envs": [f"{service}.env"]}
    assert generator in [{name: g[name] for name in generator} for g in generators]


@pytest.mark.parametrize(
    ("service", "model"),
    [("service1-api", ApiSettings), ("service2-consumer", ConsumerSettings), ("file-intake", ConsumerSettings)],
)
def test_each_key_of_the_settings_is_one_that_the_service_reads(service: str, model: Any) -> None:
    aliases = [field.validation_alias for field in model.model_fields.values()]
    known = {name for alias in aliases for name in ([alias] if isinstance(alias, str) else alias.choices)}
    assert set(settings_of(service)) <= known


@pytest.mark.parametrize("complete_environment", ["service1-api"], indirect=True)
@pytest.mark.usefixtures("complete_environment")
def test_the_api_s_grace_period_has_room_for_its_drain_and_fits_a_spot_notice() -> None:
    settings = ApiSettings()
    grace_seconds = pod_of("service1-api")["spec"]["terminationGracePeriodSeconds"]
    stop_seconds = settings.drain_seconds + gunicorn_setting("graceful_timeout") + CLOSE_SECONDS
    assert stop_seconds < grace_seconds < SPOT_NOTICE_SECONDS


@pytest.mark.parametrize("complete_environment", ["service1-api"], indirect=True)
@pytest.mark.usefixtures("complete_environment")
def test_the_api_serves_on_while_the_load_balancer_learns_that_the_pod_leaves() -> None:
    readiness = container_of("service1-api")["readinessProbe"]
    noticed_seconds = readiness["periodSeconds"] * readiness.get("failureThreshold", 3)
    assert ApiSettings().drain_seconds > noticed_seconds


@pytest.mark.parametrize("complete_environment", ["file-intake"], indirect=True)
@pytest.mark.usefixtures("complete_environment")
def test_file_intake_s_settings_fit_together_and_its_memory_holds_what_it_reads() -> None:
    settings = ConsumerSettings()
    assert settings.intake == "files"
    limit = container_of("file-intake")["resources"]["limits"]["memory"]
    assert limit.endswith("Mi")
    # The bytes as read, the parsed parts and their records; the process itself takes about 60 MiB.
    assert 3 * settings.read_budget_bytes + 64 * 2**20 < int(limit.removesuffix("Mi")) * 2**20


@pytest.mark.parametrize("complete_environment", ["service2-consumer"], indirect=True)
@pytest.mark.usefixtures("complete_environment")
def test_the_consumer_s_grace_period_has_room_for_its_drain_and_fits_a_spot_notice() -> None:
    settings = ConsumerSettings()
    grace_seconds = pod_of("service2-consumer")["spec"]["terminationGracePeriodSeconds"]
    assert settings.drain_seconds + SQS_CALL_SECONDS + CLOSE_SECONDS < grace_seconds < SPOT_NOTICE_SECONDS


def test_file_intake_leaves_as_a_consumer_does_and_hides_files_as_long_as_their_queue() -> None:
    files, emails = settings_of("file-intake"), settings_of("service2-consumer")
    grace_seconds = {pod_of(service)["spec"]["terminationGracePeriodSeconds"] for service in IMAGES}
    assert len(grace_seconds) == 1
    assert int(files["VISIBILITY_TIMEOUT_SECONDS"]) == parameters()["FilesVisibilitySeconds"]
    assert files["S3_PREFIX"] == emails["S3_PREFIX"]
    assert (files["INTAKE"], emails.get("INTAKE")) == ("files", None)


@pytest.mark.parametrize("complete_environment", ["service2-consumer"], indirect=True)
@pytest.mark.usefixtures("complete_environment")
def test_queue_and_consumer_agree_on_the_visibility_timeout_and_the_prefix() -> None:
    settings = ConsumerSettings()
    assert settings.visibility_timeout_seconds == parameters()["VisibilityTimeoutSeconds"]
    assert settings.prefix == parameters()["ObjectPrefix"]


@pytest.mark.parametrize("service", WORKLOADS)
def test_a_pod_listens_on_the_port_that_it_declares(service: str) -> None:
    (port,) = container_of(service)["ports"]
    assert port == {"name": "http", "containerPort": int(settings_of(service)["PORT"])}


# ---- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", WORKLOADS)
def test_a_role_trusts_the_service_account_of_its_pods(service: str) -> None:
    account = pod_of(service)["spec"]["serviceAccountName"]
    assert "eks.amazonaws.com/role-arn" in one("ServiceAccount", account)["metadata"]["annotations"]
    template = (ROOT / "infrastructure/pipeline.yaml").read_text()
    assert f'"system:serviceaccount:{namespace_of(service)}:{account}"' in template


@pytest.mark.parametrize("kind", ["Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy"])
def test_each_selector_finds_the_pods_of_its_service(kind: str) -> None:
    for manifest in (manifest for manifest in base() if manifest["kind"] == kind):
        spec = manifest["spec"]
        selector = spec["podSelector"] if kind == "NetworkPolicy" else spec["selector"]
        labels = selector if kind == "Service" else selector.get("matchLabels", {})
        if labels:
            name = manifest["metadata"]["name"]
            assert labels.items() <= pod_of(name)["metadata"]["labels"].items()


@pytest.mark.parametrize("service", WORKLOADS)
def test_the_image_has_the_name_that_make_images_gives_it(service: str) -> None:
    assert container_of(service)["image"] == f"pillarbox/{IMAGES[service]}"
    assert '--tag "pillarbox/$service:$TAG"' in (ROOT / "infrastructure/build_images.sh").read_text()
