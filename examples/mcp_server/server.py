"""A sample MCP server whose tools act for the owner of the agent's credential, with the roles it was given only.

It reads ``RESOURCE_SERVER_*`` (see docs/resource-servers.md); the audience is its own URL, such as
``http://127.0.0.1:8080/mcp``.
"""

from urllib.parse import urlsplit

import uvicorn
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from resource_server import AsyncVerifier
from resource_server.frameworks.mcp import BearerTokenVerifier, auth_settings, protect

verifier = AsyncVerifier.from_environment()
server = MCPServer("things", token_verifier=BearerTokenVerifier(verifier, "reader"), auth=auth_settings(verifier))


@server.tool()
def whoami() -> dict[str, object]:
    """Say for whom the agent acts, and with which roles."""
    token = get_access_token()
    if token is None:
        raise ToolError("no token")  # cannot be: the server refuses calls without one
    return {"acts_for": token.subject, "client": token.client_id, "roles": token.scopes}


@server.tool()
def add_thing(name: str) -> str:
    """Add a thing; needs the role writer as well."""
    token = get_access_token()
    if token is None or "writer" not in token.scopes:
        raise ToolError("This needs the role writer, which the owner has not given to this agent.")
    return f"added {name}"


app = protect(server.streamable_http_app(), verifier)

if __name__ == "__main__":
    at = urlsplit(verifier.settings.audience)
    uvicorn.run(app, host=at.hostname or "127.0.0.1", port=at.port or 8080, log_level="warning")
