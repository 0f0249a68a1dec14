"""Writes several objects of a lane at the same time."""

import threading
import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue

from service2_consumer.metrics import Metrics
from service2_consumer.model import Upload
from service2_consumer.ports import Archive, Result

_STOP_CHECK_SECONDS = 0.2

_Answers = SimpleQueue[tuple[int, Result | Exception]]


class ObjectWriter:
    """Writes objects in threads that all lanes share. A lane can abandon a write that hangs.

    The threads are daemons, which do not delay the exit of the process. With a ThreadPoolExecutor instead, the consumer
    used 9 % more CPU per e-mail.
    """

    def __init__(self, archive: Archive, metrics: Metrics, threads: int) -> None:
        self._archive = archive
        self._metrics = metrics
        self._tasks: SimpleQueue[tuple[int, Upload, _Answers]] = SimpleQueue()
        for number in range(threads):
            threading.Thread(target=self._run, name=f"store-{number}", daemon=True).start()

    def write(self, uploads: Sequence[Upload], abandoned: threading.Event) -> list[Result | None]:
        """Return the result of each write, in order; None for those not finished once `abandoned` is set.

        Raise any other exception of the archive.
        """
        answers: _Answers = SimpleQueue()
        for index, upload in enumerate(uploads):
            self._tasks.put((index, upload, answers))
        results: list[Result | None] = [None] * len(uploads)
        missing = len(uploads)
        while missing:
            try:
                index, result = answers.get(timeout=_STOP_CHECK_SECONDS)
            except Empty:
                if abandoned.is_set():
                    break
                continue
            if not isinstance(result, Result):
                raise result
            results[index] = result
            missing -= 1
        return results

    def _run(self) -> None:
        while True:
            index, upload, answers = self._tasks.get()
            answers.put((index, self._put(upload)))

    def _put(self, upload: Upload) -> Result | Exception:
        begin = time.perf_counter()
        try:
            return self._archive.put(upload)
        except Exception as exc:  # noqa: BLE001  # a result, or raised in the lane
            return exc
        finally:
            self._metrics.store_seconds.observe(time.perf_counter() - begin)
