"""What an operator gives to register an org, and whether it fits together before anything is sent or stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from orgserver.model.errors import EnrolmentError
from orgserver.model.names import Alias
from orgserver.model.orgs import AuthKind, Credential, Policy
from orgserver.model.secret import Secret
from orgserver.salesforce import hosts
from orgserver.salesforce.auth import audiences
from orgserver.salesforce.hosts import OrgHosts
from orgserver.services.orgs.browser_login import CALLBACK, read_callback


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
    replace: bool = False
    verify: bool = True
    command: str = "add-org"
    """Which command registers it, as the audit log names it; a registered org is changed by ``update-org``."""


def checked(registration: Registration) -> Registration:
    """The registration, made whole; EnrolmentError with what is missing or may not be."""
    check_host("--login-url", registration.login_url, registration.trusted_hosts)
    if registration.instance_url is not None:
        check_host("--instance-url", registration.instance_url, registration.trusted_hosts)
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
