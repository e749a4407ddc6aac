"""What ``add-org`` and ``update-org --auth`` share: the options of a credential, proving it, and what is said then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from orgserver.cli.login import sources
from orgserver.cli.login.credentials import CredentialParts, complete
from orgserver.cli.orgs.org_details import details_of
from orgserver.cli.support import app_of, operator, print_facts, print_json, safe, tell, warn
from orgserver.config import Settings
from orgserver.model import names
from orgserver.model.errors import ConfigError
from orgserver.model.orgs import AuthKind, Credential, Org, Policy

if TYPE_CHECKING:
    from orgserver.services.orgs.enrolment import Enrolled, Registration

F = TypeVar("F", bound=Callable[..., Any])
_PATIENCE_SECONDS = 0.5
_OLD_TOKEN = {
    "revoked": (tell, "The refresh token that {} had before was revoked at Salesforce."),
    "unknown": (tell, "Salesforce did not know the refresh token any more that {} had before."),
    "kept": (
        warn,
        (
            "the refresh token that {} had before was not revoked: it may be in use elsewhere, or Salesforce could not "
            "be asked. In Setup, Connected Apps OAuth Usage shows and revokes it."
        ),
    ),
}
_PASSED_BY = {
    "the prompt": "the refresh token that was typed in",
    "standard input": "the refresh token that came on standard input",
}
"""Sources that hold no copy themselves."""
_REMOVE = dict.fromkeys(_PASSED_BY, "Remove it where it came from")
KINDS = ("web", "refresh-token", "jwt", "client-credentials")


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

    Hosts are judged before a secret is asked for. Errors are those of ``sources`` and ``credentials``.
    """
    from orgserver.services.orgs.registration import CALLBACK, Registration  # noqa: PLC0415

    auth, parts = sources.read_options(options)
    endpoints = _endpoints(options, auth, parts, org)
    if options["jwt_key_file"]:
        sources.add_key_file(parts, options["jwt_key_file"])
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


async def enrol(settings: Settings, registration: Registration) -> Enrolled:
    """Prove a credential and register its org; Ctrl-C leaves things in order and says how."""
    from orgserver.cli.login.browser import sign_in  # noqa: PLC0415

    async with app_of(settings) as app:
        try:
            return await _patiently(app.enrolment.add(operator(), registration, sign_in))
        except asyncio.CancelledError:
            if await app.enrolment.kept_draft(registration.alias):
                tell("What Salesforce answered so far is kept, sealed: the same command again goes on from there.")
            else:
                tell("Nothing was changed.")
            raise


async def _patiently(enrolling: Coroutine[Any, Any, Enrolled]) -> Enrolled:
    """Wait for an enrolment. Ctrl-C stops it, once a token answer that is under way has been sealed."""
    task = asyncio.ensure_future(enrolling)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task}, timeout=_PATIENCE_SECONDS)
        if not task.done():
            tell("Waiting for Salesforce's answer, so that a new refresh token is not lost. Ctrl-C again gives up.")
            await asyncio.wait({task})
        raise


def show(enrolled: Enrolled, *, as_json: bool) -> None:
    """Tell which org was proven, and what a person should know of it."""
    org = enrolled.org
    if as_json:
        aliases = {"also_known_as": list(enrolled.also_known_as)}
        limits = {"known_limits": list(enrolled.known_limits), "tightened": list(enrolled.tightened)}
        print_json(
            details_of(org) | {"rotated": enrolled.rotated} | aliases | limits | {"old_token": enrolled.old_token}
        )
    else:
        facts = {
            "org id": org.org_id or "not asked",
            "user": org.user.username if org.user else "not asked (--no-verify)",
            "instance": org.instance_url,
            "kind": org.kind or "not known",
            "edition": org.edition or "not known",
            "API": org.api_version,
            "login": org.auth,
            "policy": ", ".join(org.policy.limits) or "none: agents may do what this user may",
        }
        click.echo(f"{org.alias}: {safe(org.name)}")
        print_facts({f"  {name}": value for name, value in facts.items()})
    _say_what_else(enrolled)


def known_limits(enrolled: Enrolled) -> str:
    """That an org was here before, and what limits it since then."""
    limits = ", ".join(enrolled.known_limits)
    return f"this org is known: its limits {limits} apply; only update-org takes a limit away"


def same_limits(aliases: Iterable[str], policy: Policy | None = None) -> str:
    """That other aliases of an org are limited with it, and how."""
    limits = f": {', '.join(policy.limits)}" if policy is not None else ""
    return f"{', '.join(aliases)}: the same org, so the same limits from now on{limits}"


def _dead_copy(source: str) -> str:
    return _PASSED_BY.get(source, f"the copy in {source}")


def _say_what_else(enrolled: Enrolled) -> None:
    org = enrolled.org
    if enrolled.resumed and org.auth == "web":
        tell("This goes on from the login that an earlier run was given.")
    if enrolled.rotated:
        warn(
            f"refresh token rotation is on: {_dead_copy(org.source)} is dead now, and using it would revoke this one. "
            f"{_REMOVE.get(org.source, 'Remove it there')}, or log in separately with --auth web."
        )
    if enrolled.also_known_as:
        warn(f"the same org is also registered as {', '.join(enrolled.also_known_as)}; what limits one limits all")
    if enrolled.known_limits:
        warn(known_limits(enrolled))
    if enrolled.tightened:
        warn(f"the limits given now bind {', '.join(enrolled.tightened)} too: {', '.join(org.policy.limits)}")
    if enrolled.old_token is not None:
        say, text = _OLD_TOKEN[enrolled.old_token]
        say(text.format(org.alias))
