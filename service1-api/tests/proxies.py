"""nginx and haproxy in front of a running service, with keep-alive connections to it."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.testing.ports import free_port

from .server import Api

NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_max_body_size 0; client_body_timeout 60s; proxy_request_buffering {buffering};
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream api {{ server 127.0.0.1:{api}; keepalive 32; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://api; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_next_upstream off;
    }}
  }}
}}
"""
HAPROXY = """
global
  maxconn 1024
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend front
  bind 127.0.0.1:{port}
  default_backend back
backend back
  retries 0
  server api 127.0.0.1:{api}
"""


@contextmanager
def nginx(api: Api, folder: Path, *, buffering: str = "on") -> Iterator[int]:
    """Run nginx; `buffering` makes it read a whole body before it forwards it."""
    port = free_port()
    file = folder / "nginx.conf"
    file.write_text(NGINX.format(folder=folder, api=api.port, port=port, buffering=buffering))
    with _running(["nginx", "-c", str(file), "-e", str(folder / "start.log")], port):
        yield port


@contextmanager
def haproxy(api: Api, folder: Path) -> Iterator[int]:
    """Run haproxy."""
    port = free_port()
    file = folder / "haproxy.cfg"
    file.write_text(HAPROXY.format(api=api.port, port=port))
    with _running(["haproxy", "-db", "-f", str(file)], port):
        yield port


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    try:
        _wait_for(process, port)
        yield
    finally:
        process.terminate()
        process.wait(20)


def _wait_for(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None, "the proxy has ended"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError("the proxy does not listen")
