"""What an operator gives to register an org, whether it fits together, and the login in a browser that it may begin.

The state of a login ties its answer to it, and the verifier (PKCE, RFC 7636) makes the code worthless to anybody else.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qs, urlsplit

from orgserver.model.access.policies import Policy
from orgserver.model.errors import EnrolmentError
from orgserver.model.names import Alias
from orgserver.model.orgs import AuthKind, Credential, OrgHosts
from orgserver.model.secret import Secret
from orgserver.model.text import clean_text
from orgserver.salesforce import hosts
from orgserver.salesforce.auth import audiences, oauth
from orgserver.salesforce.auth.token_refusals import GUIDE, what_to_do_in_setup
from orgserver.services.orgs.identities import IdentityChange, check_identity

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


@dataclass(frozen=True, slots=True)
class Registration:
    """What an operator gave to register an org."""

    alias: Alias
    client_id: str
    client_secret: Secret | None
    login_url: str
    source: str
    """Where the credential was read from, for people."""
    auth: AuthKind = "refresh-token"
    refresh_token: Secret | None = None
    private_key: Secret | None = None
    username: str | None = None
    audience: str | None = None
    """Whom a signed assertion is meant for; None: the org's My Domain, else the login host it shares with others."""
    callback_url: str = CALLBACK
    instance_url: str | None = None
    api_version: str | None = None
    trusted_hosts: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    policy: Policy = field(default_factory=Policy)
    identity: IdentityChange | None = None
    """Whose login calls use; None: as it is, or the shared one."""
    replace: bool = False
    verify: bool = True
    command: str = "add-org"
    """Which command registers it, as the audit log names it; a registered org is changed by ``update-org``."""


def checked(registration: Registration) -> Registration:
    """The registration, made whole; EnrolmentError with what is missing or may not be."""
    check_host("--login-url", registration.login_url, registration.trusted_hosts)
    if registration.instance_url is not None:
        check_host("--instance-url", registration.instance_url, registration.trusted_hosts)
    change = registration.identity
    if change is not None and change.identity is not None:
        check_identity(registration.alias, registration.auth, change.identity, change.username_from)
        if not registration.verify:
            raise EnrolmentError("an identity binds an org whose id is known", hint="leave --no-verify out")
    if registration.auth == "refresh-token" and registration.refresh_token is None:
        raise EnrolmentError("no refresh token was given")
    if registration.auth == "web":
        _check_web(registration)
    if registration.auth == "jwt":
        return _checked_jwt(registration)
    if registration.auth == "client-credentials":
        _check_client_credentials(registration)
    return registration


def hosts_of(registration: Registration) -> OrgHosts:
    """Where the credential may be sent before its org is registered."""
    return OrgHosts(
        f"enrol/{registration.alias}",
        registration.instance_url or registration.login_url,
        registration.login_url,
        registration.trusted_hosts,
    )


def credential_of(registration: Registration) -> Credential:
    """The credential of a login that leaves no refresh token."""
    return Credential(
        client_id=registration.client_id,
        client_secret=registration.client_secret,
        refresh_token=None,
        private_key=registration.private_key,
        username=registration.username,
        audience=registration.audience,
        explicit_audience=registration.audience is not None,
    )


def check_host(origin: str, url: str, trusted_hosts: Sequence[str]) -> None:
    """Refuse a URL that no secret may go to; ``origin`` is what people call the place where it was given."""
    try:
        hosts.check_url(url, trusted_hosts)
    except hosts.ForeignHost as error:
        raise EnrolmentError(
            f"{origin}: {error}", hint="an org outside Salesforce's own domains needs --trust-host HOST[:PORT]"
        ) from None
    except ValueError as error:
        usable = hosts.meant_url(url) or "https://MYDOMAIN.my.salesforce.com"
        option = f"{origin} " if origin.startswith("--") else ""
        raise EnrolmentError(f"{origin}: {error}", hint=f"give {option}{usable}") from None


def check_client_credentials_host(login_url: str) -> None:
    """Refuse the login hosts of all orgs for an app's own credentials."""
    if audiences.is_shared(login_url):
        raise EnrolmentError(
            f"{login_url} does not take client credentials: only the org's own host knows whom they stand for",
            hint="give --login-url https://MYDOMAIN.my.salesforce.com, or --instance-url",
        )


def _check_web(registration: Registration) -> None:
    if not registration.verify:
        raise EnrolmentError(
            "a login in the browser is proven by itself", hint="leave --no-verify out, or use another --auth"
        )
    try:
        read_callback(registration.callback_url)
    except ValueError as error:
        raise EnrolmentError(f"--callback-url: {error}", hint="it must be one of the app's callback URLs") from None


def _checked_jwt(registration: Registration) -> Registration:
    if registration.private_key is None:
        raise EnrolmentError(
            "--auth jwt needs a private key", hint="give --jwt-key-file PEM, or private_key with --credentials-stdin"
        )
    if not registration.username:
        raise EnrolmentError(
            "--auth jwt needs to know whom to act as", hint="give --username, as Salesforce shows it in Setup"
        )
    return replace(registration, client_secret=None, audience=_checked_audience(registration))


def _checked_audience(registration: Registration) -> str | None:
    if registration.audience is None:
        return None
    try:
        return audiences.check(registration.audience, registration.login_url, registration.trusted_hosts)
    except ValueError as error:
        raise EnrolmentError(f"--audience: {error}", hint="leave --audience out: it is known from the host") from None


def _check_client_credentials(registration: Registration) -> None:
    check_client_credentials_host(registration.login_url)
    if registration.client_secret is None:
        raise EnrolmentError(
            "--auth client-credentials needs the app's client secret",
            hint="set ORGSERVER_CLIENT_SECRET, or use --credentials-stdin; secrets are never options",
        )


# -- a login in a browser


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


def begin_login(registration: Registration) -> Login:
    """Make a login that nobody else can answer; ValueError where its host may not be trusted."""
    callback = read_callback(registration.callback_url)
    state = Secret(secrets.token_urlsafe(_STATE_BYTES))
    verifier = Secret(secrets.token_urlsafe(_VERIFIER_BYTES))
    url = oauth.authorize_url(
        hosts.check_url(registration.login_url, registration.trusted_hosts),
        client_id=registration.client_id,
        callback=callback.url,
        state=state,
        verifier=verifier,
        login_hint=registration.username,
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
