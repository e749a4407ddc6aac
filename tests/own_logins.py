"""People's own logins to pretend orgs, made as if each had logged in with a browser."""

from dataclasses import replace

from orgserver.app import App
from orgserver.model.access.logins import Identity, UsernameFrom
from orgserver.model.access.principals import Principal
from orgserver.model.audit import AuditEntry, EntryFilter
from orgserver.model.names import RowId, new_id
from orgserver.model.orgs import Caller, Connection, Credential, OrgState, OrgUser
from orgserver.model.secret import Secret
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state.users import SandboxUser
from orgserver.store.orgs import policies
from orgserver.store.transaction import to_datetime


def caller_of(name: str, caller: Caller) -> Caller:
    """Somebody else who calls in the same way."""
    return replace(caller, principal=Principal(name))


async def set_identity(app: App, alias: str, identity: Identity, username_from: UsernameFrom | None = None) -> None:
    """Say whose login the calls to an org use."""
    org = (await app.access.reload()).by_alias[alias]
    await app.store.database.write(lambda tx: policies.identify_in(tx, org.row_id, identity, username_from))


def user_of(pretend: SandboxOrg, name: str) -> SandboxUser:
    """A principal's user in an org, who is made where there is none."""
    username = f"{name.partition(':')[2] or name}@acme.example"
    users = pretend.users.by_id.values()
    return next((each for each in users if each.username == username), None) or pretend.add_user(username)


async def connect(app: App, pretend: SandboxOrg, name: str, **changes: object) -> Connection:
    """Give a principal a login of their own, in place of the one that they had; it has no access token yet."""
    user = user_of(pretend, name)
    family = pretend.logins.begin(pretend.client_id, "refresh_token api web", user.id)
    org = (await app.access.reload()).by_alias[pretend.alias]
    now = to_datetime(app.store.database.clock())
    connection = Connection(
        id=RowId(new_id()),
        row_id=org.row_id,
        principal=name,
        kind="web",
        user=OrgUser(user.id, user.username, user.time_zone),
        username=user.username,
        state=OrgState.READY,
        cause=None,
        problem=None,
        created_at=now,
        refreshed_at=now,
    )
    connection = replace(connection, **changes)  # type: ignore[arg-type]  # a test's own words
    credential = Credential(pretend.client_id, None, Secret(family.refresh_token or ""))
    await app.store.database.write(lambda tx: app.store.orgs.connections.add_in(tx, connection, credential, None))
    return connection


async def newest(app: App, **criteria: str) -> AuditEntry:
    """The newest entry that matches."""
    return (await app.audit_log.newest(EntryFilter(**criteria), 1))[0]  # type: ignore[arg-type]
