"""A real browser, driven over the DevTools protocol: what a person would see and do."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

PATIENCE_S = 20.0

FLAGS = (
    *("--headless=new", "--remote-debugging-port=0", "--no-first-run"),
    *("--disable-background-networking", "--disable-extensions", "--disable-gpu"),
    *("--disable-dev-shm-usage", "--no-proxy-server", "--window-size=1400,900"),
)


def program() -> str | None:
    """Where Chromium is, if it is anywhere."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Tab:
    """One page, and everything suspicious that happened in it."""

    def __init__(self, browser: "Browser", session: str) -> None:
        self._browser = browser
        self.session = session
        self.troubles: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Network", "Log", "Audits"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Any:
        return self._browser.call(method, params, self.session)

    def open(self, url: str) -> None:
        """Go there; it is whole when this returns."""
        self.call("Page.navigate", url=url)
        self.wait(f"document.readyState == 'complete' && location.href == '{url}'")

    def evaluate(self, expression: str) -> Any:
        """What that comes to, as JSON has it; a promise is waited for."""
        answer = self.call(
            "Runtime.evaluate",
            expression=expression,
            returnByValue=True,
            awaitPromise=True,
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Until it is true, even while one page follows another."""
        self._browser.wait(lambda: self._holds(condition), condition)

    def _holds(self, condition: str) -> bool:
        try:
            return self.evaluate(f"Boolean({condition})") is True
        except AssertionError:  # There is no page yet, or not all of it.
            return False

    def click(self, selector: str) -> None:
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")

    def type(self, selector: str, text: str) -> None:
        """Into a box, as a person does: all that stood there goes."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).select()")
        self.call("Page.bringToFront")
        self.evaluate(f"document.querySelector({json.dumps(selector)}).focus()")
        self.call("Input.insertText", text=text)

    def picture(self, path: Path) -> None:
        """A screenshot."""
        from base64 import b64decode

        found = self.call("Page.captureScreenshot", format="png")
        path.write_bytes(b64decode(found["data"]))

    def take(self, method: str, params: dict[str, Any]) -> None:
        """Something happened here."""
        match method:
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Page.javascriptDialogOpening":
                self.troubles.append(f"dialog: {params['message']}")
                self._browser.post(
                    "Page.handleJavaScriptDialog", {"accept": True}, self.session
                )
            case "Audits.issueAdded" if params["issue"]["code"] == "GenericIssue":
                pass  # That a click was a program's, and the like.
            case "Runtime.exceptionThrown" | "Audits.issueAdded" | "Log.entryAdded":
                self.troubles.append(f"{method}: {json.dumps(params)[:500]}")


class Browser:
    """Chromium, and the one connection on which it is told what to do."""

    def __init__(self, runner: asyncio.Runner, url: str) -> None:
        self._runner = runner
        self._tabs: dict[str, Tab] = {}
        self._number = 0
        runner.run(self._connect(url))

    def close(self) -> None:
        self._runner.run(self._disconnect())

    def tab(self) -> Tab:
        """A new page, with nothing in it."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.call(
            "Target.attachToTarget", {"targetId": target, "flatten": True}
        )["sessionId"]
        self._tabs[session] = Tab(self, session)
        return self._tabs[session]

    def call(
        self, method: str, params: dict[str, Any], session: str | None = None
    ) -> Any:
        """Ask, and wait for the answer to this and nothing else."""
        return self._runner.run(self._ask(method, params, session))

    def post(self, method: str, params: dict[str, Any], session: str) -> None:
        """Ask; whoever waits for an answer reads past this one's."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        asyncio.ensure_future(
            self._socket.send_json({**message, "sessionId": session})
        ).add_done_callback(lambda sent: sent.result())

    def wait(self, holds: Callable[[], bool], what: str) -> None:
        async def pause() -> None:
            await asyncio.sleep(0.02)

        async def now() -> float:
            return asyncio.get_running_loop().time()

        deadline = self._runner.run(now()) + PATIENCE_S
        while not holds():
            assert self._runner.run(now()) < deadline, f"it never came: {what}"
            self._runner.run(pause())

    async def _connect(self, url: str) -> None:
        self._session = aiohttp.ClientSession()
        self._socket = await self._session.ws_connect(url, max_msg_size=1 << 28)

    async def _disconnect(self) -> None:
        await self._socket.close()
        await self._session.close()
        await asyncio.sleep(0)  # The connection's own end comes a turn later.

    async def _ask(
        self, method: str, params: dict[str, Any], session: str | None
    ) -> Any:
        self._number += 1
        mine = self._number
        message = {"id": mine, "method": method, "params": params}
        await self._socket.send_json(
            {**message, "sessionId": session} if session else message
        )
        async with asyncio.timeout(PATIENCE_S):
            while True:
                said = await self._socket.receive_json()
                if said.get("id") == mine:
                    assert "error" not in said, f"{method}: {said['error']}"
                    return said["result"]
                if tab := self._tabs.get(said.get("sessionId", "")):
                    tab.take(said.get("method", ""), said.get("params", {}))


@contextmanager
def browsing(directory: Path) -> Iterator[Browser]:
    """A browser with an empty profile, ended by its number."""
    found = program()
    assert found
    command = [found, *FLAGS, f"--user-data-dir={directory}"]
    if os.geteuid() == 0:
        command.append("--no-sandbox")
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([*command, "about:blank"], stdout=quiet, stderr=quiet)
    try:
        with asyncio.Runner() as runner:
            browser = Browser(runner, runner.run(_address(process, directory)))
            try:
                yield browser
            finally:
                browser.close()
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def _address(process: subprocess.Popen[bytes], directory: Path) -> str:
    """Where it listens, which it writes into its profile when it does."""
    told = directory / "DevToolsActivePort"
    async with asyncio.timeout(PATIENCE_S):
        while True:
            assert process.poll() is None, f"Chromium ended with {process.returncode}"
            lines = told.read_text().split() if told.exists() else []
            if len(lines) == 2:
                return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
            await asyncio.sleep(0.02)
