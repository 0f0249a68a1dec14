"""`pillarbox send`: test e-mails or a file by the API."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pillarbox.strict_json import JsonValue
from pillarbox_ops.email_input import email_of_file, sample
from pillarbox_ops.errors import ExitCode, OpsError
from pillarbox_ops.options import with_app
from pillarbox_ops.output import Column
from pillarbox_ops.pace import Pace
from pillarbox_ops.sending import Api, Sent, Waiting, send_all

if TYPE_CHECKING:
    from pillarbox_ops.app import App

_COLUMNS = (
    Column("message_id", "ID", whole=True),
    Column("status", "STATUS"),
    Column("milliseconds", "ANSWER, MS", right=True),
    Column("archived_milliseconds", "ARCHIVED, MS", right=True),
    Column("problem", "PROBLEM"),
)
_MAX_FILE_BYTES = 32 * 1024 * 1024  # far above the largest request that the API takes


@click.command()
@with_app
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--sender", metavar="TEXT", help="Sender, in place of the file's or the test e-mail's.")
@click.option("--subject", metavar="TEXT", help="Subject.")
@click.option("--text", metavar="TEXT", help="Content.")
@click.option("--count", type=click.IntRange(min=1), default=1, help="Number of e-mails to send, each with its own id.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Maximum e-mails per second.")
@click.option("--wait", is_flag=True, help="Wait until each is archived.")
@click.option("--timeout", type=click.FloatRange(min=0), default=60, show_default=True, help="Seconds to wait for one.")
def send(
    app: App, *, file: Path | None, count: int, rate: float | None, wait: bool, timeout: float, **fields: str | None
) -> ExitCode:
    """Send a test e-mail, or FILE: an .eml, or JSON with the four fields.

    The token is API_TOKEN, or the first one of the SSM parameter. A lost connection and a busy API are retried with
    the same Idempotency-Key, so that no e-mail is stored twice. The exit code is 1 if none was taken (with --wait:
    archived), 4 if only some were.
    """
    api = Api(app.target.need("api_url"), app.token())
    waiting = Waiting(timeout, lambda message_id: app.archive.find(message_id) is not None) if wait else None
    results: list[bool] = []

    def rows() -> Iterator[dict[str, Any]]:
        with app.output.progress("sending", count) as progress:
            for sent in send_all(api, _emails(file, count, fields), Pace(rate), waiting):
                results.append(sent.status == ("archived" if wait else "accepted"))
                progress.advance()
                yield _row(sent)

    app.output.rows(_COLUMNS, rows())
    if all(results):
        return ExitCode.DONE
    return ExitCode.DONE_IN_PART if any(results) else ExitCode.FAILED


def _row(sent: Sent) -> dict[str, Any]:
    return {name: value for name, value in asdict(sent).items() if value not in (None, "")}


def _emails(file: Path | None, count: int, fields: dict[str, str | None]) -> Iterator[dict[str, JsonValue]]:
    """Yield the e-mails to send. Raise OpsError if the file is none."""
    now = datetime.now(UTC)
    names = {"sender": "email_sender", "subject": "email_subject", "text": "email_content"}
    changes: dict[str, JsonValue] = {names[name]: value for name, value in fields.items() if value is not None}
    given = _read(file, now) if file else None
    for number in range(1, count + 1):
        yield (given if given is not None else sample(number, now)) | changes


def _read(file: Path, now: datetime) -> dict[str, JsonValue]:
    try:
        with file.open("rb") as stream:
            raw = stream.read(_MAX_FILE_BYTES + 1)
        if len(raw) > _MAX_FILE_BYTES:
            raise OpsError(f"{file} has more than {_MAX_FILE_BYTES} bytes", ExitCode.USAGE)
        return email_of_file(raw, now)
    except OSError as exc:
        raise OpsError(f"{file} cannot be read: {exc.strerror}", ExitCode.USAGE) from None
    except ValueError as exc:
        raise OpsError(f"{file}: {exc}", ExitCode.USAGE) from None
