from datetime import UTC, datetime
from typing import Any

import click
import pytest
from click.testing import CliRunner

from pillarbox_ops.app import App
from pillarbox_ops.options import Size, Time, with_app, with_change, with_selection
from pillarbox_ops.selection import Selection


@click.command()
@click.option("--after", type=Time())
@click.option("--larger", type=Size())
@with_app
@with_change
def command(app: App, **options: Any) -> None:
    """Print what it was given."""
    click.echo(f"{app.output.format} {app.environment} {app.env_file} {app.yes} {app.dry_run} {options}")


def _run(*arguments: str) -> str:
    return CliRunner().invoke(command, arguments).output.strip()


def test_a_command_gets_an_app_with_what_the_shared_options_say() -> None:
    assert _run() == "jsonl None None False False {'after': None, 'larger': None}"
    assert _run("-o", "json", "--environment", "prod", "--yes").startswith("json prod None True False")
    assert _run("--env-file", "x.env", "--dry-run").startswith("jsonl None x.env False True")


def test_times_and_sizes_are_converted() -> None:
    assert "{'after': datetime.datetime(2026, 12, 1, 0, 0, tzinfo=datetime.timezone.utc), 'larger': 2048}" in _run(
        "--after", "2026-12-01", "--larger", "2k"
    )
    assert Time().convert(datetime(2026, 1, 1, tzinfo=UTC), None, None) == datetime(2026, 1, 1, tzinfo=UTC)
    assert Size().convert(7, None, None) == 7


@pytest.mark.parametrize(
    ("arguments", "text"), [(("--after", "soon"), "expected a time"), (("--larger", "big"), "expected a size")]
)
def test_a_wrong_value_is_wrong_usage_that_names_the_option(arguments: tuple[str, str], text: str) -> None:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert arguments[0] in result.output
    assert text in result.output


@click.command()
@with_app
@with_selection
def selecting(app: App, selection: Selection) -> None:
    """Print the selection."""
    click.echo(f"{selection.ids} {selection.query.sender} {selection.query.larger} {selection.limit}")


def test_a_selection_has_ids_or_conditions() -> None:
    message_id = "01a2213b-2545-7000-8000-000000000000"
    by_id = CliRunner().invoke(selecting, [message_id.upper()]).output
    by_condition = CliRunner().invoke(selecting, ["--sender", "a", "--sender", "b", "--larger", "1k", "--limit", "3"])
    assert by_id == f"('{message_id}',) () None None\n"
    assert by_condition.output == "() ('a', 'b') 1024 3\n"
    both = CliRunner().invoke(selecting, [message_id, "--sender", "a"])
    assert both.exit_code == 2
    assert "not both" in both.output
