"""Sends one e-mail through the API, as a client does."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import urllib3

from pillarbox_ops.errors import OpsError

FIELDS = ("email_sender", "email_subject", "email_content")  # of a form
_TIMEOUT_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """The API's answer: the id of an accepted e-mail, or the problems by field; those of the whole have no name."""

    message_id: str = ""
    problems: Mapping[str, str] | None = None


def post(api_url: str, token: str, fields: Mapping[str, str], message_id: str) -> Answer:
    """Send an e-mail; equal fields under an equal UUIDv7 are stored once.

    Raise OpsError if no answer comes or it is none of the API's.
    """
    http = urllib3.PoolManager(timeout=urllib3.Timeout(_TIMEOUT_SECONDS), retries=False)
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {token}",
        "Idempotency-Key": f'"{message_id}"',
    }
    try:
        answer = http.request(
            "POST", f"{api_url.rstrip('/')}/api/message", body=json.dumps({"data": dict(fields)}), headers=headers
        )
        found = json.loads(answer.data)
    except (urllib3.exceptions.HTTPError, ValueError):
        raise OpsError(f"the API at {api_url} does not answer: is it running, and is API_URL right?") from None
    if not isinstance(found, dict):
        raise OpsError(f"what answers at {api_url} is not the API")
    if answer.status == 200:
        return Answer(message_id=str(found.get("message_id", "")))
    return Answer(problems=_problems(answer.status, found))


def _problems(status: int, document: Mapping[str, Any]) -> dict[str, str]:
    """Return the problems of an RFC 9457 document, each under the field that it names."""
    errors = document.get("errors")
    named: dict[str, str] = {}
    for error in errors if isinstance(errors, list) else []:
        if isinstance(error, dict):
            name = str(error.get("pointer", "")).rpartition("/")[2]
            known = name in FIELDS
            named[name if known else ""] = str(error.get("detail", "")) if known else f"{name}: {error.get('detail')}"
    text = document.get("detail") or document.get("title") or f"status {status}"
    return named or {"": f"{text} ({document.get('code', status)})"}
