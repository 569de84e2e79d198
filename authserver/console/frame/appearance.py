"""Theme and language: stored with the signed-in user, else in two cookies that hold nothing else."""

from dataclasses import replace
from typing import Final

from flask import make_response, redirect, request, url_for
from flask.typing import ResponseReturnValue

from authserver.console.blueprint import console
from authserver.console.context import console_context
from authserver.console.frame import cookies
from authserver.console.frame.access import local_path, public
from authserver.console.frame.layout import THEME_COOKIE, THEMES
from authserver.console.i18n.messages import LANGUAGE_COOKIE, LANGUAGES

_YEAR: Final = 365 * 24 * 3600


@console.post("/appearance")
@public
def appearance() -> ResponseReturnValue:
    """Change theme or language, and redirect back."""
    context, form = console_context(), request.form
    theme, language = form.get("theme", ""), form.get("language", "")
    theme = theme if theme in THEMES else ""
    language = language if language in LANGUAGES else ""
    if context.current_user is not None:
        preferences = context.current_user.preferences
        changed = replace(preferences, theme=theme or preferences.theme, language=language or preferences.language)
        context.store.sign_ins.set_preferences(context.current_user.user.id, changed)
    response = make_response(redirect(local_path(form.get("back", ""), url_for("console.sign_in")), 303))
    for name, value in ((THEME_COOKIE, theme), (LANGUAGE_COOKIE, language)):
        if value:
            cookies.put(response, name, value, _YEAR)
    return response
