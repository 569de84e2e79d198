"""What a developer pastes to get a token: the real address, id and secret filled in, each runs as it is.

Nothing here is kept: a snippet is made for the one page that shows the secret.
"""

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from authserver.console.context import console_context


@dataclass(frozen=True, slots=True, repr=False)
class Access:
    """Where to ask, with what. ``resource`` only where the server would not know the API by itself. Has no repr."""

    token_url: str
    client_id: str
    secret: str
    name: str
    resource: str = ""

    @property
    def form(self) -> dict[str, str]:
        """The fields of the token request, without id and secret."""
        return {"grant_type": "client_credentials", **({"resource": self.resource} if self.resource else {})}


@dataclass(frozen=True, slots=True, repr=False)
class Snippet:
    """One way to ask; ``file`` is what a download is called. Has no repr."""

    key: str
    label: str
    file: str
    text: str


def token_url() -> str:
    """Where tokens are asked for."""
    return f"{console_context().services.issuer}/oauth/token"


def resource_needed() -> str:
    """The audience to ask for where there is neither a default nor a single API; else empty (PRODUCT.md §3)."""
    context = console_context()
    if context.accounts.general().default_audience:
        return ""
    live = [each.audience for each in context.accounts.resource_servers() if each.disabled_at is None]
    return live[0] if len(live) > 1 else ""


def snippets(access: Access) -> list[Snippet]:
    """All of them, in the order of the tabs."""
    return [Snippet(key, label, file, make(access)) for key, label, file, make in _KINDS]


def _curl(access: Access) -> str:
    # One line, and quotes that every shell takes for quotes, also those of Windows.
    more = "".join(f" -d {_quoted(f'{key}={quote(value, safe=_FORM_SAFE)}')}" for key, value in access.form.items())
    credentials = _quoted(f"{access.client_id}:{access.secret}")
    return f"curl -sS --fail-with-body -u {credentials}{more} {_quoted(access.token_url)}"


def _python(access: Access) -> str:
    return f"""\
import requests

answer = requests.post(
    {_literal(access.token_url)},
    auth=({_literal(access.client_id)}, {_literal(access.secret)}),
    data={{{", ".join(f"{_literal(key)}: {_literal(value)}" for key, value in access.form.items())}}},
    timeout=10,
)
answer.raise_for_status()
print(answer.json()["access_token"])
"""


def _node(access: Access) -> str:
    return f"""\
const answer = await fetch({_literal(access.token_url)}, {{
  method: "POST",
  headers: {{ authorization: "Basic " + btoa({_literal(f"{access.client_id}:{access.secret}")}) }},
  body: new URLSearchParams({{ {", ".join(f"{key}: {_literal(value)}" for key, value in access.form.items())} }}),
}});
if (!answer.ok) throw new Error(await answer.text());
console.log((await answer.json()).access_token);
"""


def _powershell(access: Access) -> str:
    parameters = {**access.form, "client_id": access.client_id, "client_secret": access.secret}
    lines = "\n".join(f"  {key} = {_single(value)}" for key, value in parameters.items())
    return f"""\
$body = @{{
{lines}
}}
$token = Invoke-RestMethod -Method Post -Uri {_single(access.token_url)} -Body $body
$token.access_token
"""


def _postman(access: Access) -> str:
    parameters = {**access.form, "client_id": "{{client_id}}", "client_secret": "{{client_secret}}"}
    request = {
        "name": "Get a token",
        "request": {
            "method": "POST",
            "url": "{{token_url}}",
            "auth": {"type": "noauth"},
            "header": [],
            "body": {
                "mode": "urlencoded",
                "urlencoded": [{"key": key, "value": value, "type": "text"} for key, value in parameters.items()],
            },
        },
        "event": [
            {
                "listen": "test",
                "script": {
                    "type": "text/javascript",
                    "exec": [
                        'pm.test("a token is given", () => pm.response.to.have.status(200));',
                        'pm.collectionVariables.set("access_token", pm.response.json().access_token);',
                    ],
                },
            }
        ],
    }
    values = {
        "token_url": access.token_url,
        "client_id": access.client_id,
        "client_secret": access.secret,
        "access_token": "",
    }
    collection = {
        "info": {
            "name": access.name,
            "schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json",
        },
        "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{access_token}}", "type": "string"}]},
        "item": [request],
        "variable": [{"key": key, "value": value} for key, value in values.items()],
    }
    return json.dumps(collection, indent=2) + "\n"


def _env(access: Access) -> str:
    lines = {"TOKEN_URL": access.token_url, "CLIENT_ID": access.client_id, "CLIENT_SECRET": access.secret}
    if access.resource:
        lines["RESOURCE"] = access.resource
    return "".join(f"{key}={shlex.quote(value)}\n" for key, value in lines.items())


def _quoted(text: str) -> str:
    """For a shell; what may come from a configuration could hold more than letters."""
    return f'"{text}"' if not set(text) & set('"$`\\!%') else shlex.quote(text)


def _literal(text: str) -> str:
    """A string of Python and of JavaScript alike."""
    return json.dumps(text)


def _single(text: str) -> str:
    """A string of PowerShell that nothing is put into; it takes the quotes of printers for quotes as well."""
    return "'" + _SINGLE_QUOTES.sub(r"\g<0>\g<0>", text) + "'"


_SINGLE_QUOTES: Final = re.compile("['\N{LEFT SINGLE QUOTATION MARK}-\N{SINGLE HIGH-REVERSED-9 QUOTATION MARK}]")
_FORM_SAFE: Final = "/:"
"""RFC 3986 unreserved characters and these need no encoding in a form."""

# No file is called token.py: Python's own library has one, and would find this instead.
_KINDS: Final[tuple[tuple[str, str, str, Callable[[Access], str]], ...]] = (
    ("curl", "curl", "get_token.sh", _curl),
    ("python", "Python", "get_token.py", _python),
    ("node", "Node", "get_token.mjs", _node),
    ("powershell", "PowerShell", "get_token.ps1", _powershell),
    ("postman", "Postman", "credential.postman_collection.json", _postman),
    ("env", ".env", "credential.env", _env),
)
