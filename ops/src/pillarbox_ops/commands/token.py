"""`pillarbox token`: lists, adds, rotates and revokes the API's tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pillarbox_ops import private_file, tokens
from pillarbox_ops.changes import agreed
from pillarbox_ops.errors import ExitCode, OpsError
from pillarbox_ops.options import with_app, with_change
from pillarbox_ops.output import Column

if TYPE_CHECKING:
    from pillarbox_ops.app import App
    from pillarbox_ops.tokens import TokenParameter

COLUMNS = (Column("position", "POSITION", right=True), Column("fingerprint", "FINGERPRINT"))

_write_option = click.option(
    "--write",
    "path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the token into a new file, which only you can read, instead of printing it.",
)


@click.group()
def token() -> None:
    """List, add, rotate and revoke the API's tokens.

    All tokens of the parameter are valid. A token is shown once, when it is made, and never taken as an argument; its
    fingerprint names it.
    """


@token.command()
@with_app
def ls(app: App) -> int:
    """List the valid tokens by fingerprint, the newest first."""
    parameter = _read(app)
    app.output.rows(COLUMNS, _rows(parameter.tokens))
    app.output.note(
        f"{parameter.name}: {len(parameter.tokens)} valid, version {parameter.version} of "
        f"{parameter.modified_at:%Y-%m-%d %H:%M}, key {parameter.key_id}, tier {parameter.tier}"
    )
    return ExitCode.DONE if parameter.tokens else ExitCode.NOTHING_MATCHED


@token.command()
@_write_option
@with_app
@with_change
def add(app: App, path: Path | None) -> int:
    """Make a new token, valid beside the others, and show it."""
    parameter = _read(app)
    return _add(app, parameter, path, keep=None, what=f"add a token to {parameter.name}, beside {_number(parameter)}")


@token.command()
@_write_option
@with_app
@with_change
def rotate(app: App, path: Path | None) -> int:
    """Make a new token and show it; the newest of before stays valid, older ones do not.

    So clients have until the next rotation to take the new one.
    """
    parameter = _read(app)
    what = f"add a token to {parameter.name} and keep one of {_number(parameter)}: the newest, shown first"
    return _add(app, parameter, path, keep=1, what=what)


@token.command()
@click.argument("fingerprints", metavar="[FINGERPRINT]...", nargs=-1)
@click.option("--old", is_flag=True, help="All but the newest.")
@with_app
@with_change
def revoke(app: App, fingerprints: tuple[str, ...], *, old: bool) -> int:
    """Revoke tokens by their fingerprints.

    A revoked token works until each replica of the API has read the parameter again: TOKEN_CACHE_SECONDS, 5 minutes.
    """
    if old == bool(fingerprints):
        raise click.UsageError("specify fingerprints (see token ls), or --old")
    parameter = _read(app)
    left = parameter.tokens[:1] if old else parameter.without(fingerprints)
    kept = {tokens.fingerprint(one) for one in left}
    gone = [row for row in _rows(parameter.tokens) if row["fingerprint"] not in kept]
    if not gone:
        app.output.note(f"{parameter.name}: nothing to revoke, one token")
        return ExitCode.NOTHING_MATCHED
    if not _agreed(app, f"revoke {len(gone)} of {_number(parameter)} of {parameter.name}", gone):
        return ExitCode.DONE
    tokens.write(app.clients.ssm, parameter, left)
    app.output.note(f"{parameter.name}: {len(gone)} revoked, {len(left)} valid")
    return ExitCode.DONE


def _add(app: App, parameter: TokenParameter, path: Path | None, *, keep: int | None, what: str) -> int:
    if not _agreed(app, what, _rows(parameter.tokens)):
        return ExitCode.DONE
    made = tokens.new_token()
    if path:
        # Before the put: a file that cannot be made must not leave a token that nobody was given.
        with private_file.create(path) as file:
            file.write(made + "\n")
    left = parameter.with_new(made, keep=keep)
    try:
        tokens.write(app.clients.ssm, parameter, left)
    except OpsError:  # it is valid, though another change was overwritten
        _show(app, made, path)
        raise
    except Exception:
        if path:
            app.output.note(f"the token in {path} may not be valid: see token ls")
        raise
    _show(app, made, path)
    app.output.note(f"{parameter.name}: {len(left)} valid; the new one is {tokens.fingerprint(made)}")
    return ExitCode.DONE


def _show(app: App, made: str, path: Path | None) -> None:
    if not path:
        app.output.text(made)


def _agreed(app: App, what: str, sample: Sequence[dict[str, Any]]) -> bool:
    return agreed(app.output, what, columns=COLUMNS, sample=sample, yes=app.yes, dry_run=app.dry_run)


def _read(app: App) -> TokenParameter:
    return tokens.read(app.clients.ssm, app.target.need("token_parameter"))


def _rows(some: Sequence[str]) -> list[dict[str, Any]]:
    return [{"position": position, "fingerprint": tokens.fingerprint(one)} for position, one in enumerate(some, 1)]


def _number(parameter: TokenParameter) -> str:
    return f"{len(parameter.tokens)} token{'s' if len(parameter.tokens) != 1 else ''}"
