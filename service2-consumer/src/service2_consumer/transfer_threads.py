"""Runs several transfers of a lane at the same time: writes to the archive, and reads of e-mails that lie in S3."""

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from queue import Empty, SimpleQueue

from pillarbox.tracing import Tracer
from service2_consumer.metrics import Metrics
from service2_consumer.model import Download, Transfer, Upload
from service2_consumer.ports import Archive, Result, StoreError

_CHECK_SECONDS = 0.2

_Answers = SimpleQueue[tuple[int, Result | Exception]]


class TransferThreads:
    """Threads that all lanes share. A lane can abandon a transfer that hangs.

    The threads are daemons, which do not delay the exit of the process. With a ThreadPoolExecutor instead, the consumer
    used 9 % more CPU per e-mail.
    """

    def __init__(self, archive: Archive, metrics: Metrics, threads: int, tracer: Tracer) -> None:
        self._archive = archive
        self._metrics = metrics
        self._tracer = tracer
        self._tasks: SimpleQueue[tuple[int, Transfer, datetime, _Answers]] = SimpleQueue()
        for number in range(threads):
            threading.Thread(target=self._run, name=f"transfer-{number}", daemon=True).start()

    def run(
        self,
        transfers: Sequence[Transfer],
        now: datetime,
        abandoned: threading.Event,
        while_waiting: Callable[[], object],
    ) -> list[Result | None]:
        """Return the result of each transfer, in order; None for those not finished once `abandoned` is set.

        Calls `while_waiting` every 0.2 seconds without a result. Raise any other exception of the archive or a read.
        """
        answers: _Answers = SimpleQueue()
        for index, transfer in enumerate(transfers):
            self._tasks.put((index, transfer, now, answers))
        results: list[Result | None] = [None] * len(transfers)
        missing = len(transfers)
        while missing:
            try:
                index, result = answers.get(timeout=_CHECK_SECONDS)
            except Empty:
                if abandoned.is_set():
                    break
                while_waiting()
                continue
            if not isinstance(result, Result):
                raise result
            results[index] = result
            missing -= 1
        return results

    def _run(self) -> None:
        while True:
            index, transfer, now, answers = self._tasks.get()
            answers.put((index, self._perform(transfer, now)))

    def _perform(self, transfer: Transfer, now: datetime) -> Result | Exception:
        begin = time.perf_counter()
        seconds = self._metrics.read_seconds if isinstance(transfer, Download) else self._metrics.store_seconds
        try:
            return transfer.read(now) if isinstance(transfer, Download) else self._put(transfer)
        except Exception as exc:  # noqa: BLE001  # a result, or raised in the lane
            return exc
        finally:
            seconds.observe(time.perf_counter() - begin)

    def _put(self, upload: Upload) -> Result:
        span = self._tracer.put(upload.messages)
        try:
            return self._archive.put(upload)
        except Exception as exc:
            span.fail(exc.cause if isinstance(exc, StoreError) else type(exc).__name__)
            raise
        finally:
            span.end()
