"""The shared test harness: ports, waiting, and repeated runs."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from common.testing import ports, repeat
from common.testing.ports import free_port
from common.testing.waiting import answers, eventually

REPOSITORY = Path(__file__).resolve().parents[2]


def test_no_port_is_given_twice_in_one_process_or_in_two() -> None:
    own = {free_port() for _ in range(50)}
    script = f"""
from common.testing import ports
ports._reservations._next = {min(own) - 20_000}  # start its search where this process did
print(*{{ports.free_port() for _ in range(50)}})
"""
    other = subprocess.run(  # noqa: S603
        [sys.executable, "-c", script],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    others = {int(port) for port in other.stdout.split()}
    assert (len(own), len(others), own & others) == (50, 50, set())


def test_a_port_that_is_listened_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        assert not ports._is_free(listener.getsockname()[1])


def test_the_first_true_result_is_returned() -> None:
    results = iter([None, 0, "", "found", "later"])
    assert eventually(lambda: next(results)) == "found"


def test_what_was_waited_for_in_vain_is_named() -> None:
    with pytest.raises(AssertionError, match="not within 0 s: the queue is empty"):
        eventually(lambda: False, "the queue is empty", 0)


def test_nobody_answers_on_a_free_port() -> None:
    assert not answers(f"http://127.0.0.1:{free_port()}/")


def test_every_second_run_has_random_order_and_its_seed_in_the_command() -> None:
    assert repeat.Conditions(1, 7).command(["make"]) == ["make", "test"]
    command = repeat.Conditions(2, 8).command(["make"])
    assert command[:2] == ["make", "test"]
    assert "--shuffle" in command[2]
    assert "--randomly-seed=8" in command[2]
    assert "--hypothesis-seed=8" in command[2]


@pytest.mark.parametrize(("result", "failures"), [("exit 0", 0), ("exit 3", 2)])
def test_a_line_a_run_and_a_closing_line_say_how_the_runs_ended(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, result: str, failures: int
) -> None:
    make = tmp_path / "make"
    make.write_text(f"#!/bin/sh\necho '== 1 passed in 0.01s =='\n{result}\n")
    make.chmod(0o755)
    monkeypatch.setenv("MAKE", str(make))
    monkeypatch.chdir(tmp_path)
    assert repeat.main(["--runs", "2", "--seed", "5"]) == (1 if failures else 0)
    lines = capfd.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines if line.startswith("run ")] == ["run 1 of 2", "run 2 of 2"]
    assert "seed 7" in "".join(lines)
    assert lines[-1] == f"runs: {2 - failures} passed, {failures} failed"
    assert len(list((tmp_path / repeat.OUTPUT).iterdir())) == failures


def test_a_run_that_hangs_is_ended_and_counts_as_failed(tmp_path: Path) -> None:
    output = tmp_path / "output"
    assert not repeat.run(["sleep", "600"], output, 0.2)
    assert "not done within" in output.read_text()


def test_the_names_of_what_failed_are_on_the_line() -> None:
    output = "FAILED a/test_b.py::test_c - assert 1 == 2\n===== 1 failed, 8 passed in 3.20s =====\n"
    assert repeat.summary(output) == "1 failed, 8 passed in 3.20s; a/test_b.py::test_c"
    assert repeat.summary("no such target") == "no test result"
