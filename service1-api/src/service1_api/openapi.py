"""The OpenAPI 3.1 document: schemas from the model, problems from their list, and the routes that the app has."""

from importlib.metadata import version
from typing import Any

from pillarbox.message import Email
from service1_api import SERVICE
from service1_api.messages import ACCEPTED, MAX_ITEMS
from service1_api.problems import PROBLEMS

EXAMPLE_EMAIL = {
    "email_subject": "Happy new year!",
    "email_sender": "John doe",
    "email_timestream": "1693561101",
    "email_content": "Just want to say... Happy new year!!!",
}
_EXAMPLE_ID = "019b0b5e-7a0c-7d3a-9d2e-3f4a5b6c7d8e"

_UUID7 = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-7[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}"
_ID = {"type": "string", "format": "uuid", "description": "UUIDv7 (RFC 9562)", "examples": [_EXAMPLE_ID]}
_POST_PROBLEMS = (400, 401, 408, 413, 415, 417, 429, 431, 500, 503)


def openapi_document() -> dict[str, Any]:
    """Give the document that /openapi.json serves."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Pillarbox API",
            "version": version(SERVICE),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "Takes e-mails and queues them for the archive. A 2xx means that the queue has the e-mail. "
            "Errors are problem details (RFC 9457) with a stable `code`.",
        },
        "paths": _paths(),
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "Or as `token` in the body"}
            },
            "parameters": {"idempotency_key": _idempotency_key(), "traceparent": _traceparent()},
        },
        "x-problems": [
            {"code": code, "status": kind.status, "title": kind.title, "remedy": kind.remedy}
            for code, kind in PROBLEMS.items()
        ],
    }


def _paths() -> dict[str, Any]:
    one: dict[str, Any] = {
        "summary": "Queue one e-mail",
        "request": "MessageRequest",
        "example": {"data": EXAMPLE_EMAIL},
        "answers": {"200": ("The queue has the e-mail", "Accepted")},
    }
    many: dict[str, Any] = {
        "summary": f"Queue 1 to {MAX_ITEMS} e-mails",
        "request": "MessagesRequest",
        "example": {"data": [EXAMPLE_EMAIL]},
        "answers": {
            "200": ("The queue has every e-mail", "BatchAnswer"),
            "207": ("The queue has some of the e-mails; `results` says which", "BatchAnswer"),
        },
    }
    return {
        "/api/message": {"post": _post("postMessage", **one)},
        "/process": {"post": _post("postProcess", **one)},
        "/api/messages": {"post": _post("postMessages", **many)},
        "/health": {"get": _get("getHealth", "Is the process alive?", {"200": ("It is", "Health")})},
        "/ready": {
            "get": _get(
                "getReady",
                "Should it get traffic?",
                {"200": ("It should", "Health"), "503": ("It is starting or draining", "Health")},
            )
        },
        "/metrics": {"get": _get("getMetrics", "Metrics for Prometheus", {"200": ("Text exposition", "text/plain")})},
        "/openapi.json": {
            "get": _get("getOpenapi", "This document", {"200": ("OpenAPI 3.1", "application/json")}),
        },
        "/docs": {"get": _get("getDocs", "A page to read and try this API", {"200": ("The page", "text/html")})},
        "/docs/{asset}": {
            "get": _get("getDocsAsset", "Script and style of the page", {"200": ("The file", "text/*")})
            | {
                "parameters": [
                    {"name": "asset", "in": "path", "required": True, "schema": {"enum": ["docs.js", "docs.css"]}}
                ]
            }
        },
    }


def _post(operation: str, *, summary: str, request: str, example: Any, answers: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": operation,
        "summary": summary,
        "security": [{"token": []}, {}],
        "parameters": [
            {"$ref": "#/components/parameters/idempotency_key"},
            {"$ref": "#/components/parameters/traceparent"},
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": f"#/components/schemas/{request}"}, "example": example}
            },
        },
        "responses": _responses(answers) | {str(status): _problem_response(status) for status in _POST_PROBLEMS},
    }


def _get(operation: str, summary: str, answers: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": operation,
        "summary": summary,
        "security": [],
        "responses": _responses(answers) | {str(status): _problem_response(status) for status in (404, 500)},
    }


def _responses(answers: dict[str, tuple[str, str]]) -> dict[str, Any]:
    """Give the answers: each a description and either the name of a schema (JSON) or a media type."""
    return {
        status: {
            "description": description,
            "content": {kind: {}}
            if "/" in kind
            else {"application/json": {"schema": {"$ref": f"#/components/schemas/{kind}"}}},
        }
        for status, (description, kind) in answers.items()
    }


def _problem_response(status: int) -> dict[str, Any]:
    codes = [code for code, kind in PROBLEMS.items() if kind.status == status]
    response: dict[str, Any] = {
        "description": " or ".join(f"`{code}`" for code in codes),
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in (429, 503):
        response["headers"] = {"Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer"}}}
    return response


def _schemas() -> dict[str, Any]:
    item = {"index": {"type": "integer"}, "status": {"enum": ["success", "error"]}, "message_id": _ID}
    results = {
        "type": "array",
        "items": _object(**item) | {"properties": item | {"problem": {"$ref": "#/components/schemas/Problem"}}},
    }
    pointer = {"type": "string", "description": "JSON pointer as a URI fragment (RFC 6901)"}
    return {
        "Email": Email.model_json_schema(),
        "MessageRequest": _request({"$ref": "#/components/schemas/Email"}),
        "MessagesRequest": _request(
            {"type": "array", "minItems": 1, "maxItems": MAX_ITEMS, "items": {"$ref": "#/components/schemas/Email"}}
        ),
        "Accepted": _object(status={"const": "success"}, message={"const": ACCEPTED}, message_id=_ID),
        "BatchAnswer": _object(status={"enum": ["success", "partial"]}, queued={"type": "integer"}, results=results),
        "Health": _object(
            status={"enum": ["healthy", "ready", "starting", "draining"]},
            service={"const": SERVICE},
            timestamp={"type": "string", "format": "date-time"},
        ),
        "FieldError": _object(pointer=pointer, code={"type": "string"}, detail={"type": "string"}),
        "Problem": _problem_schema(results),
    }


def _problem_schema(results: dict[str, Any]) -> dict[str, Any]:
    schema = _object(
        type={"type": "string", "format": "uri-reference"},
        title={"type": "string"},
        status={"type": "integer"},
        detail={"type": "string"},
        code={"enum": list(PROBLEMS)},
    )
    schema["properties"] |= {
        "trace_id": {
            "type": "string",
            "pattern": "^[0-9a-f]{32}$",
            "description": "Names the request in the logs; the items of a batch share that of the answer",
        },
        "errors": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/FieldError"},
            "description": "With `invalid_data`: one entry for each field",
        },
        "results": results | {"description": "When no e-mail of a batch was queued: one entry for each, in order"},
    }
    return schema


def _request(data: dict[str, Any]) -> dict[str, Any]:
    token = {"type": "string", "description": "The token, unless the Authorization header carries it"}
    return {"type": "object", "required": ["data"], "properties": {"data": data, "token": token}}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _idempotency_key() -> dict[str, Any]:
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "schema": {"type": "string", "pattern": f'^({_UUID7}|"{_UUID7}")$'},
        "description": "Your own UUIDv7, at most 14 days old, in quotes or not: it becomes the message id, so that "
        "repeating a request gives one object. For a batch the item ids derive from it and the position.",
    }


def _traceparent() -> dict[str, Any]:
    return {
        "name": "traceparent",
        "in": "header",
        "schema": {"type": "string"},
        "description": "W3C Trace Context; an invalid one is ignored, and without one a trace is begun",
    }
