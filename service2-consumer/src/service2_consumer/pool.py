"""Threads that store a lane's objects concurrently, and that a lane can walk away from."""

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_GIVE_UP_CHECK_SECONDS = 0.2


class Pool(Generic[T, R]):
    """Applies one function in `size` daemon threads; leaner than an executor, whose exit waits for what hangs."""

    def __init__(self, function: Callable[[T], R], size: int) -> None:
        self._function = function
        self._tasks: SimpleQueue[tuple[int, T, SimpleQueue[tuple[int, R | None, Exception | None]]] | None] = (
            SimpleQueue()
        )
        self._size = size
        for number in range(size):
            threading.Thread(target=self._work, name=f"store-{number}", daemon=True).start()

    def map(self, items: Sequence[T], until: threading.Event) -> list[R | None]:
        """Give each item's result, in order; None for those still missing once `until` is set.

        Raises what the function raised.
        """
        answers: SimpleQueue[tuple[int, R | None, Exception | None]] = SimpleQueue()
        for index, item in enumerate(items):
            self._tasks.put((index, item, answers))
        results: list[R | None] = [None] * len(items)
        missing = len(items)
        while missing:
            try:
                index, result, error = answers.get(timeout=_GIVE_UP_CHECK_SECONDS)
            except Empty:
                if until.is_set():
                    break
                continue
            if error:
                raise error
            results[index] = result
            missing -= 1
        return results

    def close(self) -> None:
        """Let idle threads end."""
        for _ in range(self._size):
            self._tasks.put(None)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            index, item, answers = task
            try:
                answers.put((index, self._function(item), None))
            except Exception as exc:  # noqa: BLE001  # it is raised again in the lane that waits for it
                answers.put((index, None, exc))
