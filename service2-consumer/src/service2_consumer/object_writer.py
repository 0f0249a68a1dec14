"""Writes several objects of a lane at the same time."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from service2_consumer.metrics import Metrics
from service2_consumer.model import Upload
from service2_consumer.ports import Archive, RefusedObjectError, Result, StoreError

_STOP_CHECK_SECONDS = 0.2


class ObjectWriter:
    """Writes objects in threads that all lanes share.

    A lane can leave a write that hangs. Its thread then blocks the normal exit of the interpreter, so the process has
    to end by `os._exit`.
    """

    def __init__(self, archive: Archive, metrics: Metrics, threads: int) -> None:
        self._archive = archive
        self._metrics = metrics
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="store")

    def write(self, uploads: Sequence[Upload], abandoned: threading.Event) -> list[Result | None]:
        """Return the result of each write, in order; None for those not finished once `abandoned` is set.

        Raises any exception of the archive that is not a result.
        """
        futures = [self._executor.submit(self._put, upload) for upload in uploads]
        results: list[Result | None] = []
        patience = _STOP_CHECK_SECONDS
        for future in futures:
            results.append(_result(future, abandoned, patience))
            if results[-1] is None:
                patience = 0  # the others had the same time
        return results

    def _put(self, upload: Upload) -> Result:
        begin = time.perf_counter()
        try:
            return self._archive.put(upload)
        except (StoreError, RefusedObjectError) as exc:
            return exc
        finally:
            self._metrics.store_seconds.observe(time.perf_counter() - begin)


def _result(future: Future[Result], abandoned: threading.Event, patience_seconds: float) -> Result | None:
    while True:
        try:
            return future.result(patience_seconds)
        except TimeoutError:
            if future.done():  # it ended just now, or the archive raised this error
                return future.result()
            if abandoned.is_set():
                future.cancel()
                return None
