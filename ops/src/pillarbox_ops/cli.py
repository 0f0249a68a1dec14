"""`pillarbox`: the group of all commands. A command's module is imported only when that command runs."""

import importlib
import io
import sys
from collections.abc import Mapping
from typing import Any

import click

from pillarbox_ops.errors import ExitCode, OpsError, explained

# Command: the module and its attribute, and the line of --help.
COMMANDS: dict[str, tuple[str, str]] = {
    "status": ("status:status", "Show queues, services and the last archived e-mail."),
    "find": ("find:find", "Find archived e-mails by id, or by sender, subject, text, time and size."),
    "show": ("show:show", "Show one archived e-mail and where it lies."),
    "send": ("send:send", "Send a test e-mail or a file by the API, and wait until it is archived."),
    "replay": ("replay:replay", "Send archived e-mails to a queue again."),
    "export": ("export:export", "Write archived e-mails as JSON lines, mbox or .eml files."),
    "dlq": ("dlq:dlq", "Look at dead letters, save them, move them back, delete them."),
    "files": ("files:files", "Enqueue files that were in a bucket before its notification."),
    "token": ("token:token", "List, add, rotate and revoke the API's tokens."),
    "check": ("check:check", "Check that this identity reaches and may use the pipeline."),
    "probe": ("probe:probe", "Check the pipeline, send one e-mail through it, and log the result: for a CronJob."),
    "completion": ("completion:completion", "Print the shell's completion script."),
    "ui": ("ui:ui", "Serve a web page on 127.0.0.1 to inspect and repair the pipeline."),
}
_INTERRUPTED = 130  # 128 + SIGINT, as shells count


class LazyGroup(click.Group):
    """A group whose commands are named by COMMANDS, so that --help imports none of them."""

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **options: Any) -> None:
        super().__init__(*args, **options)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return the names in the order of the table."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's signature
        """Return a command after importing its module; None if there is none of that name."""
        if cmd_name not in self._lazy:
            return None
        module, _, attribute = self._lazy[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(f"pillarbox_ops.commands.{module}"), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the table of the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._lazy.items()])


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 nothing matched, 4 done in part.",
)
@click.version_option(package_name="pillarbox-ops", message="%(version)s")
def cli() -> None:
    """Inspect and repair a Pillarbox pipeline.

    Commands read the services' environment variables, or .local/stack.env of `make run`, or with --environment NAME
    the outputs of the stack pillarbox-NAME.
    """


def main() -> None:
    """Run the command line and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run a command and return its exit code. Errors are one line on standard error."""
    try:
        code = cli.main(arguments, prog_name="pillarbox", standalone_mode=False)
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except click.ClickException as exc:
        shown = io.StringIO()
        exc.show(file=shown)
        _say(shown.getvalue().rstrip("\n"), keep="\n")
        return ExitCode.USAGE if isinstance(exc, click.UsageError) else ExitCode.FAILED
    except (click.Abort, KeyboardInterrupt):
        click.echo("\nstopped", err=True)
        return _INTERRUPTED
    except OpsError as exc:
        _say(f"pillarbox: {exc}")
        return exc.exit_code
    except Exception as exc:
        text = explained(exc)
        if text is None:
            raise
        _say(f"pillarbox: {text}")
        return ExitCode.FAILED
    return int(code or 0)


def _say(text: str, keep: str = "") -> None:
    from pillarbox_ops.output import safe  # noqa: PLC0415  slow to import, and --help needs none of it

    click.echo(safe(text, keep), err=True)
