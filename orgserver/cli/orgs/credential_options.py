"""The options that say how to log in to an org, and the registration that they and their sources make.

Sources are standard input, an env file, the ``sf`` command and the environment. No secret is ever an option.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from orgserver.cli.login.credentials import CredentialParts, complete
from orgserver.model import names
from orgserver.model.access.policies import Policy
from orgserver.model.errors import ConfigError
from orgserver.model.orgs import AuthKind, Credential, Org

if TYPE_CHECKING:
    from orgserver.services.orgs.enrolment import Registration

F = TypeVar("F", bound=Callable[..., Any])
KINDS = ("web", "refresh-token", "jwt", "client-credentials")
_VARIABLES = ("client_id", "client_secret", "refresh_token")


def credential_options(command: F) -> F:
    """The options that say how to log in, and with what."""
    options = (
        click.option(
            "--auth",
            type=click.Choice(KINDS),
            help="How to log in. [add-org: web on a terminal when no secret is given, else refresh-token]",
        ),
        click.option("--login-url", metavar="URL", help="Where the org logs in. [default: the instance, else login]"),
        click.option("--test-org", is_flag=True, help="The same as --login-url https://test.salesforce.com."),
        click.option("--instance-url", metavar="URL", help="The org's own URL."),
        click.option("--client-id", metavar="ID", help="The app's client id (consumer key), or PlatformCLI."),
        click.option("--api-version", metavar="vNN.0", help="[default: the newest that the org offers]"),
        click.option("--username", metavar="USER", help="Whom to act as (jwt), or who logs in (web)."),
        click.option(
            "--jwt-key-file",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="PEM",
            help="The RSA private key whose certificate the app has.",
        ),
        click.option(
            "--audience",
            metavar="URL",
            help="Whom the assertion is meant for (jwt). [default: the org's My Domain, else login or test]",
        ),
        click.option("--callback-url", metavar="URL", help="[default: http://localhost:1717/OauthRedirect]"),
        click.option(
            "--env-file",
            type=click.Path(path_type=Path, dir_okay=False),
            help="Read SALESFORCE_CLIENT_ID and its like from a file.",
        ),
        click.option("--credentials-stdin", is_flag=True, help="Read the credential as JSON from standard input."),
        click.option("--sfdx-url-stdin", is_flag=True, help="Read a force:// URL from standard input."),
        click.option("--from-sf-cli", metavar="USER_OR_ALIAS", help="Take over a log-in of the sf command."),
        click.option("--yes", is_flag=True, help="Do not ask before a log-in of the sf command is taken over."),
        click.option(
            "--trust-host", multiple=True, metavar="HOST[:PORT]", help="Allow a host outside Salesforce's own domains."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def api_version_of(options: dict[str, Any]) -> str | None:
    """The API version of the options; UsageError if it is none."""
    try:
        return names.api_version(options["api_version"]) if options["api_version"] else None
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def read_registration(
    options: dict[str, Any],
    alias: names.Alias,
    *,
    policy: Policy,
    org: Org | None = None,
    stored: Credential | None = None,
) -> Registration:
    """Everything that somebody gives to register an org; ``org`` and ``stored`` are what is registered already.

    Hosts are judged before a secret is asked for. UsageError where options do not go together; other errors are
    those of ``login.credentials``.
    """
    from orgserver.services.orgs.registration import CALLBACK, Registration  # noqa: PLC0415

    auth, parts = _read_options(options)
    endpoints = _endpoints(options, auth, parts, org)
    if options["jwt_key_file"]:
        _add_key_file(parts, options["jwt_key_file"])
    complete(parts, auth, stored)
    return Registration(
        alias=alias,
        client_id=parts.values["client_id"],
        client_secret=parts.secret("client_secret"),
        login_url=endpoints.login_url,
        source=parts.proof_source(auth),
        auth=auth,
        refresh_token=parts.secret("refresh_token") if auth == "refresh-token" else None,
        private_key=parts.secret("private_key") if auth == "jwt" else None,
        username=options["username"] or (parts.values.get("username") if auth == "jwt" else _last_username(org)),
        audience=_audience(options, parts, stored) if auth == "jwt" else None,
        callback_url=options["callback_url"] or CALLBACK,
        instance_url=endpoints.instance_url,
        api_version=api_version_of(options) or _api_version_in(parts) or (org.api_version if org else None),
        trusted_hosts=endpoints.trusted_hosts,
        tags=tuple(dict.fromkeys(options.get("tags") or ())) if org is None else (),
        policy=policy,
        replace=org is not None or bool(options.get("replace")),
        verify=not options.get("no_verify"),
    )


@dataclass(frozen=True, slots=True)
class _Endpoints:
    """Where a login goes."""

    login_url: str
    instance_url: str | None
    trusted_hosts: tuple[str, ...]


def _endpoints(options: dict[str, Any], auth: AuthKind, parts: CredentialParts, org: Org | None) -> _Endpoints:
    """The hosts of a login; EnrolmentError names the source of one that no secret may go to."""
    from orgserver.salesforce.auth.audiences import LOGIN_URL, TEST_URL, is_shared  # noqa: PLC0415
    from orgserver.services.orgs.registration import check_client_credentials_host, check_host  # noqa: PLC0415

    trusted = _trusted_hosts(options, parts, org)
    for name in ("login_url", "instance_url"):
        if name in parts.values:
            check_host(parts.origin(name), parts.values[name], trusted)
    instance = parts.values.get("instance_url") or (org.instance_url if org else None)
    chosen = TEST_URL if options["test_org"] else parts.values.get("login_url")
    login = chosen or (org.login_url if org else None) or instance or LOGIN_URL
    if auth == "client-credentials":
        if instance and is_shared(login) and not options["login_url"]:
            login = instance  # only the org's own host takes them
        check_client_credentials_host(login)
    return _Endpoints(login, instance, trusted)


def _last_username(org: Org | None) -> str | None:
    """Who logged in last time, to be filled in on Salesforce's page."""
    return org.user.username if org and org.user else None


