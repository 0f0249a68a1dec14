"""What a local stack keeps when it is stopped or killed, as a whole or in part, and restarted."""

import os
import signal
from pathlib import Path

import pytest

from common.testing.ports import free_port
from e2e_test.stack_run import Run, read_environment

pytestmark = pytest.mark.faults


def test_what_was_stored_outlives_a_terminal_that_goes_away_and_a_second_signal(
    runs: list[Run], tmp_path: Path
) -> None:
    first = Run(tmp_path)
    runs.append(first)
    kept = first.stored_key(), read_environment(tmp_path)["API_TOKEN"]
    first.process.send_signal(signal.SIGHUP)
    assert first.exit_code() == 0
    assert not list((tmp_path / "run").glob("*.pid"))

    second = Run(tmp_path)
    runs.append(second)
    keys = {kept[0], second.stored_key()}
    assert read_environment(tmp_path)["API_TOKEN"] == kept[1]
    os.kill(second.pid_of("service1-api"), signal.SIGSTOP)  # a stop by SIGTERM alone would take long
    second.process.send_signal(signal.SIGINT)
    second.wait_line("^stopping")
    second.process.send_signal(signal.SIGINT)
    assert second.exit_code() == 0
    assert not list((tmp_path / "run").glob("*.pid"))
    assert names_of(keys) <= stored_files(tmp_path)


def test_runs_that_are_killed_in_whole_or_in_part_lose_neither_objects_nor_token(
    runs: list[Run], tmp_path: Path
) -> None:
    ports = {name: str(free_port()) for name in ("PORT", "CONSUMER_PORT", "EMULATOR_PORT", "FILE_INTAKE_PORT")}
    first = Run(tmp_path, **ports)
    runs.append(first)
    first.stored_key()
    first.process.kill()
    assert first.exit_code() == -signal.SIGKILL

    second = Run(tmp_path, **ports)  # it ends the processes that the first has left running on these ports
    runs.append(second)
    kept = second.stored_key(), read_environment(tmp_path)["API_TOKEN"]
    os.kill(second.pid_of("emulator"), signal.SIGKILL)
    second.wait_line("emulator ended by itself with exit code -9")
    assert second.exit_code() == 1

    third = Run(tmp_path)
    runs.append(third)
    keys = {kept[0], third.stored_key()}
    assert read_environment(tmp_path)["API_TOKEN"] == kept[1]
    assert names_of(keys) <= stored_files(tmp_path)
    os.kill(third.pid_of("service2-consumer"), signal.SIGKILL)
    third.wait_line("service2-consumer ended by itself with exit code -9")
    assert third.exit_code() == 1
    assert not list((tmp_path / "run").glob("service1*.pid")), "the rest was stopped"


def names_of(keys: set[str]) -> set[str]:
    return {key.rpartition("/")[2] for key in keys}


def stored_files(directory: Path) -> set[str]:
    return {path.name for path in (directory / "emulator/s3").rglob("*.json")}
