"""What guards every request: headers, files only for the signed-in, and the route that sets the cookie."""

import base64
import hashlib
import re
from pathlib import Path
from urllib.parse import urlsplit

import streamlit as st
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import state
from app.auth import COOKIE
from engine.services import sign_in
from engine.services.sign_in import SESSION_HOURS, SignInRefused

_SIGNED_IN_ONLY = ("/media/", "/_stcore/metrics", "/_stcore/upload_file")  # Streamlit itself asks nobody


def _script_hashes() -> str:
    """The inline scripts of Streamlit's own page, as the policy names them."""
    page = (Path(st.__file__).parent / "static/index.html").read_text()
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    return " ".join(f"'sha256-{digest}'" for digest in digests)


# Vega compiles a chart's expressions (unsafe-eval); Streamlit writes its styles into the page.
_POLICY = "; ".join(
    (
        "default-src 'self'",
        f"script-src 'self' 'unsafe-eval' {_script_hashes()}",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guard:
    """Adds the security headers to every answer, and refuses files and metrics without a live session."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        app = self.app
        if scope["path"].startswith(_SIGNED_IN_ONLY):
            token = HTTPConnection(scope).cookies.get(COOKIE)
            if await run_in_threadpool(sign_in.session_actor, state.database(), token) is None:
                app = PlainTextResponse("Sign in first.", 401)
        await app(scope, receive, send_with_headers)


def is_same_origin(request: Request) -> bool:
    """Whether the browser says that our own page sent this (Sec-Fetch-Site, else Origin)."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc == request.headers.get("host")


async def open_session(request: Request) -> Response:
    """POST /auth/session: exchange a ticket for the session cookie."""
    if not is_same_origin(request):
        return PlainTextResponse("Sign in on this server's own page.", 403)
    ticket = b""
    async for part in request.stream():
        ticket += part
        if len(ticket) > 200:
            return PlainTextResponse("That is no ticket.", 400)
    try:
        session = await run_in_threadpool(sign_in.redeem_ticket, state.database(), ticket.decode("ascii", "replace"))
    except SignInRefused as refusal:
        return PlainTextResponse(str(refusal), 403)
    response = Response(status_code=204)
    response.set_cookie(
        COOKIE,
        session.token,
        max_age=SESSION_HOURS * 3600,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response