def _audience(options: dict[str, Any], parts: CredentialParts, stored: Credential | None) -> str | None:
    """The audience of the options or a source; else the one that an operator chose, while the login host stays."""
    audience: str | None = options["audience"] or parts.values.get("audience")
    moves = options["test_org"] or "login_url" in parts.values
    if audience is None and stored is not None and stored.explicit_audience and not moves:
        return stored.audience
    return audience


def _api_version_in(parts: CredentialParts) -> str | None:
    text = parts.values.get("api_version")
    try:
        return names.api_version(text) if text else None
    except ValueError as error:
        raise ConfigError(f"{parts.origin('api_version')}: {error}") from None


def _trusted_hosts(options: dict[str, Any], parts: CredentialParts, org: Org | None) -> tuple[str, ...]:
    from orgserver.salesforce import hosts  # noqa: PLC0415

    registered = org.trusted_hosts if org else ()
    try:
        more = [hosts.check_host(host) for host in (*options["trust_host"], *parts.trusted_hosts)]
    except ValueError as error:
        raise ConfigError(f"--trust-host: {error}") from None
    return tuple(dict.fromkeys((*registered, *more)))


def _read_options(options: dict[str, Any]) -> tuple[AuthKind, CredentialParts]:
    """The kind of login, and the parts that options and a source hold; UsageError where options do not go together."""
    environment = {name: os.environ.pop(f"ORGSERVER_{name.upper()}", "").strip() for name in _VARIABLES}
    source = _source_option(options)
    _refuse_stray(options)
    parts = _read_source(source, options)
    parts.environment = environment
    parts.add_options(options)
    return _auth(options, parts, source), parts


def _add_key_file(parts: CredentialParts, path: Path) -> None:
    """Add the private key of a PEM file, whose passphrase a person may be asked for."""
    from orgserver.cli.login import jwt_key  # noqa: PLC0415  # RSA is imported where it is used

    parts.add("private_key", jwt_key.read_file(path).reveal(), str(path))


def _source_option(options: dict[str, Any]) -> str | None:
    sources = [name for name in ("env_file", "credentials_stdin", "sfdx_url_stdin", "from_sf_cli") if options[name]]
    for pair in (sources, [name for name in ("login_url", "test_org") if options[name]]):
        if len(pair) > 1:
            one, other = (f"--{name.replace('_', '-')}" for name in pair[:2])
            raise click.UsageError(f"{one} and {other} exclude each other")
    return sources[0] if sources else None


def _refuse_stray(options: dict[str, Any]) -> None:
    """Refuse options that another --auth would need."""
    auth = options["auth"]
    if options["jwt_key_file"] and auth not in (None, "jwt"):
        raise click.UsageError("--jwt-key-file goes with --auth jwt")
    if options["username"] and auth not in (None, "jwt", "web"):
        raise click.UsageError("--username goes with --auth jwt or web")
    if options["audience"] and auth not in (None, "jwt"):
        raise click.UsageError("--audience goes with --auth jwt")
    if options["callback_url"] and auth not in (None, "web"):
        raise click.UsageError("--callback-url goes with --auth web")
    if (options["sfdx_url_stdin"] or options["from_sf_cli"]) and auth not in (None, "refresh-token"):
        raise click.UsageError("a log-in of the sf command is a refresh token: leave --auth out")


def _auth(options: dict[str, Any], parts: CredentialParts, source: str | None) -> AuthKind:
    """How to log in: as the options say, or as the parts can; with none, in the browser if somebody is here."""
    auth: AuthKind = options["auth"] or _auth_of_parts(options, parts, source)
    if options["audience"] and auth != "jwt":
        raise click.UsageError("--audience goes with --auth jwt")
    return auth


def _auth_of_parts(options: dict[str, Any], parts: CredentialParts, source: str | None) -> AuthKind:
    if options["jwt_key_file"] or "private_key" in parts.values:
        return "jwt"
    if options["callback_url"]:
        return "web"
    if source or parts.environment["refresh_token"] or not sys.stdin.isatty():
        return "refresh-token"
    return "web"


def _read_source(source: str | None, options: dict[str, Any]) -> CredentialParts:
    """The parts that a source holds; each is imported for those who use it."""
    if source == "credentials_stdin":
        from orgserver.cli.login import json_input  # noqa: PLC0415

        return json_input.read_stdin(options.get("alias"))
    if source == "env_file":
        from orgserver.cli.login import env_file  # noqa: PLC0415

        return env_file.read(options["env_file"])
    if source == "sfdx_url_stdin":
        from orgserver.cli.login import sf_cli  # noqa: PLC0415

        return sf_cli.parts_from_stdin()
    if source == "from_sf_cli":
        from orgserver.cli.login import sf_cli  # noqa: PLC0415

        return sf_cli.parts_of_org(options["from_sf_cli"], yes=options["yes"])
    return CredentialParts()
