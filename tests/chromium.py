"""Chromium without a window, driven through the DevTools protocol over a pair of pipes; the
standard library alone.

    with launch() as browser:
        page = browser.open("file:///tmp/page.html", width=360, dark=True)
        page.press("Tab")
        assert page.evaluate("document.activeElement.tagName") == "A" and not page.problems

The browser reaches nothing but local files and localhost: a request for anything else fails and is
one of the page's problems.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

BINARY = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--disable-renderer-backgrounding",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost",
    "--remote-debugging-pipe",
]
PLUMB = """
import os, sys
for i in (1, 2):
    os.dup2(int(sys.argv[i]), i + 2)
os.execv(sys.argv[3], sys.argv[3:])
"""
PATIENCE = 60  # seconds for an answer
KEYS = {
    "Backspace": 8,
    "Tab": 9,
    "Enter": 13,
    "Escape": 27,
    " ": 32,
    "PageUp": 33,
    "PageDown": 34,
    "End": 35,
    "Home": 36,
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
}  # Windows' virtual key codes, as the protocol wants


@contextmanager
def launch():
    """A :class:`Browser`, closed at the end of the ``with`` block; skips the test where there is no
    Chromium.
    """
    if BINARY is None:
        pytest.skip("no Chromium: apt-get install chromium")
    (commands, to), (back, answers) = os.pipe(), os.pipe()
    high = [
        fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (commands, answers)
    ]  # above 3 and 4, which Chromium reads and writes
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        run = [
            sys.executable,
            "-S",
            "-c",
            PLUMB,
            *map(str, high),
            BINARY,
            *FLAGS,
            f"--user-data-dir={home}",
            "about:blank",
        ]
        process = subprocess.Popen(
            run,
            pass_fds=high,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for fd in (commands, answers, *high):
            os.close(fd)
        try:
            yield Browser(to, back)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            os.close(to)
            os.close(back)


class Browser:
    """The protocol: JSON messages that end in a zero byte, answers and events mixed."""

    def __init__(self, to, back):
        self.to, self.back, self.buffer, self.number, self.pages, self.answers = (
            to,
            back,
            b"",
            0,
            {},
            {},
        )

    def open(self, url, *, width=1200, height=900, dark=False, scripts=True):
        """A new :class:`Page` that has loaded; below 600 px it is a phone, with touch.

        :param dark: the reader prefers dark colours.
        :param scripts: False: as in a browser without JavaScript (and then nothing can be
            evaluated).
        """
        return Page(self, url, width, height, dark, scripts)

    def send(self, method, session=None, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params} | (
            {"sessionId": session} if session else {}
        )
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.to, data) :]
        number = self.number
        self.wait(lambda: number in self.answers, method)
        answer = self.answers.pop(number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def wait(self, done, what):
        """Read messages until ``done()``."""
        end = time.monotonic() + PATIENCE
        while not done():
            if not select.select([self.back], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError(f"no answer to {what} in {PATIENCE} s")
            chunk = os.read(self.back, 1 << 20)
            if not chunk:
                raise RuntimeError(f"Chromium ended during {what}")
            *messages, self.buffer = (self.buffer + chunk).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    self.answers[message["id"]] = message
                elif message.get("sessionId") in self.pages:
                    self.pages[message["sessionId"]].hear(message["method"], message["params"])


class Page:
    """One page; ``problems`` lists its console errors, uncaught exceptions and failed requests, in
    order.
    """

    def __init__(self, browser, url, width, height, dark, scripts):
        self.browser, self.problems, self.requests, self.loaded = browser, [], {}, False
        self.target = browser.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.send("Target.attachToTarget", targetId=self.target, flatten=True)[
            "sessionId"
        ]
        browser.pages[self.session] = self
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.send("Emulation.setScrollbarsHidden", hidden=True)
        self.send("Emulation.setTouchEmulationEnabled", enabled=width < 600)
        self.send(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}],
        )
        self.send("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.send("Page.navigate", url=url)
        browser.wait(lambda: self.loaded, f"loading {url}")

    def send(self, method, **params):
        """Any command of the protocol, to this page."""
        return self.browser.send(method, self.session, **params)

    def hear(self, event, params):
        if event == "Page.loadEventFired":
            self.loaded = True
        elif event == "Network.requestWillBeSent":
            self.requests[params["requestId"]] = params["request"]["url"]
        elif event == "Network.responseReceived" and params["response"]["status"] >= 400:
            self.problems.append(f"{params['response']['status']}: {params['response']['url']}")
        elif event == "Network.loadingFailed" and not params.get("canceled"):
            self.problems.append(f"{params['errorText']}: {self.requests.get(params['requestId'])}")
        elif event == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description", details["text"]))
        elif event == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.problems.append(
                "console: "
                + " ".join(str(a.get("value", a.get("description"))) for a in params["args"])
            )
        elif (
            event == "Log.entryAdded"
            and params["entry"]["level"] == "error"
            and params["entry"]["source"] != "network"
        ):
            self.problems.append(params["entry"]["text"])

    def evaluate(self, expression):
        """The value of JavaScript (a promise is awaited) as JSON gives it; raises RuntimeError with
        the exception.
        """
        result = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(
                result["exceptionDetails"].get("exception", {}).get("description", expression)
            )
        return result["result"].get("value")

    def press(self, key, *, ctrl=False, shift=False):
        """Press a key, such as "ArrowLeft", "Tab" or "a"."""
        what = {
            "key": key,
            "code": key if len(key) > 1 else "",
            "windowsVirtualKeyCode": KEYS.get(key) or ord(key.upper()),
            "modifiers": 2 * ctrl + 8 * shift,
        }
        text = "" if ctrl else {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        self.send(
            "Input.dispatchKeyEvent",
            type="keyDown" if text else "rawKeyDown",
            **what,
            **({"text": text} if text else {}),
        )
        self.send("Input.dispatchKeyEvent", type="keyUp", **what)

    def move(self, x, y):
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, x, y):
        self.move(x, y)
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def tap(self, x, y):
        """A finger, on a page narrow enough to be a phone."""
        self.send("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        self.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def box(self, selector):
        """(x, y, width, height) of the first element that matches, in the window, after scrolling
        to it.
        """
        return self.evaluate(
            f"(e => {{ e.scrollIntoView({{block: 'center', behavior: 'instant'}}); "
            f"let b = e.getBoundingClientRect(); return [b.x, b.y, b.width, b.height] }})"
            f"(document.querySelector({json.dumps(selector)}))"
        )

    def screenshot(self, path):
        """PNG of the whole page, with nothing in motion."""
        still = "* { transition: none !important; animation: none !important }"
        self.evaluate(
            f"document.head.appendChild(document.createElement('style')).textContent = '{still}'"
        )
        data = self.send("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        Path(path).write_bytes(base64.b64decode(data))

    def close(self):
        del self.browser.pages[self.session]
        self.browser.send("Target.closeTarget", targetId=self.target)
