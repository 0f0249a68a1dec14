"""Ports of 127.0.0.1 for tests: no two test processes get the same one, and no outgoing connection takes it first."""

import contextlib
import fcntl
import os
import socket
import tempfile
from pathlib import Path

# Below the range from which systems choose a port for an outgoing connection (Linux: from 32768, others: from 49152).
_FIRST, _COUNT = 20_000, 10_000

# Each port is a byte of this file, and its lock is released when the process ends, even if it is killed.
_REGISTER = Path(tempfile.gettempdir()) / f"pillarbox-test-ports-{os.getuid()}"


class _Reservations:
    def __init__(self) -> None:
        self._file = os.open(_REGISTER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._next = os.getpid() * 97  # processes start their search at different ports
        self._held: set[int] = set()

    def take(self) -> int:
        for _ in range(_COUNT):
            port = _FIRST + self._next % _COUNT
            self._next += 1
            if port not in self._held and self._lock(port) and _is_free(port):
                self._held.add(port)
                return port
        raise RuntimeError(f"no port from {_FIRST} to {_FIRST + _COUNT - 1} is free")

    def _lock(self, port: int) -> bool:
        with contextlib.suppress(OSError):
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
            return True
        return False


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return True
    return False


_reservations = _Reservations()


def free_port() -> int:
    """Return a port that nothing listens on. It stays reserved for this process until the process ends."""
    return _reservations.take()
