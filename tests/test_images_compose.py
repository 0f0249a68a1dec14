"""compose.yaml agrees with the services and images: names, settings, hardening."""

from typing import Any

import pytest
import yaml

from common.testing.emulator import ACCOUNT_ID, ROOT
from local_stack.provision import STACK_NAME
from service1_api.settings import Settings as ApiSettings
from service2_consumer.settings import Settings as ConsumerSettings

COMPOSE = yaml.load((ROOT / "compose.yaml").read_text(), yaml.CSafeLoader)
SERVICES = ("service1-api", "service2-consumer")
REGION = COMPOSE["x-aws"]["AWS_REGION"]


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = COMPOSE["services"][name]
    return found


@pytest.mark.parametrize("name", SERVICES)
def test_the_services_use_the_queue_and_the_bucket_that_the_stack_makes(name: str) -> None:
    environment = service(name)["environment"]
    assert environment["SQS_QUEUE_URL"] == f"{environment['AWS_ENDPOINT_URL']}/{ACCOUNT_ID}/{STACK_NAME}-emails"
    bucket = environment.get("S3_BUCKET_NAME")
    assert bucket == (f"{STACK_NAME}-archive-{ACCOUNT_ID}-{REGION}" if name == "service2-consumer" else None)


@pytest.mark.parametrize(("name", "model"), [("service1-api", ApiSettings), ("service2-consumer", ConsumerSettings)])
def test_each_variable_is_one_that_is_read(name: str, model: Any) -> None:
    aliases = [field.validation_alias for field in model.model_fields.values()]
    known = {alias for each in aliases for alias in ([each] if isinstance(each, str) else each.choices)}
    assert set(service(name)["environment"]) <= known | set(COMPOSE["x-aws"])


@pytest.mark.parametrize("name", SERVICES)
def test_the_containers_are_as_hardened_as_the_pods(name: str) -> None:
    assert service(name)["read_only"] is True
    assert service(name)["cap_drop"] == ["ALL"]
    assert service(name)["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", [*SERVICES, "emulator"])
def test_a_port_is_published_on_this_machine_alone(name: str) -> None:
    assert [port.rsplit(":", 2)[0] for port in service(name)["ports"]] == ["127.0.0.1"]


def test_nothing_starts_before_what_it_needs() -> None:
    assert service("stack")["depends_on"] == {"emulator": {"condition": "service_healthy"}}
    for name in SERVICES:
        assert service(name)["depends_on"] == {"stack": {"condition": "service_completed_successfully"}}


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_no_image_is_looked_up_in_a_public_registry(name: str) -> None:
    assert service(name)["image"].startswith("localhost/")
    assert service(name)["pull_policy"] == ("never" if name == "stack" else "build")


def test_what_is_never_pulled_is_built_by_another_service() -> None:
    assert service("stack")["image"] == service("emulator")["image"]
    assert "build" in service("emulator")


@pytest.mark.parametrize("name", [*SERVICES, "emulator"])
def test_the_base_image_can_be_pinned(name: str) -> None:
    assert service(name)["build"]["args"] == {"BASE_IMAGE": "${BASE_IMAGE:-python:3.13-slim-trixie}"}
