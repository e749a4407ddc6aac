"""How pretend orgs are registered: like real ones, through the enrolment service."""

from __future__ import annotations

from orgserver.app import App
from orgserver.cli.process import operator
from orgserver.model import names
from orgserver.model.secret import Secret
from orgserver.sandbox.server import Sandbox
from orgserver.services.orgs.enrolment import Enrolled, Registration


async def register(app: App, sandbox: Sandbox) -> list[Enrolled]:
    """Register every pretend org under its own alias."""
    enrolled = []
    for org in sandbox.orgs:
        credential = org.credentials()
        registration = Registration(
            alias=names.alias(org.alias),
            client_id=credential["client_id"],
            client_secret=Secret(credential["client_secret"]),
            refresh_token=Secret(credential["refresh_token"]),
            login_url=credential["login_url"],
            instance_url=credential["instance_url"],
            trusted_hosts=tuple(credential["trust_hosts"]),
            source="the sandbox",
        )
        enrolled.append(await app.enrolment.add(operator(), registration))
    return enrolled
