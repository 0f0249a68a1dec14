"""Debian's Chromium, driven by its chromedriver: what a test does with it, and what it asked for and logged."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from common.testing.waiting import DEADLINE_SECONDS, eventually

if TYPE_CHECKING:
    from selenium.webdriver.remote.webelement import WebElement

_OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-features=OptimizationHints,MediaRouter,Translate,AutofillServerCommunication",
)


class Trap:
    """A listener that all names below .example lead to; it counts the connections."""

    def __init__(self) -> None:
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._count, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()

    def _count(self) -> None:
        while True:
            try:
                self._listener.accept()[0].close()
            except OSError:
                return
            self.connections += 1


class Browser:
    """A window. Positions and texts are those of the page that it shows."""

    def __init__(self, driver: webdriver.Chrome, trap: Trap) -> None:
        self.driver = driver
        self.trap = trap
        self.base_url = ""

    def open(self, address: str) -> None:
        """Open an address with its secret, and forget what was logged before."""
        self.base_url = "http://" + urlsplit(address).netloc
        self.requested()
        self.complaints()
        self.driver.get(address)
        self.wait(lambda: "/day/" in self.driver.current_url, "the archive")

    def go(self, path: str) -> None:
        """Open a path of the page."""
        self.driver.get(self.base_url + path)

    def look(self, *, width: int = 1200, height: int = 900, scheme: str = "light") -> None:
        """Set the size of the window and the colour scheme."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.command("Emulation.setDeviceMetricsOverride", **size)
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def all(self, selector: str) -> list[WebElement]:
        """Return the elements of a CSS selector."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        """Return the first element of a CSS selector as soon as there is one."""
        found: WebElement = self.wait(lambda: next(iter(self.all(selector)), None), selector)
        return found

    def text(self, selector: str = "main") -> str:
        """Return the text that is shown in an element."""
        return str(self.script("return document.querySelector(arguments[0])?.innerText ?? ''", selector))

    def shows(self, text: str, selector: str = "main") -> None:
        """Wait until an element shows a text."""
        self.wait(lambda: text in self.text(selector), f"{text!r} in {selector}: {self.text(selector)[:400]!r}")

    def press(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        for key in keys:
            webdriver.ActionChains(self.driver).send_keys(key).perform()

    def submit(self, selector: str) -> None:
        """Press Enter on a button."""
        self.one(selector).send_keys(Keys.ENTER)

    def script(self, code: str, *arguments: Any) -> Any:
        """Run a script beside those of the page and return its result."""
        return self.driver.execute_script(code, *arguments)

    def command(self, name: str, **parameters: Any) -> dict[str, Any]:
        """Run a command of the DevTools protocol."""
        found: dict[str, Any] = self.driver.execute_cdp_cmd(name, parameters)
        return found

    def wait(self, condition: Callable[[], Any], what: str) -> Any:
        """Return the first true result of a condition; an element that was replaced meanwhile is asked again."""

        def asked() -> Any:
            try:
                return condition()
            except StaleElementReferenceException:
                return None

        return eventually(asked, what, DEADLINE_SECONDS)

    def requested(self) -> list[str]:
        """Return the addresses that pages and frames asked for since the last call."""
        messages = (json.loads(entry["message"])["message"] for entry in self._log("performance"))
        return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]

    def complaints(self) -> list[str]:
        """Return the errors and warnings of the console since the last call."""
        return [entry["message"] for entry in self._log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def _log(self, name: str) -> list[Any]:
        return list(self.driver.get_log(name))  # type: ignore[no-untyped-call]  # selenium has no type there

    def picture(self) -> bytes:
        """Return what is shown as a PNG."""
        return base64.b64decode(self.command("Page.captureScreenshot", format="png")["data"])


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Start Chromium without a screen."""
    trap = Trap()
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "chromium"
    # The browser asks for addresses of its own in the background; those names are not found.
    rules = f"MAP *.example 127.0.0.1:{trap.port}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
    for option in (*_OPTIONS, f"--host-resolver-rules={rules}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver") or "chromedriver")
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield Browser(driver, trap)
    finally:
        driver.quit()
        trap.close()
