"""The drain: what the first and the second signal do, in the arbiter and in a worker that has its handlers."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from service1_api.server import drain
from service1_api.server.drain import DrainFlag, drain_before_stop


class Signals:
    """The handlers and the timer that the drain sets, and the signals that reach gunicorn's arbiter."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pid = os.getpid()
        self.handlers: dict[signal.Signals, Callable[..., None]] = {}
        self.timers: list[float] = []
        self.stopped = 0
        self.flag = DrainFlag()
        monkeypatch.setattr(drain, "FLAG", self.flag)
        monkeypatch.setattr(signal, "signal", self.handlers.__setitem__)
        monkeypatch.setattr(signal, "setitimer", lambda _which, seconds: self.timers.append(seconds))

    def signal(self, sig: signal.Signals, _frame: Any) -> None:
        assert sig is signal.SIGTERM
        self.stopped += 1


@pytest.fixture
def arbiter(monkeypatch: pytest.MonkeyPatch) -> Signals:
    return Signals(monkeypatch)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_first_signal_sets_the_flag_and_stops_after_the_delay(arbiter: Signals, sent: signal.Signals) -> None:
    drain_before_stop(arbiter, 15)
    assert not arbiter.flag.is_set()
    arbiter.handlers[sent]()
    assert (arbiter.flag.is_set(), arbiter.timers, arbiter.stopped) == (True, [15], 0)
    arbiter.handlers[signal.SIGALRM]()
    assert arbiter.stopped == 1


def test_second_signal_stops_at_once(arbiter: Signals) -> None:
    drain_before_stop(arbiter, 15)
    arbiter.handlers[signal.SIGTERM]()
    arbiter.handlers[signal.SIGINT]()
    assert (arbiter.stopped, arbiter.timers) == (1, [15])


def test_signal_without_a_delay_stops_at_once(arbiter: Signals) -> None:
    drain_before_stop(arbiter, 0)
    arbiter.handlers[signal.SIGTERM]()
    assert (arbiter.stopped, arbiter.timers) == (1, [])
    assert arbiter.flag.is_set()  # requests that wait for something end


def test_signal_in_a_worker_that_inherited_the_handlers_ends_it_at_once(
    arbiter: Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    drain_before_stop(arbiter, 15)
    arbiter.pid += 1
    monkeypatch.setattr(os, "_exit", lambda code: (_ for _ in ()).throw(SystemExit(code)))
    with pytest.raises(SystemExit) as ended:
        arbiter.handlers[signal.SIGTERM]()
    assert ended.value.code == 0
    assert (arbiter.stopped, arbiter.flag.is_set()) == (0, False)


FORKED_TOO_EARLY = """
import os, signal, time
from service1_api.server import drain_before_stop

class Arbiter:
    pid = os.getpid()
    def signal(self, sig, frame):
        raise AssertionError("the child takes itself for the arbiter")

drain_before_stop(Arbiter(), 60)
child = os.fork()
if not child:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
    os._exit(1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_signal_in_a_forked_process_that_has_the_handlers_ends_it_at_once() -> None:
    ended = subprocess.run([sys.executable, "-c", FORKED_TOO_EARLY], timeout=30, check=False)  # noqa: S603
    assert ended.returncode == 0


FLAG_SET_BY_A_CHILD = """
import os
from service1_api.server.drain import DrainFlag

flag = DrainFlag()
child = os.fork()
if not child:
    flag.set()
    os._exit(0)
os.waitpid(child, 0)
raise SystemExit(0 if flag.is_set() else 1)
"""


def test_flag_is_shared_by_forked_processes() -> None:
    assert subprocess.run([sys.executable, "-c", FLAG_SET_BY_A_CHILD], timeout=30, check=False).returncode == 0  # noqa: S603
