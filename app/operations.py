"""What runs the program asks of it: is it alive, is it ready, how much does it do; and one log line a request."""

import hmac
import logging
import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import state
from app.auth import COOKIE
from engine import settings
from engine.services import access, health, sign_in

log = logging.getLogger(__name__)

_REGISTRY = CollectorRegistry()
_REQUESTS = Counter("quotapath_requests", "HTTP requests", ["method", "route", "status"], registry=_REGISTRY)
_SECONDS = Histogram("quotapath_request_seconds", "Seconds until the answer", ["route"], registry=_REGISTRY)
ProcessCollector(registry=_REGISTRY)
GCCollector(registry=_REGISTRY)


class _Inside(Collector):
    """The calculation processes of this one, and what the database counts: asked when somebody looks."""

    def collect(self) -> Iterator[Metric]:
        """The metrics as of now."""
        workers = state.pool().status()
        busy = CounterMetricFamily("quotapath_worker_busy_seconds", "Seconds calculated", labels=["worker"])
        deals = CounterMetricFamily("quotapath_worker_deals", "Deals calculated", labels=["worker"])
        replaced = CounterMetricFamily("quotapath_worker_restarts", "Times replaced", labels=["worker"])
        for row in workers:
            busy.add_metric([str(row.worker)], row.busy_seconds)
            deals.add_metric([str(row.worker)], row.deals)
            replaced.add_metric([str(row.worker)], row.restarts)
        yield from (busy, deals, replaced)
        counts = health.counts(state.database())
        jobs = GaugeMetricFamily("quotapath_jobs", "Background jobs", labels=["kind", "status"])
        for (kind, status), number in counts.jobs.items():
            jobs.add_metric([kind, status], number)
        periods = GaugeMetricFamily("quotapath_pay_periods", "Pay periods", labels=["status"])
        for status, number in counts.periods.items():
            periods.add_metric([status], number)
        yield from (jobs, periods)
        yield GaugeMetricFamily("quotapath_sessions", "Live sessions", counts.sessions)
        yield GaugeMetricFamily(
            "quotapath_oldest_job_wait_seconds", "Wait of the oldest queued job", counts.oldest_wait
        )


_REGISTRY.register(
    _Inside(),
)


class Measured:
    """Counts and times every HTTP request by its route, never by its address: that may hold an id or a search."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, status = time.monotonic(), 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        finally:
            seconds, route = time.monotonic() - begun, _route(scope)
            _REQUESTS.labels(scope["method"] if scope["method"] in _METHODS else "other", route, status).inc()
            _SECONDS.labels(route).observe(seconds)
            if route.startswith("/api"):
                facts = {"route": route, "method": scope["method"], "status": status, "ms": round(seconds * 1000)}
                log.info("request %s %s: %s", scope["method"], route, status, extra={"facts": facts})


_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_KNOWN = ("/_stcore", "/media", "/static", "/assets", "/auth", "/healthz", "/readyz", "/metrics")


def _route(scope: Scope) -> str:
    """The route that answered, as it is written in the program: few of them, whatever is asked for."""
    path = str(scope["path"])
    if path.startswith("/api"):
        return f"/api{getattr(scope.get('route'), 'path', '') or '/unknown'}"
    return next((known for known in _KNOWN if path.startswith(known)), "page")


async def healthz(_request: Request) -> Response:
    """GET /healthz: the process answers."""
    return PlainTextResponse("ok")


async def readyz(_request: Request) -> Response:
    """GET /readyz: 200 when it can do its work, else 503 with what does not answer."""
    checks = await run_in_threadpool(health.readiness, state.database(), settings.read().redis_url)
    ready = all(check.is_ok for check in checks)
    return JSONResponse({"ready": ready, "checks": [vars(check) for check in checks]}, 200 if ready else 503)


async def metrics(request: Request) -> Response:
    """GET /metrics: for Prometheus with the token of the settings, or for a browser whose person may see the status."""
    if not await run_in_threadpool(_may_measure, request):
        return PlainTextResponse("Give the token of QUOTAPATH_METRICS_TOKEN, or sign in as an admin.", 401)
    return Response(await run_in_threadpool(generate_latest, _REGISTRY), media_type="text/plain; version=0.0.4")


def _may_measure(connection: HTTPConnection) -> bool:
    token, given = settings.read().metrics_token, connection.headers.get("authorization", "")
    if token is not None and hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
        return True
    actor = sign_in.session_actor(state.database(), connection.cookies.get(COOKIE))
    return actor is not None and access.may(actor, "status.view")
