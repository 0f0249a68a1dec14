"""Makes the pictures of the page in docs/images/ again: `make screenshots`. Needs chromium and chromedriver."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from common.testing.emulator import ROOT, running_emulator

from ..pipelines import Pipeline
from .browser import running_browser
from .running import served, services_of
from .samples import fill, put_html

IMAGES = ROOT / "docs/images"


def main() -> None:
    """Write ui-list.png and ui-email.png."""
    with tempfile.TemporaryDirectory() as name, running_emulator(Path(name)) as aws, running_browser() as browser:
        pipeline = Pipeline(aws, "pictures")
        now = datetime.now(UTC)
        fill(pipeline, now, 240)
        message_id = put_html(pipeline, now - timedelta(seconds=21), has_conflict=False)
        with served(services_of(pipeline.environment, Path(name))) as address:
            browser.look(width=1100, height=560)
            browser.open(address)
            browser.shows("241 e-mails", "#count")
            browser.press("j", "j", "j")
            (IMAGES / "ui-list.png").write_bytes(browser.picture())
            browser.go(f"/email?id={message_id}")
            browser.wait(lambda: browser.script("return document.readyState") == "complete", "the frame")
            (IMAGES / "ui-email.png").write_bytes(browser.picture())


if __name__ == "__main__":
    main()
