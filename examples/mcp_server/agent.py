"""A sample agent: calls one tool of an MCP server with an application credential, by the unmodified official SDK.

    ISSUER=… CLIENT_ID=… CLIENT_SECRET=… python agent.py http://127.0.0.1:8080/mcp whoami [NAME=VALUE ...]

The SDK finds the authorization server through the server's metadata, and gets a token by the extension
``io.modelcontextprotocol/oauth-client-credentials``, with all roles that the credential was given.
"""

import asyncio
import json
import os
import sys

import httpx2
from mcp import ClientSession
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from mcp.types import CallToolResult, TextContent


class InMemory:
    """Keeps the token while the program runs (the SDK's protocol ``TokenStorage``)."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        """The token, if there is one."""
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Keep a token."""
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """What is known of the client."""
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Keep what is known of the client."""
        self.client = client_info


def provider(url: str, storage: InMemory) -> ClientCredentialsOAuthProvider:
    """Gets tokens for the MCP server at a URL."""
    return ClientCredentialsOAuthProvider(
        server_url=url,
        storage=storage,
        client_id=os.environ["CLIENT_ID"],
        client_secret=os.environ["CLIENT_SECRET"],
        issuer=os.environ["ISSUER"],
    )


async def call(url: str, tool: str, arguments: dict[str, str]) -> CallToolResult:
    """Call one tool; its answer."""
    async with (
        httpx2.AsyncClient(auth=provider(url, InMemory()), timeout=30) as http,
        streamable_http_client(url, http_client=http) as streams,
        ClientSession(*streams[:2]) as session,
    ):
        await session.initialize()
        return await session.call_tool(tool, arguments)


if __name__ == "__main__":
    where, name, *pairs = sys.argv[1:]
    told = asyncio.run(call(where, name, dict(pair.split("=", 1) for pair in pairs)))
    print(json.dumps([each.text for each in told.content if isinstance(each, TextContent)]))
    sys.exit(1 if told.is_error else 0)
