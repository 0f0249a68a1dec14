"""A separate AWS emulator on a free port, for tests of deployments."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.testing.ports import free_port
from local_stack.processes import Process

ROOT = Path(__file__).resolve().parent.parent.parent
REGION = "eu-west-1"
ACCOUNT_ID = "000000000000"  # the emulator's account for any key


@contextmanager
def running_emulator(directory: Path) -> Iterator[dict[str, str]]:
    """Run an empty emulator until the block ends; yield the environment variables for its clients."""
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
    endpoint = f"http://127.0.0.1:{port}"
    emulator = Process(
        "emulator",
        (ROOT / ".venvs/local_stack/bin/python", "-m", "ministack"),
        environment=outer_environment() | settings,
        directory=directory,
        working_directory=ROOT,
        ready_url=f"{endpoint}/_ministack/ready",
    )
    emulator.start()
    try:
        emulator.wait_ready(30)
        yield {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    finally:
        emulator.stop(20)


def outer_environment() -> dict[str, str]:
    """Return the environment without AWS variables: tests must not use a profile of the user."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
