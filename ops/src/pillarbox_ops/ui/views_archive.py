"""The archive by day, and search."""

from datetime import UTC, date, datetime, timedelta

from flask import Blueprint, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from pillarbox_ops.search import parse_words
from pillarbox_ops.ui import finding
from pillarbox_ops.ui.emails import PAGE, Row
from pillarbox_ops.ui.services import Services

_NEAREST_DAYS = 96  # that are looked through for one with e-mails
_YEARS = range(2000, 2101)


def archive_views(services: Services) -> Blueprint:
    """Return the views."""
    views = Blueprint("archive", __name__)

    @views.get("/")
    def home() -> Response:
        return redirect(url_for("archive.day", day=services.now().date().isoformat()))

    @views.get("/day")
    def chosen() -> Response:
        return redirect(url_for("archive.day", day=_date(request.args.get("day", "")).isoformat()))

    @views.get("/day/<day>")
    def day(day: str) -> str:
        page = _page(services, _date(day), request.args)
        return render_template("part_rows.html" if "part" in request.args else "day.html", **page)

    @views.get("/day/<day>/<any(earlier,later):direction>")
    def nearest(day: str, direction: str) -> Response:
        step = 1 if direction == "later" else -1
        found = services.emails.days.nearest(_date(day), step, _NEAREST_DAYS)
        if found:
            return redirect(url_for("archive.day", day=found.isoformat()))
        return redirect(url_for("archive.day", day=day, missed=direction))

    @views.get("/search")
    def search() -> tuple[str, int]:
        words, now = request.args.get("q", "").strip(), services.now()
        if not words:
            return render_template("search.html", words="", found=None, error="", span=None), 200
        try:
            query = parse_words(words, now)
            span = query.span(now)
            before = _time(request.args.get("before"))
            found = finding.find(services.emails, query, now, before)
        except ValueError as exc:
            return render_template("search.html", words=words, found=None, error=str(exc), span=None), 400
        return render_template("search.html", words=words, found=found, error="", span=span), 200

    return views


def _page(services: Services, day: date, args: dict[str, str]) -> dict[str, object]:
    """Return what the page of a day shows: up to 50 rows from a row on, and whether there are more on either side."""
    emails = services.emails
    before, after = args.get("before", ""), args.get("after", "")
    number = _number(args.get("n", "0"))
    rows = emails.newer(day, after, number) if after else emails.older(day, before, number)
    first, last = (rows[0], rows[-1]) if rows else (None, None)
    today = services.now().date()
    return {
        "day": day,
        "rows": rows,
        "objects": len(emails.entries(day)),
        "is_newest": not before and not after,
        "newer": first if first and (before or after) and _any(emails.newer(day, *_place(first), limit=1)) else None,
        "older": last if last and len(rows) >= PAGE and _any(emails.older(day, *_place(last), limit=1)) else None,
        "today": today,
        "yesterday": day - timedelta(days=1),
        "tomorrow": day + timedelta(days=1),
        "missed": args.get("missed"),
        "nearest_days": _NEAREST_DAYS,
    }


def _place(row: Row) -> tuple[str, int]:
    return row.stored.key, row.number


def _any(rows: list[Row]) -> bool:
    return bool(rows)


def _date(text: str) -> date:
    """Return a day of an address; what is none, or of a year that no archive has, is not found."""
    try:
        found = date.fromisoformat(text)
    except ValueError:
        abort(404)
    return found if found.year in _YEARS else abort(404)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0


def _time(text: str | None) -> datetime | None:
    """Return a time of an address of this page, in UTC. Raise ValueError."""
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
