"""Wait for a condition, or for a server, without a fixed sleep."""

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

# The servers of tests run on this machine: the proxies of the environment are not used.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

# The deadline only ends a test that hangs. It is long, so that no test fails on a busy machine.
DEADLINE_SECONDS = 60.0


def eventually(
    condition: Callable[[], Value | None], what: str = "the condition", timeout_seconds: float = DEADLINE_SECONDS
) -> Value:
    """Return the first true result of the condition. Raise AssertionError if there is none in time."""
    deadline = time.monotonic() + timeout_seconds
    pause_seconds = 0.005
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_seconds:.0f} s: {what}"
        time.sleep(pause_seconds)
        pause_seconds = min(0.1, pause_seconds * 1.5)
    return result


def answers(url: str) -> bool:
    """Return whether a GET of the URL is answered with a status below 400."""
    try:
        with _direct.open(url, timeout=5):
            return True
    except urllib.error.HTTPError as exc:
        exc.close()
        return False
    except (OSError, http.client.HTTPException):
        return False


def ask(port: int, path: str) -> tuple[int, str]:
    """Return status and body of the answer to a GET on 127.0.0.1; status 0 means that no answer came."""
    try:
        with _direct.open(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.read().decode()
    except (OSError, http.client.HTTPException):
        return 0, ""
