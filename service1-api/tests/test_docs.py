"""The OpenAPI document compared with the application, and the page that renders it."""

import dataclasses
import importlib
import json
import re
from collections.abc import Iterator
from importlib.metadata import version
from types import ModuleType
from typing import Any

import pytest
from flask.testing import FlaskClient

from pillarbox.ids import new_message_id
from pillarbox.message import Email, field_problems
from service1_api import SERVICE as SERVICE_NAME
from service1_api.messages import ACCEPTED, MAX_ITEMS
from service1_api.problems import PROBLEMS

from .aws_stub import AwsStub
from .conftest import Service
from .fakes import TOKEN
from .server import SERVICE, running

DOCUMENT = json.loads((SERVICE / "src/service1_api/static/openapi.json").read_bytes())
SCHEMAS = DOCUMENT["components"]["schemas"]
PARAMETER = re.compile(r"<(\w+)>")


def test_document_is_valid_openapi_3_1() -> None:
    validator = importlib.import_module("openapi_spec_validator")  # here, as it costs each worker a quarter of a second
    validator.OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_document_describes_exactly_the_routes(service: Service) -> None:
    routes = {
        (PARAMETER.sub(r"{\1}", rule.rule), method.lower())
        for rule in service.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {(path, method) for path, item in DOCUMENT["paths"].items() for method in item}
    assert described == routes


def test_document_describes_every_problem_of_a_post() -> None:
    statuses = {kind.status for kind in PROBLEMS.values()} - {404, 405, 414, 501}  # another route, another request
    responses = DOCUMENT["paths"]["/api/message"]["post"]["responses"]
    assert {int(status) for status in responses} - {200} == statuses


def test_document_lists_exactly_the_problems_of_the_service() -> None:
    expected = [{"code": code} | dataclasses.asdict(kind) for code, kind in PROBLEMS.items()]
    assert DOCUMENT["x-problems"] == expected
    assert SCHEMAS["Problem"]["properties"]["code"]["enum"] == list(PROBLEMS)


# Problems that only the route of an e-mail's status has.
OF_THE_STATUS = {"invalid_message_id", "not_archived", "status_unavailable"}
NOT_OF_THE_STATUS = {"invalid_json", "invalid_data", "invalid_idempotency_key", "queue_unavailable"}


@pytest.mark.parametrize("path", DOCUMENT["paths"])
def test_problem_response_names_the_codes_of_its_status(path: str) -> None:
    others = NOT_OF_THE_STATUS if path == "/api/messages/{message_id}" else OF_THE_STATUS
    for operation in DOCUMENT["paths"][path].values():
        for status, response in operation["responses"].items():
            if "application/problem+json" in response["content"]:
                codes = [code for code, kind in PROBLEMS.items() if kind.status == int(status) and code not in others]
                assert response["description"] == " or ".join(f"`{code}`" for code in codes)


def test_document_describes_every_problem_of_a_status() -> None:
    responses = DOCUMENT["paths"]["/api/messages/{message_id}"]["get"]["responses"]
    statuses = {kind.status for code, kind in PROBLEMS.items() if code not in NOT_OF_THE_STATUS}
    # Problems of bodies and of malformed requests are described only for the routes that they concern.
    assert {int(status) for status in responses} - {200} == statuses - {405, 408, 413, 414, 415, 417, 431}


def test_schemas_match_the_model_and_the_limits() -> None:
    assert SCHEMAS["Email"] == Email.model_json_schema()
    data = SCHEMAS["MessagesRequest"]["properties"]["data"]
    assert (data["minItems"], data["maxItems"]) == (1, MAX_ITEMS)
    assert SCHEMAS["Accepted"]["properties"]["message"]["const"] == ACCEPTED
    assert SCHEMAS["Health"]["properties"]["service"]["const"] == SERVICE_NAME


def test_version_matches_the_package() -> None:
    assert DOCUMENT["info"]["version"] == version(SERVICE_NAME)


def test_examples_match_the_contract() -> None:
    posts = [item["post"] for item in DOCUMENT["paths"].values() if "post" in item]
    examples = [post["requestBody"]["content"]["application/json"]["example"]["data"] for post in posts]
    emails = [email for data in examples for email in (data if isinstance(data, list) else [data])]
    assert len(emails) == 3
    assert [field_problems(email) for email in emails] == [[], [], []]


def test_problem_has_only_documented_members(service: Service) -> None:
    described = SCHEMAS["Problem"]
    for path, data in (("/api/message", {"email_subject": 7}), ("/api/messages", [{}])):
        problem = service.client.post(path, json={"data": data, "token": TOKEN}).get_json()
        assert set(described["required"]) <= set(problem) <= set(described["properties"])


@pytest.mark.parametrize("form", ["{}", '"{}"'])
def test_idempotency_key_pattern_is_that_of_a_uuidv7(form: str) -> None:
    pattern = re.compile(DOCUMENT["components"]["parameters"]["idempotency_key"]["schema"]["pattern"])
    assert pattern.search(form.format(new_message_id()))
    assert pattern.search(form.format(new_message_id().upper()))
    assert not pattern.search(form.format("00000000-0000-4000-8000-000000000000"))
    assert not pattern.search(form.format(new_message_id()) + "0")


def test_only_the_routes_of_emails_require_a_token() -> None:
    paths = DOCUMENT["paths"]
    secured = {path for path, item in paths.items() if "get" in item and item["get"]["security"]}
    assert secured == {"/api/messages/{message_id}"}
    assert {bool(item["post"]["security"]) for item in paths.values() if "post" in item} == {True}


def test_document_is_served(client: FlaskClient) -> None:
    assert client.get("/openapi.json").get_json() == DOCUMENT


def test_page_loads_nothing_from_other_hosts(client: FlaskClient) -> None:
    page = client.get("/docs")
    assert page.mimetype == "text/html"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assets = re.findall(r'(?:src|href)="(/[^"]+)"', page.text)
    assert {client.get(asset).status_code for asset in assets} == {200}
    for asset in [*assets, "/docs"]:
        assert "//" not in re.sub(r"^\s*//.*$", "", client.get(asset).text, flags=re.MULTILINE)


def test_unknown_asset_is_404(client: FlaskClient) -> None:
    assert client.get("/docs/other.js").get_json()["code"] == "not_found"


OPERATIONS = [(path, method) for path, item in DOCUMENT["paths"].items() for method in item]


@pytest.fixture(scope="module")
def conformance() -> ModuleType:
    return importlib.import_module(".conformance", __package__)


@pytest.fixture(scope="module")
def application_schema(conformance: ModuleType) -> Any:
    return conformance.application_schema()


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_responses_conform_to_the_document(
    conformance: ModuleType, application_schema: Any, path: str, method: str
) -> None:
    conformance.check_operation(application_schema, path, method)


@pytest.fixture(scope="module")
def service_schema(conformance: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    aws = AwsStub()
    settings = {"STATUS_BUCKET": "archive", "PUBLISH_DEADLINE_SECONDS": "60"}  # a busy machine may delay each answer
    with running(aws, tmp_path_factory.mktemp("api"), ready=True, **settings) as process:
        yield conformance.service_schema(process.port)
    aws.close()


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_running_service_conforms_to_the_document(
    conformance: ModuleType, service_schema: Any, path: str, method: str
) -> None:
    conformance.check_operation_at_random(service_schema, path, method)
