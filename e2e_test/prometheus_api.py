"""What a test asks of a Prometheus server."""

import json
import urllib.error
import urllib.parse
from typing import Any

from local_stack.processes import direct


def prometheus_api(url: str, path: str, **parameters: str) -> Any:
    """Return the data of an answer of Prometheus's HTTP API. Raise AssertionError that quotes what it refuses."""
    query = urllib.parse.urlencode(parameters)
    try:
        with direct.open(f"{url}/api/v1/{path}?{query}", timeout=20) as response:
            answer = json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            raise AssertionError(f"{path} {parameters}: {error.code} {error.read().decode()}") from None
    assert answer["status"] == "success", answer
    return answer["data"]
