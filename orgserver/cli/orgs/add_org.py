"""``orgserver add-org``: register an org and prove its credential."""

from __future__ import annotations

from typing import Any

import click

from orgserver.cli import completion
from orgserver.cli.event_loop import run
from orgserver.cli.orgs import enrolment
from orgserver.cli.orgs.policy_options import policy_of, policy_options
from orgserver.cli.support import settings_of, tell
from orgserver.cli.this_command import shell_line
from orgserver.model import names
from orgserver.model.orgs import Policy


@click.command(
    "add-org",
    epilog="Examples:\n\n  orgserver add-org acme --auth web --login-url "
    "https://acme.my.salesforce.com --client-id 3MVG9… (opens a browser)\n\n"
    "  orgserver add-org acme --env-file .env\n\n"
    "  pass show acme | orgserver add-org acme --credentials-stdin\n\n"
    "  orgserver add-org acme --auth jwt --login-url https://acme.my.salesforce.com --client-id 3MVG9… --username "
    "bot@acme.com --jwt-key-file key.pem\n\n"
    "  orgserver add-org acme --auth client-credentials --login-url https://acme.my.salesforce.com --client-id 3MVG9…",
)
@click.argument("alias", shell_complete=completion.aliases)
@enrolment.credential_options
@click.option("--tag", "tags", multiple=True, metavar="NAME", help="A word to find the org by.")
@click.option("--replace", is_flag=True, help="Give new credentials to an alias that exists.")
@click.option("--no-verify", is_flag=True, help="Do not prove the credential now.")
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
    policy = Policy(**policy_of(options))
    try:
        alias = names.alias(options["alias"])
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    enrolment.api_version_of(options)
    settings = settings_of()
    registration = enrolment.read_registration(options, alias, policy=policy)
    enrolment.show(run(enrolment.enrol(settings, registration)), as_json=options["as_json"])
    if not options["as_json"]:
        tell(f"Next: {shell_line('connect', 'claude-code')}")
