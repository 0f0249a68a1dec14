"""AWS emulators on free ports, for tests of what is deployed."""

import http.client
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.testing.ports import free_port
from local_stack.processes import Process

ROOT = Path(__file__).resolve().parent.parent.parent
REGION = "eu-west-1"
ACCOUNT_ID = "000000000000"  # the emulator's account for any key

# Those that run and that nobody uses: the next user gets one emptied, which costs less CPU than a start.
_idle: list[tuple[int, Process]] = []


@contextmanager
def running_emulator(directory: Path) -> Iterator[dict[str, str]]:
    """Yield the environment variables that lead an AWS client to an empty emulator that has no other user.

    `directory` is for the files of one that has to be started. It runs on for the next user until `stop_emulators`.
    """
    port, emulator = _idle.pop() if _idle else _started(directory)
    try:
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        _empty(port)
    except BaseException:
        emulator.stop(20)
        raise
    _idle.append((port, emulator))


def stop_emulators() -> None:
    """Stop the emulators that nobody uses."""
    while _idle:
        _idle.pop()[1].stop(20)


def _started(directory: Path) -> tuple[int, Process]:
    port = free_port()
    settings = {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "PERSIST_STATE": "0",
        "STATE_DIR": str(directory / "state"),
        "S3_DATA_DIR": str(directory / "s3"),
        "SFTP_ENABLED": "0",
    }
    emulator = Process(
        "emulator",
        (ROOT / ".venvs/local_stack/bin/python", "-m", "ministack"),
        environment=outer_environment() | settings,
        directory=directory,
        working_directory=ROOT,
        ready_url=f"http://127.0.0.1:{port}/_ministack/ready",
    )
    emulator.start()
    try:
        emulator.wait_ready(30)
    except BaseException:
        emulator.stop(20)
        raise
    return port, emulator


def _empty(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", "/_ministack/reset")
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
    finally:
        connection.close()


def outer_environment() -> dict[str, str]:
    """Return the environment without AWS variables: tests must not use a profile of the user."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
