"""E-mails to send: a test e-mail, or a file, either RFC 5322 or JSON with the four fields. Pure: no I/O."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from email.utils import parsedate_to_datetime

from pillarbox import strict_json
from pillarbox.message import field_problems
from pillarbox.strict_json import JsonError, JsonValue

Email = dict[str, JsonValue]

# What the standard library's parser raises for e-mails that nobody thought of.
_UNFORESEEN = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


def sample(number: int, now: datetime) -> Email:
    """Return the test e-mail of a number."""
    return {
        "email_subject": f"Pillarbox test {number}",
        "email_sender": "pillarbox@example.com",
        "email_timestream": str(int(now.timestamp())),
        "email_content": f"Test e-mail {number}, sent by `pillarbox send` at {now:%Y-%m-%d %H:%M:%S} UTC.",
    }


def email_of_file(raw: bytes, now: datetime) -> Email:
    """Return the e-mail of a file: JSON with the four fields (or the API's request, an object with `data`), or .eml.

    `now` dates an .eml without a valid date. Raise ValueError, whose text quotes nothing of the file.
    """
    text = raw.removeprefix(b"\xef\xbb\xbf").lstrip()
    email = _json_email(text) if text.startswith(b"{") else _parsed(raw, now)
    problems = field_problems(email)
    if problems:
        raise ValueError("; ".join(f"{problem.field} {problem.text}" for problem in problems))
    return email


def _json_email(text: bytes) -> Email:
    try:
        document = strict_json.loads(text)
    except JsonError as exc:
        raise ValueError(f"the JSON {exc}") from None
    data = document.get("data", document) if isinstance(document, dict) else document
    if not isinstance(data, dict):
        raise ValueError("the JSON must be an object with the four fields of an e-mail")
    return data


def _parsed(raw: bytes, now: datetime) -> Email:
    message = message_from_bytes(raw, policy=default)
    try:
        body = message.get_body(("plain", "html"))
        email: Email = {
            "email_subject": _clean(message["subject"]),
            "email_sender": _clean(message["from"]),
            "email_timestream": str(int(_date(message, now).timestamp())),
            "email_content": _clean(body.get_content() if body else ""),
        }
        if body and body.get_content_type() == "text/html":
            email["content_type"] = "text/html"
    except _UNFORESEEN:
        raise ValueError("it cannot be read as an e-mail") from None
    return email


def _date(message: EmailMessage, now: datetime) -> datetime:
    try:
        found = parsedate_to_datetime(str(message["date"]))
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    except _UNFORESEEN:
        return now


def _clean(value: object) -> str:
    """Return text that JSON can carry: the parser keeps undecodable bytes as unpaired surrogates."""
    return str(value or "").encode(errors="replace").decode()
