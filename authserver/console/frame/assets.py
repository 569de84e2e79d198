"""Styles and scripts: the name has a hash of the content, so a browser may cache them without end."""

import functools
import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flask import Response, abort, request, url_for

from authserver.console.blueprint import console
from authserver.console.frame.access import public

STATIC: Final = Path(__file__).resolve().parents[1] / "static"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
_FOR_EVER: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, as it is and packed."""

    content: bytes
    packed: bytes
    content_type: str
    digest: str


@functools.cache
def assets() -> dict[str, Asset]:
    """Every static file by name, read once."""
    found = {}
    for path in sorted(STATIC.iterdir()):
        if path.suffix in _TYPES:
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:16]
            found[path.name] = Asset(content, gzip.compress(content, mtime=0), _TYPES[path.suffix], digest)
    return found


def asset(name: str) -> str:
    """Where a browser finds a static file."""
    return url_for("console.static_file", digest=assets()[name].digest, name=name)


@console.get("/static/<digest>/<name>")
@public
def static_file(digest: str, name: str) -> Response:
    """Serve a file; under the hash of another version too, but uncached: an upgrade may be under way."""
    found = assets().get(name)
    if found is None:
        abort(404)
    packed = request.accept_encodings["gzip"] > 0
    response = Response(found.packed if packed else found.content, content_type=found.content_type)
    if packed:
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    response.headers["Cache-Control"] = _FOR_EVER if digest == found.digest else "no-cache"
    return response
