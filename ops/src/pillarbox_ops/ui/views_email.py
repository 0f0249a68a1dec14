"""One e-mail: its fields, its text or HTML, its JSON, its attachments, and the other e-mails under its id."""

import json
from urllib.parse import quote

from flask import Blueprint, Response, abort, g, make_response, render_template, request

from pillarbox.ids import parse_message_id
from pillarbox.object_key import RESERVED_PREFIXES
from pillarbox_ops.attachments import attachments_of
from pillarbox_ops.errors import OpsError
from pillarbox_ops.records import ArchivedEmail, StoredObject
from pillarbox_ops.ui import text
from pillarbox_ops.ui.access import EMAIL_POLICY
from pillarbox_ops.ui.emails import Row
from pillarbox_ops.ui.file_parts import part_of
from pillarbox_ops.ui.services import Services

_VIEWS = ("text", "html", "json")


def email_views(services: Services) -> Blueprint:
    """Return the views."""
    views = Blueprint("email", __name__)

    @views.get("/email")
    def email() -> tuple[str, int]:
        row = _row(services)
        if row is None:
            return render_template("missing.html", message_id=request.args.get("id", "")), 404
        if row.email is None:
            raise OpsError(row.problem)
        return render_template("email.html", **_shown(services, row, row.email)), 200

    @views.get("/email/html")
    def html() -> Response:
        """Show the HTML alone, for the frame."""
        g.policy = EMAIL_POLICY
        return make_response(text.harmless(_email(services).content))

    @views.get("/email/record")
    def record() -> Response:
        found = _email(services)
        return _download(
            json.dumps(found.record, ensure_ascii=False).encode(errors="replace"), f"{found.message_id}.json"
        )

    @views.get("/email/attachment")
    def attachment() -> Response:
        found = _email(services)
        number, listed = request.args.get("number", ""), attachments_of(found)
        if not (number.isascii() and number.isdigit() and int(number) < len(listed)):
            abort(404)
        wanted = listed[int(number)]
        content = wanted.content if wanted.content is not None else _of_file(services, found, wanted.sha256)
        return _download(content, wanted.file_name or "attachment")

    return views


def _shown(services: Services, row: Row, email: ArchivedEmail) -> dict[str, object]:
    """Return what the page of an e-mail shows: it, the form that was asked for, and its neighbours of the day."""
    is_html = email.fields.get("content_type") == "text/html"
    wanted = request.args.get("view")
    emails, day, place = services.emails, services.emails.day_of(row), (row.stored.key, row.number)
    return {
        "row": row,
        "email": email,
        "day": day,
        "is_html": is_html,
        "shown": wanted if wanted in _VIEWS and (is_html or wanted != "html") else ("html" if is_html else "text"),
        "conflicts": _conflicts(services, email, row.stored.key),
        "newer": next(iter(emails.newer(day, *place, limit=1)), None),
        "older": next(iter(emails.older(day, *place, limit=1)), None),
    }


def _row(services: Services) -> Row | None:
    key, message_id = request.args.get("key", ""), request.args.get("id", "")
    if key:
        if not key.startswith((services.target.prefix, RESERVED_PREFIXES[0])):
            abort(404)
        return services.emails.at(key, message_id)
    try:
        email = services.emails.archive.find(parse_message_id(message_id))
    except ValueError:
        abort(404)
    return services.emails.at(email.key, email.message_id) if email else None


def _email(services: Services) -> ArchivedEmail:
    row = _row(services)
    if row is None or row.email is None:
        abort(404)
    return row.email


def _of_file(services: Services, found: ArchivedEmail, sha256: str) -> bytes:
    """Return an attachment from the file in the inbox that the e-mail came as. Raise OpsError."""
    source = found.metadata.get("source_object")
    if not isinstance(source, dict) or source.get("bucket") != services.target.inbox_bucket:
        raise OpsError("the file of this e-mail is not in the inbox that this page knows (INBOX_BUCKET_NAME)")
    raw = services.read_inbox(str(source.get("key", "")), str(source.get("version", "")))
    content = part_of(raw, sha256)
    if content is None:
        raise OpsError("the file in the inbox does not hold this attachment any more")
    return content


def _conflicts(services: Services, email: ArchivedEmail, key: str) -> list[StoredObject]:
    """Return the other e-mails under an id; the ids of foreign producers never have any."""
    try:
        message_id = parse_message_id(email.message_id)
    except ValueError:
        return []
    return [stored for stored in services.emails.archive.conflicts(message_id) if stored.key != key]


def _download(content: bytes, name: str) -> Response:
    """Return bytes that a browser saves and never shows, whatever they are."""
    g.policy = "default-src 'none'; sandbox"
    safe = "".join(c if c.isprintable() and c not in '/\\:"' else "_" for c in name)[:120]
    plain = safe.encode("ascii", "replace").decode().replace("?", "_")
    response = make_response(content)
    response.headers["Content-Type"] = "application/octet-stream"
    # RFC 6266: the second name is for browsers that know other letters than those of ASCII.
    response.headers["Content-Disposition"] = (
        f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(safe, safe='')}"
    )
    return response
