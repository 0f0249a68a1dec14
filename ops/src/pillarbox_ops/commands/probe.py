"""`pillarbox probe`: one run of the probe, whose result is the exit code and a line in the services' log schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from pillarbox import logs
from pillarbox_ops.errors import ExitCode
from pillarbox_ops.options import with_app

if TYPE_CHECKING:
    from pillarbox_ops.app import App
    from pillarbox_ops.checks import Result
    from pillarbox_ops.sending import Api


@click.command()
@with_app
@click.option(
    "--timeout",
    "seconds",
    type=click.FloatRange(min=1, max=3600),
    default=60,
    show_default=True,
    help="Seconds for the whole run. A consumer that is scaled to zero has to start within them.",
)
def probe(app: App, *, seconds: float) -> ExitCode:
    """Check the pipeline, send one e-mail through it, and wait until it is archived.

    The result is one JSON line on standard error, and the exit code: 0 if all went well, else 1. The e-mail has the
    reserved sender of probes: it is stored below health/probe/ and not counted as a customer's.
    """
    from pillarbox_ops.probe import Probe  # noqa: PLC0415  not needed for --help

    logs.configure("probe")
    outcome = Probe(lambda: _check(app), lambda: _connect(app), seconds).run()
    outcome.log()
    return ExitCode.DONE if outcome.ok else ExitCode.FAILED


def _check(app: App) -> Sequence[Result]:
    from pillarbox_ops.checks import PROBE_CHECKS, check_all  # noqa: PLC0415  imports botocore

    return check_all(tuple(PROBE_CHECKS), app.target, app.clients, PROBE_CHECKS)


def _connect(app: App) -> Api:
    from pillarbox_ops.sending import Api  # noqa: PLC0415  imports urllib3

    return Api(app.target.need("api_url"), app.token())
