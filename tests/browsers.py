"""A headless Chromium, driven by its WebDriver with nothing but the standard library."""

import base64
import contextlib
import json
import pathlib
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
DRIVER = shutil.which("chromedriver") or ""
MISSING = "" if CHROMIUM and DRIVER else "needs chromium and chromedriver (Debian: chromium, chromium-driver)"
FLAGS = (
    "headless", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking",
    "disable-component-update", "disable-sync", "disable-dev-shm-usage", "hide-scrollbars",
)  # fmt: skip
SECONDS = 20  # for one command
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of elements in the protocol


class Browser:
    """One window. A screen is (width, height, pixels for each CSS pixel); of a telephone, it is touched."""

    def __init__(self, driver: str, folder: pathlib.Path, screen: tuple[int, int, int], is_telephone: bool) -> None:
        width, height, ratio = screen
        options: dict[str, Any] = {
            "binary": CHROMIUM,
            "args": [f"--{flag}" for flag in FLAGS] + [f"--user-data-dir={folder}"],
        }
        metrics = {"width": width, "height": height, "pixelRatio": float(ratio)}
        options["mobileEmulation"] = {"deviceMetrics": metrics | dict.fromkeys(("mobile", "touch"), is_telephone)}
        self._driver = driver
        logs = {"browser": "ALL"}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": logs}
        self._address = f"{driver}/session"
        self._address += f"/{self._send('', {'capabilities': {'alwaysMatch': wanted}})['sessionId']}"

    def _send(self, command: str, content: dict[str, Any] | None = None, method: str = "POST") -> Any:
        data = None if method != "POST" else json.dumps(content or {}).encode()
        address = f"{self._address}/{command}" if command else self._address
        request = urllib.request.Request(address, data, {"Content-Type": "application/json"}, method=method)
        try:
            with DIRECT.open(request, timeout=SECONDS) as reply:
                return json.load(reply)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from None

    def open(self, url: str) -> None:
        """Go to a page."""
        self._send("url", {"url": url})

    def run(self, script: str) -> Any:
        """What a piece of JavaScript returns."""
        return self._send("execute/sync", {"script": script, "args": []})

    def click(self, selector: str) -> None:
        """Click an element, as a user does: one that is hidden or covered cannot be clicked."""
        found = self._send("element", {"using": "css selector", "value": selector})[ELEMENT]
        self._send(f"element/{found}/click")

    def choose(self, selector: str, value: str) -> None:
        """Choose an entry of a menu."""
        self.click(f"{selector} option[value='{value}']")

    def text(self, selector: str) -> str:
        """What an element shows."""
        return str(self.run(f"return document.querySelector({selector!r}).textContent"))

    def wait(self, condition: str, seconds: float = SECONDS) -> float:
        """Wait until an expression in JavaScript is true; for how long it was not."""
        begin = time.perf_counter()
        while not self.run(f"return Boolean({condition})"):
            assert time.perf_counter() - begin < seconds, condition
            time.sleep(0.02)
        return time.perf_counter() - begin

    def complaints(self) -> list[str]:
        """What the console has said since it was last asked."""
        return [entry["message"] for entry in self._send("se/log", {"type": "browser"})]

    def screenshot(self, file: pathlib.Path) -> None:
        """Write what the window shows, a PNG."""
        file.write_bytes(base64.b64decode(self._send("screenshot", method="GET")))

    def close(self) -> None:
        """End the browser."""
        self._send("", method="DELETE")


@contextlib.contextmanager
def browser(folder: pathlib.Path, screen: tuple[int, int, int], is_telephone: bool = False) -> Iterator[Browser]:
    """A new browser whose data are in `folder`."""
    with subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, text=True) as driver:
        try:
            assert driver.stdout is not None
            port = next(found for line in driver.stdout if (found := re.search(r"successfully on port (\d+)", line)))[1]
            one = Browser(f"http://127.0.0.1:{port}", folder, screen, is_telephone)
            try:
                yield one
            finally:
                one.close()
        finally:
            driver.terminate()
