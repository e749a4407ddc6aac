"""A login in the browser: where a person is sent, and what the address they come back to says.

The state ties the answer to this login, and the verifier (PKCE, RFC 7636) makes the code worthless to anybody else.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from orgserver.model.errors import EnrolmentError
from orgserver.model.secret import Secret
from orgserver.model.text import clean_text
from orgserver.salesforce.auth import oauth
from orgserver.salesforce.auth.token_refusals import GUIDE, what_to_do_in_setup

CALLBACK = "http://localhost:1717/OauthRedirect"
"""Salesforce matches callbacks character for character; this one is registered for its own command line's app."""
PLATFORM_CLI = "PlatformCLI"
"""The app of Salesforce's command line, without a secret. It works only where an administrator has installed it, or for
users who hold *Approve Uninstalled Connected Apps* (forcedotcom/cli#3368, Help 005132365)."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_LONGEST = 8_192
_WHOLE = "give the whole address that the browser ended at"
_STATE_BYTES = 32
_VERIFIER_BYTES = 64  # 86 characters


class NoAnswer(EnrolmentError):
    """A text that is no answer of Salesforce's to this login: the right one may still come."""


class ForeignAnswer(NoAnswer):
    """An answer that is not to this login: an old page, or somebody who wants us to use their code."""


@dataclass(frozen=True, slots=True)
class Callback:
    """Where the browser is sent back to."""

    url: str
    host: str
    port: int
    netloc: str
    path: str
    loopback: bool
    """Whether this machine can listen there; otherwise the address is pasted."""


@dataclass(frozen=True, slots=True)
class Login:
    """One login that waits for its answer."""

    url: str = field(repr=False)
    callback: Callback
    state: Secret
    verifier: Secret


SignIn = Callable[[Login], Awaitable[Secret]]
"""Has a person log in, and gives the code that Salesforce answered."""


def read_callback(text: str) -> Callback:
    """Check a callback URL; ValueError says what is wrong with it."""
    try:
        parts = urlsplit(text)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise ValueError("a callback is a URL such as " + CALLBACK) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not text.isascii() or "@" in parts.netloc:
        raise ValueError("a callback is a URL such as " + CALLBACK)
    if parts.query or parts.fragment or any(character.isspace() for character in text):
        raise ValueError("a callback has no query, fragment or spaces")
    loopback = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if parts.scheme == "http" and not loopback:
        raise ValueError("a callback on another machine must be https, or the code could be read on its way")
    return Callback(text, parts.hostname, port, parts.netloc.lower(), parts.path or "/", loopback)


def begin(origin: str, client_id: str, callback: Callback, login_hint: str | None = None) -> Login:
    """Make a login that nobody else can answer."""
    state = Secret(secrets.token_urlsafe(_STATE_BYTES))
    verifier = Secret(secrets.token_urlsafe(_VERIFIER_BYTES))
    url = oauth.authorize_url(
        origin, client_id=client_id, callback=callback.url, state=state, verifier=verifier, login_hint=login_hint
    )
    return Login(url, callback, state, verifier)


def read_redirect(text: str, login: Login) -> Secret:
    """The code in the address that the browser ended at, or in its query alone.

    Raises ForeignAnswer if it answers another login, NoAnswer if it holds none, EnrolmentError if Salesforce refused.
    """
    answer = _read_answer(text.strip(), login.callback)
    state = answer.get("state", "")
    if not state or not hmac.compare_digest(state.encode(), login.state.reveal().encode()):
        raise ForeignAnswer(
            "this answer is not to this login: its state is missing or another one",
            hint="log in with the address that was printed last, and give the one the browser ended at",
        )
    if "error" in answer:
        raise _refused(answer["error"], answer.get("error_description", ""))
    if not answer.get("code"):
        raise NoAnswer("Salesforce's answer holds no code", hint=f"{_WHOLE}, or run the same command again")
    return Secret(answer["code"])


def _read_answer(text: str, callback: Callback) -> dict[str, str]:
    """The query of an address, which must be the callback's; each name once."""
    expected = f"the address that the browser ended at begins with {callback.url}"
    try:
        parts = urlsplit(text if "://" in text[:10] else f"{callback.url}?{text.lstrip('?')}")
        query = parse_qs(parts.query[:_LONGEST], keep_blank_values=True, max_num_fields=20)
    except ValueError:
        raise NoAnswer("this is no address that Salesforce sends a browser to", hint=expected) from None
    if f"{parts.scheme}://{parts.netloc.lower()}{parts.path or '/'}" != _plain(callback):
        raise NoAnswer("this is not the address of the callback", hint=expected)
    if any(len(values) > 1 for values in query.values()):
        raise NoAnswer("Salesforce's answer says something twice", hint=f"{_WHOLE}, or run the same command again")
    return {name: values[0] for name, values in query.items()}


def _plain(callback: Callback) -> str:
    return f"{urlsplit(callback.url).scheme}://{callback.netloc}{callback.path}"


def _refused(error: str, description: str) -> EnrolmentError:
    denied = f"log in again and press Allow; an administrator may have to allow the app first, see {GUIDE}"
    hint = denied if error == "access_denied" else what_to_do_in_setup(error)
    code = clean_text(error, 80)
    answer = f"{code}: {clean_text(description, 200)}" if description else code
    return EnrolmentError(
        f"Salesforce refused the login: {answer}",
        hint=hint or f"compare the app's settings with {GUIDE}, and log in again",
        outcome="rejected",
        code=code,
    )
