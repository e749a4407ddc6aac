"""Orgs whose key logs people in, as an administrator would set them up."""

from dataclasses import replace

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from orgserver.app import App
from orgserver.model.access.logins import Identity, LoginKey, UsernameFrom
from orgserver.model.access.policies import Policy
from orgserver.model.names import Alias, OrgId, RowId
from orgserver.model.orgs import AuthKind, Org, OrgState
from orgserver.model.secret import Secret
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.orgs.changes import record_identity_in
from orgserver.services.orgs.identities import IdentityChange
from orgserver.store.orgs import rows
from orgserver.store.transaction import Transaction, read_clock, to_datetime
from tests.people import OPERATOR

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()


def org_with(username_from: UsernameFrom) -> Org:
    """An org of no store."""
    return Org(
        row_id=RowId("r"), alias=Alias("acme"), org_id=OrgId("00DSb0000000001MAA"), name="", kind=None, edition=None,
        login_url="", instance_url="", trusted_hosts=(), api_version="v66.0", user=None, state=OrgState.READY,
        cause=None, problem=None, policy=Policy(), tags=(), source="", created_at=to_datetime(read_clock()),
        refreshed_at=None, auth="jwt", identity="own", username_from=username_from,
    )  # fmt: skip


async def let_key_log_in(
    app: App,
    org: SandboxOrg,
    username_from: UsernameFrom | None,
    usernames: dict[str, str] | None = None,
    identity: Identity = "own",
) -> Org:
    """Give an org of the app a key and this mapping, or without one a login by browser; the org as it is then."""
    org.answers.jwt_public_key = KEY.public_key()
    here = (await app.access.catalog()).by_alias[org.alias]
    async with app.store.database.reading() as connection:
        credential = await app.store.orgs.credentials.credential(connection, LoginKey.shared(here.row_id))
    assert credential is not None
    signed = replace(credential, refresh_token=None, private_key=Secret(PEM), username=org.username)
    auth: AuthKind = "jwt" if username_from is not None else "web"
    is_map = username_from is not None and username_from.kind == "map"

    def change(tx: Transaction) -> None:
        if here.auth != auth:
            app.store.orgs.credentials.replace_in(tx, here.row_id, signed, None)
            app.store.orgs.change_in(tx, here.row_id, lambda old: replace(old, auth=auth))
        before = rows.one_in(tx, here.row_id)
        assert before is not None
        to = IdentityChange(identity, username_from, (usernames or {}) if is_map else None, seen=before.identity)
        record_identity_in(tx, app.store, OPERATOR, "update-org", before, to)

    await app.store.database.write(change)
    return (await app.access.reload()).by_row[here.row_id]
