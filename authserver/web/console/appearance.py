"""Theme and language: kept for whoever is signed in, else in two cookies that say nothing else."""

from dataclasses import replace
from typing import Final

from flask import make_response, redirect, request
from flask.typing import ResponseReturnValue

from authserver.web.console import cookies
from authserver.web.console.admission import local_path, public
from authserver.web.console.blueprint import console
from authserver.web.console.here import here
from authserver.web.console.pages import THEME_COOKIE, THEMES
from authserver.web.console.words import LANGUAGE_COOKIE, LANGUAGES

_YEAR: Final = 365 * 24 * 3600


@console.post("/appearance")
@public
def appearance() -> ResponseReturnValue:
    """Change theme or language, and lead back."""
    at, form = here(), request.form
    theme, language = form.get("theme", ""), form.get("language", "")
    theme = theme if theme in THEMES else ""
    language = language if language in LANGUAGES else ""
    if at.visit is not None:
        likes = at.visit.preferences
        changed = replace(likes, theme=theme or likes.theme, language=language or likes.language)
        at.store.sign_ins.prefer(at.visit.user.id, changed)
    response = make_response(redirect(local_path(form.get("back", ""), "/console/sign-in"), 303))
    for name, value in ((THEME_COOKIE, theme), (LANGUAGE_COOKIE, language)):
        if value:
            cookies.put(response, name, value, _YEAR)
    return response
