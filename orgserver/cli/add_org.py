"""``orgserver add-org``: register an org and prove its credential."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orgserver.cli import credentials
from orgserver.cli.policy import policy_of, policy_options
from orgserver.cli.support import app_of, operator, print_facts, print_json, run, safe, settings_of, tell, warn
from orgserver.config import Settings
from orgserver.model import names
from orgserver.model.errors import ConfigError
from orgserver.model.orgs import Policy

if TYPE_CHECKING:
    from orgserver.services.enrolment import Enrolled

LOGIN_URL = "https://login.salesforce.com"
TEST_URL = "https://test.salesforce.com"
_PATIENCE_SECONDS = 0.5
_LATER = ("username", "jwt_key_file", "sfdx_url_stdin", "from_sf_cli", "callback_url")


@click.command(
    "add-org",
    epilog="Examples:\n\n  orgserver add-org acme --env-file .env\n\n"
    "  pass show acme | orgserver add-org acme --credentials-stdin\n\n"
    "  orgserver add-org acme-test --test-org --client-id 3MVG9… (asks for the secrets)",
)
@click.argument("alias")
@click.option("--auth", type=click.Choice(["web", "refresh-token", "jwt", "client-credentials"]), help="How to log in.")
@click.option("--login-url", metavar="URL", help=f"Where the org logs in. [default: the instance, else {LOGIN_URL}]")
@click.option("--test-org", is_flag=True, help=f"The same as --login-url {TEST_URL}.")
@click.option("--instance-url", metavar="URL", help="The org's own URL.")
@click.option("--client-id", metavar="ID", help="The app's client id (consumer key).")
@click.option("--api-version", metavar="vNN.0", help="[default: the newest that the org offers]")
@click.option(
    "--env-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Read SALESFORCE_CLIENT_ID and its like from a file.",
)
@click.option("--credentials-stdin", is_flag=True, help="Read the credential as JSON from standard input.")
@click.option(
    "--trust-host", multiple=True, metavar="HOST[:PORT]", help="Allow a host outside Salesforce's own domains."
)
@click.option("--tag", "tags", multiple=True, metavar="NAME", help="A word to find the org by.")
@click.option("--replace", is_flag=True, help="Give new credentials to an alias that exists.")
@click.option("--no-verify", is_flag=True, help="Do not prove the credential now.")
@click.option("--username", hidden=True)
@click.option("--jwt-key-file", hidden=True)
@click.option("--sfdx-url-stdin", is_flag=True, hidden=True)
@click.option("--from-sf-cli", hidden=True)
@click.option("--callback-url", hidden=True)
@policy_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def add_org(**options: Any) -> None:
    """Register an org as ALIAS.

    Secrets come from ORGSERVER_CLIENT_SECRET and ORGSERVER_REFRESH_TOKEN, an env file, standard input,
    or a hidden prompt; never from an option.
    """
    for name in _LATER:
        if options[name]:
            raise ConfigError(f"--{name.replace('_', '-')} is not in this version yet", hint="use a refresh token")
    if options["auth"] not in (None, "refresh-token"):
        raise ConfigError(f"--auth {options['auth']} is not in this version yet", hint="use --auth refresh-token")
    policy = Policy(**policy_of(options))
    try:
        alias = names.alias(options["alias"])
        version = names.api_version(options["api_version"]) if options["api_version"] else None
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    settings = settings_of()
    given = credentials.gather(
        client_id=options["client_id"], env_file=options["env_file"], from_stdin=options["credentials_stdin"]
    )
    if version is None and given.values.get("api_version"):
        try:
            version = names.api_version(given.values["api_version"])
        except ValueError as error:
            raise ConfigError(f"api_version from {given.sources['api_version']}: {error}") from None
    run(_add(settings, given, alias, version, policy, options))


async def _add(
    settings: Settings,
    given: credentials.Given,
    alias: names.Alias,
    version: str | None,
    policy: Policy,
    options: dict[str, Any],
) -> None:
    from orgserver.salesforce import hosts  # noqa: PLC0415
    from orgserver.services.enrolment import Registration  # noqa: PLC0415

    instance = options["instance_url"] or given.values.get("instance_url")
    login = options["login_url"] or (TEST_URL if options["test_org"] else given.values.get("login_url"))
    try:
        trusted = tuple(hosts.check_host(host) for host in (*options["trust_host"], *given.trusted_hosts))
    except ValueError as error:
        raise ConfigError(f"--trust-host: {error}") from None
    refresh_token = given.secret("refresh_token")
    if refresh_token is None:
        raise ConfigError("no refresh token was given")
    registration = Registration(
        alias=alias,
        client_id=given.values["client_id"],
        client_secret=given.secret("client_secret"),
        refresh_token=refresh_token,
        login_url=login or instance or LOGIN_URL,
        source=given.source,
        instance_url=instance,
        api_version=version,
        trusted_hosts=tuple(dict.fromkeys(trusted)),
        tags=tuple(dict.fromkeys(options["tags"])),
        policy=policy,
        replace=options["replace"],
        verify=not options["no_verify"],
    )
    async with app_of(settings) as app:
        try:
            enrolled = await _patiently(app.enrolment.add(operator(), registration))
        except asyncio.CancelledError:
            if await app.enrolment.kept_draft(alias):
                tell("What Salesforce answered so far is kept, sealed: the same command again goes on from there.")
            else:
                tell("Nothing was changed.")
            raise
    _show(enrolled, given.source, as_json=options["as_json"])


async def _patiently(enrolling: Coroutine[Any, Any, Enrolled]) -> Enrolled:
    """Wait for an enrolment. Ctrl-C stops it, once a token answer that is under way has been sealed."""
    task = asyncio.ensure_future(enrolling)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=_PATIENCE_SECONDS)
        if not done:
            tell("Waiting for Salesforce's answer, so that a new refresh token is not lost. Ctrl-C again gives up.")
            await asyncio.wait({task})
        raise


def _show(enrolled: Enrolled, source: str, *, as_json: bool) -> None:
    org = enrolled.org
    if as_json:
        from orgserver.cli.orgs import told_of  # noqa: PLC0415

        print_json(told_of(org) | {"rotated": enrolled.rotated, "also_known_as": list(enrolled.also_known_as)})
    else:
        told = {
            "org id": org.org_id or "not asked",
            "user": org.user.username if org.user else "not asked (--no-verify)",
            "instance": org.instance_url,
            "kind": org.kind or "not known",
            "edition": org.edition or "not known",
            "API": org.api_version,
            "limits": "read-only" if org.policy.read_only else "none",
        }
        click.echo(f"{org.alias}: {safe(org.name)}")
        print_facts({f"  {name}": value for name, value in told.items()})
    if enrolled.rotated:
        warn(
            f"refresh token rotation is on: the copy in {source} is dead now, and using it would revoke this one. "
            "Remove it there, or log in separately with --auth web (which comes with a later version)."
        )
    if enrolled.also_known_as:
        warn(f"the same org is also registered as {', '.join(enrolled.also_known_as)}")
