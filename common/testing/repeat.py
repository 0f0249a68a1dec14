"""Run `make test` many times: every second run has random order, new seeds and a CPU load beside it.

    python -m common.testing.repeat --runs 30

Prints a line for each run and a summary. The output of a failed run is kept in .cache/repeat/. Exit code 1 if one
failed.
"""

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

LOAD_PROCESSES = 4
RUN_SECONDS = 900  # a longer run is regarded as hanging
OUTPUT = Path(".cache/repeat")

# It ends by itself soon after its parent process has ended.
_BURN = """
import os, time
parent = os.getppid()
until = time.monotonic() + {seconds}
while os.getppid() == parent and time.monotonic() < until:
    sum(range(1_000_000))
"""


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions of one run."""

    number: int
    seed: int

    @property
    def is_loaded(self) -> bool:
        """Whether the run has random order and a CPU load."""
        return self.number % 2 == 0

    def command(self, make: Sequence[str]) -> list[str]:
        """Return the command that repeats this run."""
        if not self.is_loaded:
            return [*make, "test"]
        seeds = f"--randomly-seed={self.seed} --hypothesis-profile=seeded --hypothesis-seed={self.seed}"
        return [*make, "test", f"ARGS=--shuffle {seeds}"]

    def __str__(self) -> str:
        return f"random order, seed {self.seed}, {LOAD_PROCESSES} busy processes" if self.is_loaded else "fixed order"


@contextmanager
def load(processes: int, seconds: float) -> Iterator[None]:
    """Keep processes busy until the block ends."""
    with ExitStack() as stack:
        for _ in range(processes):
            busy = subprocess.Popen([sys.executable, "-c", _BURN.format(seconds=seconds)])  # noqa: S603
            stack.callback(busy.wait)
            stack.callback(busy.kill)
        yield


def run(command: Sequence[str], output: Path, seconds: float) -> bool:
    """Run a command with its output in a file; return whether it ended with 0 in time."""
    with output.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            return process.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            file.write(f"\nended: not done within {seconds:.0f} s\n".encode())
            return False
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the process group: first with SIGINT, so that tests stop their processes, then with SIGKILL."""
    for how, seconds in ((signal.SIGINT, 30), (signal.SIGKILL, 10)):
        if process.poll() is None:
            os.killpg(process.pid, how)
            with suppress(subprocess.TimeoutExpired):
                process.wait(seconds)


def summary(output: str) -> str:
    """Return pytest's final counts and the names of the failed tests, on one line."""
    counts = re.findall(r"^=+ (.*(?:passed|failed|error).*?) =+$", output, re.MULTILINE)
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
    return "; ".join([counts[-1] if counts else "no test result", *failed])


def repeat(runs: int, first_seed: int, make: Sequence[str]) -> int:
    """Do the runs, print a line for each, and return the number of failed runs."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    failures = 0
    for number in range(1, runs + 1):
        conditions = Conditions(number, first_seed + number)
        path = OUTPUT / f"run-{number}.txt"
        began = time.monotonic()
        with load(LOAD_PROCESSES if conditions.is_loaded else 0, RUN_SECONDS):
            passed = run(conditions.command(make), path, RUN_SECONDS)
        failures += not passed
        took = f"{time.monotonic() - began:.0f} s"
        found = summary(path.read_text(errors="replace"))
        print(
            f"run {number} of {runs}: {'passed' if passed else 'FAILED'} in {took} ({conditions}): {found}", flush=True
        )
        if passed:
            path.unlink()
        else:
            print(f"  output: {path}", flush=True)
    return failures


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tests according to the arguments and return the exit code."""
    parser = argparse.ArgumentParser(description="run `make test` many times")
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000), help="of the first run")
    options = parser.parse_args(arguments)
    failures = repeat(options.runs, options.seed, [os.environ.get("MAKE", "make")])
    print(f"runs: {options.runs - failures} passed, {failures} failed")
    return int(failures > 0)


if __name__ == "__main__":
    raise SystemExit(main())
