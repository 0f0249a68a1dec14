"""The OpenAPI document against the application it describes, and the page that renders it."""

import re
from typing import Any

import schemathesis
from flask.testing import FlaskClient
from hypothesis import HealthCheck, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.checks import CHECKS

from pillarbox.message import field_problems
from service1_api.errors import PROBLEMS
from service1_api.openapi import EXAMPLE_EMAIL, openapi_document

from .conftest import Service
from .fakes import TOKEN

PARAMETER = re.compile(r"<(\w+)>")


def test_the_document_is_valid_openapi_3_1() -> None:
    OpenAPIV31SpecValidator(openapi_document()).validate()


def test_every_route_is_described_and_no_other(service: Service) -> None:
    routes = {
        (PARAMETER.sub(r"{\1}", rule.rule), method.lower())
        for rule in service.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {(path, method) for path, item in openapi_document()["paths"].items() for method in item}
    assert described == routes


def test_every_problem_that_a_post_can_meet_is_described() -> None:
    statuses = {kind.status for kind in PROBLEMS.values()} - {404, 405, 414}  # another route, another request
    responses = openapi_document()["paths"]["/api/message"]["post"]["responses"]
    assert {int(status) for status in responses} - {200} == statuses


def test_the_example_keeps_the_contract(client: FlaskClient) -> None:
    assert field_problems(dict(EXAMPLE_EMAIL)) == []


def test_the_document_is_served(client: FlaskClient) -> None:
    assert client.get("/openapi.json").get_json() == openapi_document()


def test_the_page_loads_nothing_from_elsewhere(client: FlaskClient) -> None:
    page = client.get("/docs")
    assert page.mimetype == "text/html"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assets = re.findall(r'(?:src|href)="(/[^"]+)"', page.text)
    assert {client.get(asset).status_code for asset in assets} == {200}
    for asset in [*assets, "/docs"]:
        assert "//" not in re.sub(r"^\s*//.*$", "", client.get(asset).text, flags=re.MULTILINE)


def test_an_asset_that_does_not_exist_is_404(client: FlaskClient) -> None:
    assert client.get("/docs/other.js").get_json()["code"] == "not_found"


def _schema() -> Any:
    service = Service()
    service.tokens.valid = {TOKEN}
    return schemathesis.openapi.from_wsgi("/openapi.json", service.app)


api = _schema()
# The others hold the document against ideas of what it ought to say: that every 4xx body is impossible in it, say.
CONFORMANCE = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    ]
)


@api.parametrize()  # type: ignore[untyped-decorator]
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_api_answers_as_its_document_says(case: Any) -> None:
    case.headers["Authorization"] = f"Bearer {TOKEN}"
    response = case.call()
    assert response.status_code < 500
    case.validate_response(response, checks=CONFORMANCE)
