"""Health and metrics: ``/livez`` does no I/O, ``/readyz`` asks everything, ``/metrics`` is for few."""

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from flask import Blueprint, Response, current_app, jsonify, request

health = Blueprint("health", __name__)

_MARKS = frozenset({"forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"})

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Health:
    """What the health endpoints check; in ``app.extensions["health"]`` while the process serves."""

    ready: Callable[[], dict[str, str]]
    metrics: Callable[[], bytes]
    metrics_peers: Sequence[Network]


@health.get("/livez")
def livez() -> Response:
    """The process answers; nothing else is checked."""
    return jsonify(status="ok")


@health.get("/readyz")
def readyz() -> tuple[Response, int]:
    """Whether this node can serve; 503 names the parts that cannot, never a detail of them."""
    known: Health | None = current_app.extensions.get("health")
    faults = known.ready() if known else {"server": "not started"}
    if faults:
        return jsonify(status="unavailable", failing=sorted(faults)), 503
    return jsonify(status="ok"), 200


@health.get("/metrics")
def metrics() -> Response:
    """The Prometheus exposition, for the configured networks and never through a proxy."""
    known: Health | None = current_app.extensions.get("health")
    direct = not _forwarded(request.headers.keys())
    if known is None or not direct or not _within(request.remote_addr or "", known.metrics_peers):
        response = jsonify(error="not_found", error_description="There is nothing here.")
        response.status_code = 404
        return response
    return Response(known.metrics(), content_type="text/plain; version=0.0.4; charset=utf-8")


def _forwarded(names: Iterable[str]) -> bool:
    """Whether any proxy left its mark: then the peer is not the one who asks."""
    return any(name.lower() in _MARKS or name.lower().startswith("x-forwarded-") for name in names)


def _within(address: str, allowed: Sequence[Network]) -> bool:
    try:
        peer = ipaddress.ip_address(address)
    except ValueError:
        return False
    # An IPv4 caller of an IPv6 socket comes in IPv6 clothes.
    peer = getattr(peer, "ipv4_mapped", None) or peer
    return any(peer in network for network in allowed)
