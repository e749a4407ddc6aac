"""Pages for people: templates filled in, under headers that let nothing in from outside.

A page has no script, and styles from this server alone. Nobody may frame it, keep it, or learn its address from the
next one. What strangers wrote stands in it as text, with what cannot be seen written out.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined

from orgserver.model.names import new_id
from orgserver.model.text import escape_text
from orgserver.serving.http.replies import Headers, Reply

logger = logging.getLogger("orgserver.http")

STYLE_PATH = "/signin/style.css"
OWN_FORMS = "'self'"
"""The forms of a page go to this server, and no answer to them leads elsewhere."""
LONGEST = 200
"""Characters of a stranger's text that a page repeats."""
_PACKAGE = "orgserver.serving.http.people"
_HTML = b"text/html; charset=utf-8"
_PERMISSIONS = b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"
_FIXED: Headers = (
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"permissions-policy", _PERMISSIONS),
)


class Pages:
    """The templates of a server, and what all its pages say of it."""

    def __init__(self, url: str) -> None:
        self._style = files(_PACKAGE).joinpath("style.css").read_bytes()
        self._templates = Environment(
            loader=PackageLoader(_PACKAGE),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_show,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"short": shorten, "time": describe_time}
        self._templates.globals |= {
            "host": urlsplit(url).netloc,
            "style": f"{STYLE_PATH}?{hashlib.sha256(self._style).hexdigest()[:8]}",
        }
        for name in self._templates.list_templates():  # now, so that no request waits for it
            self._templates.get_template(name)

    def render(
        self, name: str, status: int = 200, *, forms: str = OWN_FORMS, headers: Headers = (), **values: Any
    ) -> Reply:
        """A page; ``forms`` says where its forms may lead, as CSP's ``form-action`` does. A long one in a thread."""
        body = self._templates.get_template(name).render(values)
        return Reply(status, body.encode("utf-8", "replace"), _HTML, (*make_headers(forms), *headers))

    def fail(
        self,
        status: int,
        title: str,
        text: str,
        todo: str,
        *,
        facts: Mapping[str, str] | None = None,
        command: str | None = None,
        return_url: str | None = None,
        headers: Headers = (),
        reason: str | None = None,
    ) -> Reply:
        """A page that says what happened and what to do.

        ``facts`` are what an administrator needs to know, ``command`` what they may run. ``return_url`` leads back to a
        client: only where its redirect URI is known to be the client's own. The page has an id by which the log tells
        of it, with the ``reason``, which people are not shown.
        """
        id_ = new_id()
        cause = f": {reason}" if reason else ""
        logger.info("a page of error %d: %s (request %s)%s", status, escape_text(title), id_, escape_text(cause))
        return self.render(
            "error.html",
            status,
            headers=headers,
            title=title,
            text=text,
            todo=todo,
            facts=facts or {},
            command=command,
            return_url=return_url,
            request_id=id_,
        )

    def answer_style(self) -> Reply:
        """What all pages look like."""
        headers: Headers = ((b"cache-control", b"max-age=3600"), (b"x-content-type-options", b"nosniff"))
        return Reply(200, self._style, b"text/css; charset=utf-8", headers)


def find_forms(redirect_uri: str) -> str:
    """Where the form of consent may lead: a browser follows it to the client, and CSP would stop that.

    Any https address, for the client's may send people on; the loopback address of this computer only where the client
    is there. CSP has no word for ``[::1]`` alone.
    """
    parts = urlsplit(redirect_uri)
    if parts.scheme == "https":
        return f"{OWN_FORMS} https:"
    loopback = "http:" if parts.hostname == "::1" else "http://127.0.0.1:* http://localhost:*"
    return f"{OWN_FORMS} https: {loopback}"


def shorten(text: object, longest: int = LONGEST) -> str:
    """A stranger's text, cut where it would take the page."""
    shown = str(text)
    return shown if len(shown) <= longest else f"{shown[: longest - 1].rstrip()}…"


def describe_time(time: datetime) -> str:
    """A time as people read it, in UTC: no page knows in which zone they are."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M}"


def make_headers(forms: str = OWN_FORMS) -> Headers:
    """What every page is sent with."""
    csp = f"default-src 'none'; style-src 'self'; form-action {forms}; frame-ancestors 'none'; base-uri 'none'"
    return ((b"content-security-policy", csp.encode("ascii")), *_FIXED)


def _show(value: object) -> object:
    """What a template shows of a value: markup is the templates' own, all else is text of which nothing is unseen."""
    if value is None:
        return ""
    return value if hasattr(value, "__html__") else escape_text(str(value))
