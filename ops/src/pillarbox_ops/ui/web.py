"""The Flask app of the page: its views, its filters, and what an error looks like."""

import logging
from urllib.parse import quote

from flask import Flask, render_template, request
from werkzeug.exceptions import HTTPException

from pillarbox_ops.attachments import attachments_of
from pillarbox_ops.errors import OpsError, explained, kind_and_place
from pillarbox_ops.ui import text
from pillarbox_ops.ui.access import Access, guard
from pillarbox_ops.ui.services import Services
from pillarbox_ops.ui.views_archive import archive_views
from pillarbox_ops.ui.views_email import email_views
from pillarbox_ops.ui.views_more import more_views
from pillarbox_ops.ui.views_queues import queue_views

MAX_FORM_BYTES = 2 * 1024 * 1024
_log = logging.getLogger(__name__)


def create_app(services: Services, access: Access) -> Flask:
    """Return the app."""
    app = Flask(__name__)
    app.config.update(MAX_CONTENT_LENGTH=MAX_FORM_BYTES, MAX_FORM_MEMORY_SIZE=MAX_FORM_BYTES)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    for name in ("visible", "line", "plain", "snippet", "size", "count", "stamp", "age", "plural", "pretty", "who"):
        app.jinja_env.filters[name] = getattr(text, name)
    app.jinja_env.filters["attachments_of"] = attachments_of
    app.jinja_env.filters["quoted"] = lambda value: quote(str(value), safe="")
    app.jinja_env.globals.update(target=services.target, now=services.now)
    guard(app, access)
    for views in (archive_views, email_views, queue_views, more_views):
        app.register_blueprint(views(services))
    app.register_error_handler(OpsError, _known)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unknown)
    return app


def _page(status: int, title: str, detail: str) -> tuple[str, int]:
    template = "problem_part.html" if "part" in request.args else "problem.html"
    return render_template(template, title=title, detail=detail), status


def _known(error: OpsError) -> tuple[str, int]:
    return _page(502, "The request failed", str(error))


def _http(error: HTTPException) -> tuple[str, int]:
    details = {404: "There is no such page.", 413: "The form is larger than 2 MiB."}
    return _page(error.code or 500, error.name, details.get(error.code or 0, "Go back and try again."))


def _unknown(error: Exception) -> tuple[str, int]:
    """Show what AWS refused. Of a defect only its kind and location are logged: its text may quote an e-mail."""
    known = explained(error)
    if known:
        return _page(502, "The request failed", known)
    _log.error("defect: %s", kind_and_place(error))
    return _page(500, "A defect of this program", f"{type(error).__name__}; its location is in the log.")
