"""How to use a credential from Postman, in two minutes."""

from flask.typing import ResponseReturnValue

from authserver.console.blueprint import console
from authserver.console.credentials.snippets import token_url
from authserver.console.frame.layout import page


@console.get("/help/postman")
def postman_guide() -> ResponseReturnValue:
    """Five steps."""
    return page("credentials/postman.html", token_url=token_url())
