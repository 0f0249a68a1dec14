import re
import signal
import subprocess
import sys
from pathlib import Path

from common.testing.emulator import outer_environment
from common.testing.ports import free_port
from common.testing.waiting import answers, ask, eventually

VARIABLES = {"AWS_REGION": "eu-west-1", "S3_BUCKET_NAME": "archive"}


def _start(tmp_path: Path, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
    code = "import sys; from pillarbox_ops.cli import run; sys.exit(run(['ui', *sys.argv[1:]]))"
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", code, *arguments],
        env=outer_environment() | VARIABLES | variables,
        cwd=tmp_path,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_the_page_runs_until_a_signal_and_its_output_is_the_address_alone(tmp_path: Path) -> None:
    port = free_port()
    with _start(tmp_path, "--port", str(port)) as started:
        try:
            eventually(lambda: answers(f"http://127.0.0.1:{port}/ready"), "the page to answer")
            ask(port, "/login?token=wrong")
            ask(port, "/email?id=private")
        finally:
            started.terminate()
        out, err = started.communicate(timeout=60)
    assert (started.returncode, out) == (0, "")
    address = rf"Open http://127\.0\.0\.1:{port}/login\?token=[\w-]{{32}}\nCtrl-C ends it\.\n"
    assert re.fullmatch(address, err)


def test_a_secret_from_the_environment_is_not_printed_and_ctrl_c_ends_the_page(tmp_path: Path) -> None:
    port = free_port()
    with _start(tmp_path, "--port", str(port), UI_TOKEN="given-secret") as started:
        try:
            eventually(lambda: answers(f"http://127.0.0.1:{port}/login?token=given-secret"), "the page to answer")
        finally:
            started.send_signal(signal.SIGINT)
        assert started.communicate(timeout=60) == ("", "")
        assert started.returncode == 0
