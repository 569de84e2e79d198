"""How to use a credential from Postman, in two minutes."""

from flask.typing import ResponseReturnValue

from authserver.web.console.blueprint import console
from authserver.web.console.credentials_snippets import token_url
from authserver.web.console.pages import page


@console.get("/help/postman")
def postman_guide() -> ResponseReturnValue:
    """Five steps."""
    return page("credentials/postman.html", token_url=token_url())
