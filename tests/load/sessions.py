"""Signed-in people at the pages: what a browser sends and receives over Streamlit's websocket, without the browser.

A person opens the app, reads, goes to the next page by the menu, and so on.  As a browser does, the session draws
again the parts of a page that repeat by themselves.
"""

import asyncio
import random
import time
from contextlib import suppress

import websockets
from streamlit.proto.Alert_pb2 import Alert
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection

from tests.load.measure import Latencies

PATIENCE = 60  # seconds for a page
PAGES = {"dashboard": "Dashboard", "deals": "Deals", "earnings": "Earnings", "pipeline": "Pipeline"}  # and their titles


class PageFailed(Exception):
    """A page that did not come, or came with an error in it."""


class Session:
    """One signed-in person.  `pages` are the times of the pages by name; what went wrong is noted there."""

    def __init__(self, url: str, token: str, pages: dict[str, Latencies]) -> None:
        self._url, self._token, self._found = url, token, pages
        self._hashes: dict[str, str] = {}
        self._page = ""  # its hash
        self._repeats: dict[str, tuple[float, float]] = {}  # fragment -> every so many seconds, and when next
        self._texts: list[str] = []

    def _connect(self) -> websockets.connect:
        return websockets.connect(
            f"{self._url.replace('http', 'ws')}/_stcore/stream",
            subprotocols=[websockets.Subprotocol("streamlit")],
            additional_headers={"Cookie": f"quotapath_session={self._token}"},
            max_size=None,
            compression=None,
        )

    async def visit(self) -> None:
        """Come, see the first page and leave."""
        async with self._connect() as socket:
            await self._open(socket, "dashboard", True)

    async def walk(self, think: tuple[float, float], until: asyncio.Event, begun: asyncio.Semaphore) -> None:
        """Go from page to page until told to stop.  `begun` is released once every page was seen."""
        seen = 0
        try:
            async with self._connect() as socket:
                while not until.is_set():
                    await self._open(socket, list(PAGES)[seen % len(PAGES)], first=not seen)
                    seen += 1
                    if seen == len(PAGES):
                        begun.release()
                    await self._think(socket, random.uniform(*think), until)  # noqa: S311 - no secret
        except (PageFailed, OSError, TimeoutError, websockets.WebSocketException) as error:
            self._found["any"].errors.append(f"{type(error).__name__}: {error}")
            if seen < len(PAGES):
                begun.release()

    async def _open(self, socket: ClientConnection, name: str, first: bool) -> None:
        """Open a page: by its address in a new tab, else by the menu."""
        asked = BackMsg()
        if first:
            asked.rerun_script.page_name = name
        else:
            asked.rerun_script.page_script_hash = self._hashes[name]
        begin = time.monotonic()
        self._texts.clear()
        self._repeats.clear()
        await socket.send(asked.SerializeToString())
        async with asyncio.timeout(PATIENCE):
            while await self._heard(socket) != ForwardMsg.FINISHED_SUCCESSFULLY:
                pass
        self._found[name].seconds.append(time.monotonic() - begin)
        if PAGES[name] not in self._texts:
            raise PageFailed(f"{name} came without its title; it says {self._texts[:5]}")

    async def _think(self, socket: ClientConnection, seconds: float, until: asyncio.Event) -> None:
        """Read the page for so long, as its repeating parts are drawn anew."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end and not until.is_set():
            for fragment, (every, due) in list(self._repeats.items()):
                if due <= now:
                    asked = BackMsg()
                    asked.rerun_script.page_script_hash = self._page
                    asked.rerun_script.fragment_id = fragment
                    asked.rerun_script.is_auto_rerun = True
                    await socket.send(asked.SerializeToString())
                    self._repeats[fragment] = every, now + every
            soon = min([end, now + 1, *(due for _, due in self._repeats.values())])
            with suppress(TimeoutError):
                async with asyncio.timeout(max(soon - now, 0.01)):
                    await self._heard(socket)

    async def _heard(self, socket: ClientConnection) -> int | None:
        """Take one message; gives how the script ended, once it has."""
        message = ForwardMsg.FromString(await socket.recv(decode=False))
        kind = message.WhichOneof("type")
        if kind == "new_session":
            self._page = message.new_session.page_script_hash
        elif kind == "navigation":
            self._hashes = {page.url_pathname: page.page_script_hash for page in message.navigation.app_pages}
        elif kind == "auto_rerun":
            every = message.auto_rerun.interval
            self._repeats[message.auto_rerun.fragment_id] = every, time.monotonic() + every
        elif kind == "stop_auto_rerun":
            self._repeats.clear()
        elif kind == "page_not_found":
            raise PageFailed("there is no such page")
        elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            element = message.delta.new_element
            what = element.WhichOneof("type")
            if what == "exception" or (what == "alert" and element.alert.format == Alert.ERROR):
                raise PageFailed(f"a page shows an error: {getattr(element, what)}")
            if what == "heading":
                self._texts.append(element.heading.body)
        elif kind == "script_finished":
            if message.script_finished == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
                raise PageFailed("the script of a page does not compile")
            return message.script_finished
        return None


def places() -> dict[str, Latencies]:
    """Where sessions note their times and errors."""
    return {name: Latencies() for name in (*PAGES, "any")}
