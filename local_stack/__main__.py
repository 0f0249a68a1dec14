"""`make run`: start the stack, send one e-mail through it, show how to send more, run until Ctrl-C."""

import argparse
import http.client
import json
import os
import shlex
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from local_stack import live, sample
from local_stack.processes import StackError
from local_stack.programs import DEFAULT_DIRECTORY, Options
from local_stack.stack import LocalStack

_LINE_SECONDS = 0.5
_UNCHANGED_LINE_SECONDS = 30  # between equal lines if the output is not a terminal


def main() -> int:
    """Run the stack until SIGINT, SIGTERM or SIGHUP. Exit codes: 0 stopped, 1 failed, 2 wrong usage."""
    stack = LocalStack(_options(), announce=_say)
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        if stopping.is_set():
            stack.kill_services()
        else:
            stopping.set()
            raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    code, final_line = 0, "stopped"
    try:
        stack.start()
        _show_round_trip(stack)
        _show_figures(stack)
    except KeyboardInterrupt:
        _say_while_stopping("\nstopping (stored and queued e-mails are kept for the next run)")
    except StackError as exc:
        code, final_line = 1, f"local_stack: {exc}"
    except BrokenPipeError:  # the reader of the output has gone
        code = 1
    finally:
        stopping.set()
        stack.stop()
    _say_while_stopping(final_line)
    return code


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m local_stack", description=__doc__)
    parser.add_argument("--directory", type=Path, default=DEFAULT_DIRECTORY, help="directory of the state")
    arguments = parser.parse_args()
    try:
        options = Options(
            directory=arguments.directory.resolve(),
            api_port=_port("PORT", 8080),
            consumer_port=_port("CONSUMER_PORT", 8081),
            emulator_port=_port("EMULATOR_PORT", 4566),
            file_intake_port=_port("FILE_INTAKE_PORT", 8083),
            prometheus_port=_port("PROMETHEUS_PORT", 9090) if _wants_prometheus() else None,
            ui_port=_port("UI_PORT", 8025) if os.environ.get("UI_PORT", "8025") not in ("", "0") else 0,
        )
    except ValueError as exc:
        parser.error(str(exc))
    ports = [options.api_port, options.consumer_port, options.emulator_port, options.file_intake_port]
    ports += [port for port in (options.prometheus_port, options.ui_port) if port]
    if len(set(ports)) < len(ports):
        parser.error(
            "PORT (8080), CONSUMER_PORT (8081), FILE_INTAKE_PORT (8083), EMULATOR_PORT (4566), UI_PORT (8025) "
            "and, with PROMETHEUS=1, PROMETHEUS_PORT (9090) must be different ports"
        )
    return options


def _wants_prometheus() -> bool:
    text = os.environ.get("PROMETHEUS", "")
    if text not in {"", "0", "1"}:
        raise ValueError("PROMETHEUS must be 1 or 0")
    return text == "1"


def _port(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise ValueError(f"{variable} must be a port number from 1 to 65535")
    return int(text)


def _show_round_trip(stack: LocalStack) -> None:
    _say("\nPOST /api/message with a sample e-mail")
    trip = sample.round_trip(stack.environment)
    _say(f"  answer   {trip.status} {trip.answer.strip()}")
    _say(f"  object   s3://{stack.environment['S3_BUCKET_NAME']}/{trip.key}")
    for name, value in trip.record["email_data"].items():
        _say(f"           {name}: {value}")
    _say(f"  stored   {trip.seconds * 1000:.0f} ms after it was accepted\n")
    env_file = shlex.quote(str(stack.options.directory / "stack.env"))
    fields = {
        "email_subject": "Hello",
        "email_sender": "me",
        "email_timestream": int(time.time()),
        "email_content": "…",
    }
    data = json.dumps({"data": fields}, ensure_ascii=False)
    _say("Post another e-mail from a second terminal:\n")
    _say(f'  . {env_file}; curl "$API_URL/api/message" -H "Authorization: Bearer $API_TOKEN" \\')
    _say(f"    -H 'Content-Type: application/json' -d '{data}'\n")
    _say("Store an e-mail file in the inbox; repeat it as often as you like:\n")
    _say(f'  . {env_file}; aws s3 cp mail.eml "s3://$INBOX_BUCKET_NAME/inbox/"\n')
    _say("The archive in the emulator's S3, and the same objects as files:\n")
    _say(f'  . {env_file}; aws s3 ls --recursive "s3://$S3_BUCKET_NAME/messages/"')
    _say(f"  {stack.options.directory / 'emulator' / 's3'}\n")
    if stack.page_address:
        _say("Look at archive, queues and figures in a browser; the address is a secret:\n")
        _say(f"  {stack.page_address}\n")
    _say(f"Logs: {stack.options.directory / 'log'}   Metrics: {stack.environment['API_URL']}/metrics\n")
    if stack.options.prometheus_port:
        _say(f"Prometheus with the rules of monitoring/: http://127.0.0.1:{stack.options.prometheus_port}\n")
    _say("Ctrl-C stops everything.")


def _show_figures(stack: LocalStack) -> None:
    """Print the live line until a signal comes. Raise StackError if a process ends by itself."""
    terminal = sys.stdout.isatty()
    shown, shown_at = "", 0.0
    while True:
        if ended := stack.ended():
            raise StackError(f"{ended.name} ended by itself with exit code {ended.exit_code()}{ended.log_end()}")
        try:
            ports = (stack.options.consumer_port, stack.options.file_intake_port)
            line = str(live.read(stack.environment["API_URL"], *(f"http://127.0.0.1:{port}" for port in ports)))
        except (OSError, http.client.HTTPException):
            line = "a service does not answer at present"
        if terminal:
            print(f"\r\033[K{line}", end="", flush=True)
        elif line != shown or time.monotonic() > shown_at + _UNCHANGED_LINE_SECONDS:
            _say(line)
            shown, shown_at = line, time.monotonic()
        time.sleep(_LINE_SECONDS)


def _say(text: str) -> None:
    print(text, flush=True)


def _say_while_stopping(text: str) -> None:
    """Print, and ignore a terminal that has gone: the stop must be completed."""
    try:
        _say(text)
    except OSError:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  else the interpreter fails again when it ends


if __name__ == "__main__":
    sys.exit(main())
