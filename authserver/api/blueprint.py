"""The Flask blueprint that all routes of the management API are registered on."""

from typing import Final

from flask import Blueprint

PREFIX: Final = "/api/v1"

api = Blueprint("api", __name__, url_prefix=PREFIX, template_folder="templates")


def is_ours(path: str) -> bool:
    """Whether a path is the API's, of whatever version: errors there are problem details and never pages."""
    return path == "/api" or path.startswith("/api/")
