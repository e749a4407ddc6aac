"""Orgs whose key logs people in, as an administrator would set them up."""

from dataclasses import replace

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from orgserver.app import App
from orgserver.model.access.logins import UsernameFrom
from orgserver.model.access.policies import Policy
from orgserver.model.names import Alias, OrgId, RowId
from orgserver.model.orgs import Org, OrgState
from orgserver.model.secret import Secret
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.connections.mapping import Mappings
from orgserver.store.orgs import policies, rows
from orgserver.store.transaction import Transaction, read_clock, to_datetime

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
    app: App, org: SandboxOrg, username_from: UsernameFrom | None, usernames: dict[str, str] | None = None
) -> Org:
    """Give an org of the app a key, an own identity and this mapping; the org as it is then."""
    org.answers.jwt_public_key = KEY.public_key()
    here = (await app.access.catalog()).by_alias[org.alias]
    async with app.store.database.reading() as connection:
        credential = await app.store.orgs.credentials.credential(connection, here.login)
    assert credential is not None
    signed = replace(credential, refresh_token=None, private_key=Secret(PEM), username=org.username)

    def change(tx: Transaction) -> None:
        if here.auth != "jwt":
            app.store.orgs.credentials.replace_in(tx, here.row_id, signed, None)
            app.store.orgs.change_in(tx, here.row_id, lambda old: replace(old, auth="jwt"))
        before = rows.one_in(tx, here.row_id)
        assert before is not None
        Mappings(app.store).set_map_in(tx, before, username_from, usernames or {})
        policies.identify_in(tx, here.row_id, "own", username_from)

    await app.store.database.write(change)
    return (await app.access.reload()).by_row[here.row_id]
