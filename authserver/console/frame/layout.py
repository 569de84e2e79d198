"""Renders pages in the layout, and error pages."""

from dataclasses import dataclass
from typing import Any, Final

from flask import Flask, Response, current_app, make_response, render_template, request, url_for
from werkzeug.exceptions import HTTPException

from authserver.actions.sign_in import SEEN_EVERY
from authserver.console.context import console_context
from authserver.console.frame import cookies, flash
from authserver.console.frame.access import HEADERS, may, requested_path
from authserver.console.frame.dates import day, exact, on, relative, utc_day, when
from authserver.console.i18n.messages import LANGUAGES, N_, gettext, language, marked, marked_number, ngettext
from authserver.ports.console_reads.paging import MAX_COUNTED
from authserver.ports.errors import NotFound, Refusal, Unavailable
from authserver.rules import permission
from authserver.rules.sign_in import IDLE
from authserver.telemetry.logs import logger

THEMES: Final = ("system", "light", "dark")
THEME_COOKIE: Final = "console-theme"
# The order matters: each later one also calls itself by the names before.
_BROWSERS: Final = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
)
_SYSTEMS: Final = (
    ("Android", "Android"),
    ("iPhone", "iOS"),
    ("iPad", "iPadOS"),
    ("Windows", "Windows"),
    ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)


@dataclass(frozen=True, slots=True)
class NavigationItem:
    """One part of the console in the header; ``endpoint`` may not be there yet."""

    name: str
    endpoint: str
    permission: str = ""


NAVIGATION: Final = (
    NavigationItem(N_("Credentials"), "console.credentials"),
    NavigationItem(N_("Users & roles"), "console.users", permission.USERS),
    NavigationItem(N_("Settings"), "console.settings"),
    NavigationItem(N_("Resource servers"), "console.resource_servers", permission.RESOURCE_SERVERS),
    NavigationItem(N_("Security"), "console.security", permission.SECURITY),
)

_ERROR_TEXTS: Final = {
    400: (N_("This cannot be done"), N_("The request is not one that this page understands.")),
    403: (N_("You may not do this"), N_("None of your roles opens this page. An administrator can give you one.")),
    404: (N_("There is nothing here"), N_("It may have been deleted, or it belongs to somebody else.")),
    405: (N_("There is nothing here"), N_("This address takes forms of another page only.")),
    413: (N_("That is too much"), N_("A form may have 64 kB at most. Go back and shorten it.")),
    503: (
        N_("Not right now"),
        N_("The server cannot read or write its database. Nothing was changed; try again shortly."),
    ),
    500: (N_("Something went wrong"), N_("The operator's log has the details.")),
}
_CSRF: Final = (
    N_("This form is too old"),
    N_("It was opened before you signed in, or on another site. Nothing was changed. Go back, reload, and send again."),
)
_HTTPS_REQUIRED: Final = (
    N_("Use https"),
    N_("This address must be opened by https. Nothing you type here would be private."),
)


def browser(agent: str) -> str:
    """A short name for a browser and its system, as far as its own words go; empty when they say nothing known."""
    name = next((label for mark, label in _BROWSERS if mark in agent), "")
    system = next((label for mark, label in _SYSTEMS if mark in agent), "")
    return ", ".join(word for word in (name, system) if word)


def page(template: str, status: int = 200, **context: Any) -> Response:
    """Render a template of ``templates/console`` into an answer."""
    return make_response(render_template(f"console/{template}", **context), status)


def many(count: int) -> str:
    """A count of live tokens, which stops at ``MAX_COUNTED``: ``500+``."""
    return f"{count}+" if count >= MAX_COUNTED else str(count)


def theme() -> str:
    """``system``, ``light`` or ``dark``: as the reader chose."""
    current_user = console_context().current_user
    chosen = (current_user.preferences.theme if current_user else "") or request.cookies.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else "system"


def navigation() -> list[dict[str, Any]]:
    """The parts of the console that the signed-in user may open."""
    path = request.script_root + request.path
    shown = []
    for item in NAVIGATION:
        if item.permission and not may(item.permission):
            continue
        href = url_for(item.endpoint) if item.endpoint in current_app.view_functions else ""
        if href:
            inside = path == href or path.startswith(f"{href}/")
            shown.append({"name": gettext(item.name), "href": href, "current": inside})
    return shown


def session_ends_in() -> int:
    """Seconds until the console session ends if it is not used."""
    context = console_context()
    return min(IDLE - SEEN_EVERY, context.signed_in.session.ends_at - context.now)


def is_console_path(path: str) -> bool:
    """Whether a path is the console's."""
    return path == "/console" or path.startswith("/console/")


def error_page(status: int, reason: str = "") -> Response:
    """The error page of a status, with what to do."""
    title, text = _ERROR_TEXTS.get(status, _ERROR_TEXTS[500] if status >= 500 else _ERROR_TEXTS[400])  # noqa: PLR2004 - RFC 9110 §15
    if reason == "csrf":
        title, text = _CSRF
    elif status == 400 and not console_context().private:  # noqa: PLR2004 - as above
        title, text = _HTTPS_REQUIRED
    try:
        response = page("error.html", status, title=gettext(title), text=gettext(text))
    except Exception as error:  # noqa: BLE001 - without a database, a page without layout
        logger().warning("error_page_bare", fault=type(error).__name__)
        response = make_response(render_template("console/bare.html", title=title, text=text), status)
    for name, value in HEADERS.items():
        response.headers[name] = value
    response.headers["Cache-Control"] = "no-store"
    response.vary.add("Cookie")
    if status == 503:  # noqa: PLR2004 - RFC 9110 §15.6.4
        response.headers["Retry-After"] = "2"
    return response


def error_response(error: Exception) -> Response:
    """The error page of an exception that a view raised."""
    if isinstance(error, HTTPException):
        if error.response is not None:
            return make_response(error.response)
        return error_page(error.code or 500, str(error.description or ""))
    if isinstance(error, NotFound):
        return error_page(404)
    if isinstance(error, Refusal):
        return error_page(400)
    if isinstance(error, Unavailable):
        logger().warning("unavailable", reason=str(error))
        return error_page(503)
    logger().error("request_failed", fault=type(error).__name__, exc_info=error)
    return error_page(500)


def install_template_globals(app: Flask) -> None:
    """Give templates what all of them use."""
    from authserver.console.frame.assets import asset  # noqa: PLC0415 - it hangs a route, like the pages

    app.jinja_env.add_extension("jinja2.ext.i18n")
    environment: Any = app.jinja_env  # the extension adds to it
    environment.install_gettext_callables(gettext, ngettext, newstyle=True)
    # The same, cached.
    app.jinja_env.globals.update({"_": marked, "gettext": marked, "ngettext": marked_number})
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(
        requested_path=requested_path,
        asset=asset,
        csrf_token=cookies.csrf_token,
        context=console_context,
        language=language,
        languages=LANGUAGES,
        may=may,
        flash_messages=flash.take_messages,
        navigation=navigation,
        session_ends_in=session_ends_in,
        theme=theme,
        themes=THEMES,
    )
    app.jinja_env.filters.update(
        browser=browser, many=many, when=when, on=on, exact=exact, day=day, utc_day=utc_day, relative=relative
    )
