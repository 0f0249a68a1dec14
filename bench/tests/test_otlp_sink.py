"""The collector of the benchmark."""

import json
import threading
import urllib.request

from bench.otlp_sink import Sink


def test_the_sink_counts_what_it_takes() -> None:
    sink = Sink(0)
    thread = threading.Thread(target=sink.serve_forever, args=(0.05,))
    thread.start()
    url = f"http://127.0.0.1:{sink.server_address[1]}"
    try:
        for body in (b"12345", b"1"):
            with urllib.request.urlopen(urllib.request.Request(f"{url}/v1/traces", data=body)) as answer:  # noqa: S310  # our own server
                assert answer.read() == b""
        with urllib.request.urlopen(f"{url}/counts") as answer:  # noqa: S310
            assert json.load(answer) == {"requests": 2, "bytes": 6}
    finally:
        sink.shutdown()
        thread.join()
        sink.server_close()
