from pillarbox_ops.pace import Pace


class _Time:
    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_steps_are_spread_evenly() -> None:
    time = _Time()
    pace = Pace(10, clock=time.clock, sleep=time.sleep)
    for steps in (10, 5, 1):
        pace.wait(steps)
    assert time.slept == [1.0, 0.5]


def test_a_slow_step_is_not_made_up_for() -> None:
    time = _Time()
    pace = Pace(10, clock=time.clock, sleep=time.sleep)
    pace.wait(1)
    time.now += 60
    pace.wait(1)
    pace.wait(1)
    assert [round(seconds, 6) for seconds in time.slept] == [0.1]


def test_without_a_rate_nothing_waits() -> None:
    time = _Time()
    pace = Pace(None, clock=time.clock, sleep=time.sleep)
    pace.wait(1000)
    pace.wait(1)
    assert time.slept == []
