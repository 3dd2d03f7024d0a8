"""What an operator's tools ask the page: `/healthz`, and `/metrics` where they may."""

from __future__ import annotations

from typing import Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .answerer import Answerer
from .listen import ListenAddress
from .visitors import asks_from_here


def operator_routes(
    answerer: Answerer, place: ListenAddress, metrics: Literal["local", "open", "off"]
) -> list[Route]:
    """Routes for the page's app. They stand before its password: they tell nothing of anyone.

    `/healthz`: 200 when questions are taken, else 503; `{"state", "engine", "restarts"}`.
    `/metrics`: Prometheus text; 404 to whom `metrics` does not let in.
    """

    async def healthz(request: Request) -> Response:
        state = answerer.host.state()
        phase = "draining" if answerer.draining else state.phase
        engine = state.info.name if state.info else None
        said = {"state": phase, "engine": engine, "restarts": state.restarts}
        headers = {"Cache-Control": "no-store"}
        return JSONResponse(said, 200 if phase == "ready" else 503, headers)

    async def figures(request: Request) -> Response:
        if not _may_read(request, place, metrics):
            return Response(status_code=404)
        text, media_type = answerer.metrics.text()
        return Response(text, headers={"Content-Type": media_type, "Cache-Control": "no-store"})

    return [Route("/healthz", healthz), Route("/metrics", figures)]


def _may_read(request: Request, place: ListenAddress, metrics: str) -> bool:
    if metrics != "local":
        return metrics == "open"
    return not place.behind_proxy and asks_from_here(request)
