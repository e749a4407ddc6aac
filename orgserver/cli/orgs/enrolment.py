"""``orgserver add-org``, and what other commands share with it: the limits of an org, proving it, what is said then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from orgserver.cli import completion
from orgserver.cli.confirmation import agree_guarded
from orgserver.cli.orgs.credential_options import api_version_of, credential_options, read_registration
from orgserver.cli.orgs.identity_options import IdentityCommand, identity_options, read_identity
from orgserver.cli.orgs.org_details import details_of, identity_text, tell_of_callbacks
from orgserver.cli.output import print_facts, print_json, tell, warn
from orgserver.cli.policies.options import policy_options, read_policy
from orgserver.cli.policies.unknown_names import warn_of_unknown
from orgserver.cli.process import app_of, operator, run, settings_of, shell_line
from orgserver.config import Settings
from orgserver.model import names
from orgserver.model.access.policies import CONFIRM_ABOVE, Policy
from orgserver.model.orgs import Caller

if TYPE_CHECKING:
    from orgserver.app import App
    from orgserver.services.orgs.enrolment import Enrolled, Registration

_PATIENCE_SECONDS = 0.5
_OLD_TOKEN: dict[str, tuple[Callable[[str], None], str]] = {
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


@click.command(
    "add-org",
    cls=IdentityCommand,
    epilog="Examples:\n\n  orgserver add-org acme --auth web --login-url "
    "https://acme.my.salesforce.com --client-id 3MVG9… (opens a browser)\n\n"
    "  orgserver add-org acme --env-file .env\n\n"
    "  pass show acme | orgserver add-org acme --credentials-stdin\n\n"
    "  orgserver add-org acme --auth jwt --login-url https://acme.my.salesforce.com --client-id 3MVG9… --username "
    "bot@acme.com --jwt-key-file key.pem\n\n"
    "  orgserver add-org acme --auth client-credentials --login-url https://acme.my.salesforce.com --client-id 3MVG9…",
)
@click.argument("alias", shell_complete=completion.aliases)
@credential_options
@click.option("--tag", "tags", multiple=True, metavar="NAME", help="A word to find the org by.")
@click.option("--replace", is_flag=True, help="Give new credentials to an alias that exists.")
@click.option("--no-verify", is_flag=True, help="Do not prove the credential now.")
@identity_options
@policy_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def add_org(**options: Any) -> None:
    """Register an org as ALIAS.

    The org must know the app that logs in: an External Client App made in that org, or PlatformCLI where an
    administrator has installed it or you hold 'Approve Uninstalled Connected Apps'. How to make one:
    https://github.com/orgserver/orgserver/blob/main/docs/external-client-app.md

    Secrets come from ORGSERVER_CLIENT_SECRET and ORGSERVER_REFRESH_TOKEN, a file, standard input,
    or a hidden prompt; never from an option.
    """
    policy = read_policy(options)
    try:
        alias = names.alias(options["alias"])
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    api_version_of(options)
    settings = settings_of()
    identity = read_identity(options, settings)
    registration = replace(read_registration(options, alias, policy=policy), identity=identity)
    show(run(enrol(settings, registration)), as_json=options["as_json"])
    if not options["as_json"]:
        tell(f"Next: {shell_line('connect', 'claude-code')}")


async def enrol(settings: Settings, registration: Registration) -> Enrolled:
    """Prove a credential and register its org; Ctrl-C leaves things in order and says how."""
    from orgserver.cli.login.browser import sign_in  # noqa: PLC0415

    async with app_of(settings) as app:
        undone = f"{registration.alias} was not registered"
        caller = await permission_to_limit(app, registration.command, [registration.policy], undone)
        try:
            enrolled = await _patiently(app.enrolment.add(caller, registration, sign_in))
        except asyncio.CancelledError:
            if await app.enrolment.kept_draft(registration.alias):
                tell("What Salesforce answered so far is kept, sealed: the same command again goes on from there.")
            else:
                tell("Nothing was changed.")
            raise
        if registration.verify:
            await warn_of_unknown(app, enrolled.org, registration.policy)
        return enrolled


async def permission_to_limit(app: App, command: str, policies: Iterable[Policy], undone: str) -> Caller:
    """Ask a person where a new org's policy allows more than none would; whoever registers it."""
    higher = [policy.confirm_above for policy in policies if Policy().loosened_by(policy) and policy.confirm_above]
    if not higher:
        return operator()
    question = f"Let changes of up to {max(higher)} records pass without a person (usually {CONFIRM_ABOVE})?"
    return await agree_guarded(app, command, question, undone=undone)


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
            "identity": identity_text(org),
            "policy": ", ".join(org.policy.limits) or "none: agents may do what this user may",
        }
        print_facts({f"  {name}": value for name, value in facts.items()}, f"{org.alias}: {org.name}")
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
    tell_of_callbacks(org)
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
