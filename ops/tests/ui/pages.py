"""What a test does with a page: get it, post its forms, read what it shows."""

import re
from dataclasses import dataclass
from html import unescape
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from pillarbox_ops.ui.access import Access
from pillarbox_ops.ui.services import Services


@dataclass
class Page:
    """A client that has the cookie, and what the page was made of."""

    client: FlaskClient
    services: Services
    access: Access

    def get(self, path: str, status: int = 200, **options: Any) -> TestResponse:
        """Get a path of the page, redirects followed, and check the status."""
        answer = self.client.get(path, base_url=self.base_url, follow_redirects=True, buffered=True, **options)
        assert answer.status_code == status, shown(answer)
        return answer

    def post(self, path: str, status: int = 200, **fields: Any) -> TestResponse:
        """Post a form as a browser does and check the status."""
        data = {"csrf": self.access.derived("form"), **fields}
        headers = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}
        answer = self.client.post(path, base_url=self.base_url, data=data, headers=headers)
        assert answer.status_code == status, shown(answer)
        return answer

    @property
    def base_url(self) -> str:
        """Return the origin."""
        return f"http://127.0.0.1:{self.access.port}"


def shown(answer: TestResponse) -> str:
    """Return the words of an answer without tags, each run of white space as one space."""
    main = answer.text.partition("<main")[2] or answer.text
    return re.sub(
        r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", main.partition("</main>")[0].partition(">")[2] or main))
    )


def links(answer: TestResponse, text: str) -> list[str]:
    """Return the addresses of the links whose words contain a text."""
    found = re.findall(r'<a [^>]*?href="([^"]*)"[^>]*>(.*?)</a>', answer.text, re.DOTALL)
    return [unescape(href) for href, words in found if text in unescape(re.sub(r"<[^>]*>", " ", words))]
