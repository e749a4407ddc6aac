"""At /me people give, replace and end logins of their own, and see nobody else's."""

from orgserver.model.audit import EntryFilter
from orgserver.model.names import RowId, new_id
from orgserver.model.orgs import Connection, Credential, OrgState, OrgUser
from orgserver.model.secret import Secret
from orgserver.store.transaction import to_datetime
from tests.people import add_principal
from tests.serving.over_http.connect.world import set_org
from tests.serving.over_http.me.site import URL, Site

_USER = OrgUser("005000000000AAAAAA", "ada@acme.example", "UTC")


async def connect(site: Site, principal: str) -> Connection:
    """A login that somebody gave before."""
    org = (await site.app.access.reload()).by_alias["acme"]
    now = to_datetime(site.app.store.database.clock())
    connection = Connection(
        RowId(new_id()), org.row_id, principal, "web", _USER, _USER.username, OrgState.READY, None, None, now, now
    )
    add, credential = site.app.store.orgs.connections.add_in, Credential("app", None, Secret("token"), fencing=1)
    await site.app.store.database.write(lambda tx: add(tx, connection, credential, None))
    return connection


async def test_where_all_share_one_login_there_is_nothing_to_see(site: Site) -> None:
    assert "Your Salesforce logins" not in (await (await site.sign_in("ada")).get()).text


async def test_a_button_leads_to_a_link_of_ones_own(site: Site) -> None:
    await set_org(site.app, "acme", identity="own")
    row_id = (await site.app.access.reload()).by_alias["acme"].row_id
    ada = await site.sign_in("ada")
    assert "not connected" in (await ada.get()).text
    assert "Connect acme" in (await ada.get()).text

    answer = await ada.post(f"/me/logins/{row_id}/connect")

    assert answer.status == 303
    assert answer.headers["location"].startswith(f"{URL}/connect/")
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_a_login_of_ones_own_is_seen_replaced_and_ended(site: Site) -> None:
    await set_org(site.app, "acme", identity="own")
    connection = await connect(site, "ada")
    ada = await site.sign_in("ada")
    text = (await ada.get()).text
    assert "ada@acme.example" in text
    assert "connected" in text
    assert (await ada.post(f"/me/logins/{connection.row_id}/replace")).status == 303

    answer = await ada.post(f"/me/logins/{connection.row_id}/end")

    assert (answer.status, answer.headers["location"]) == (303, "/me")
    text = (await ada.get()).text
    assert "its person ended it" in text
    async with site.app.store.database.reading() as db:
        assert (await site.app.store.revocations.waiting(db))[0] == 1
        (ended,) = (await site.app.store.orgs.connections.read_all(db)).values()
    assert ended.state is OrgState.NEEDS_LOGIN
    (entry, *_) = await site.app.audit_log.newest(EntryFilter(action="enrol"), 1)
    assert (entry.principal, entry.tool, entry.identity) == ("ada", "disconnect", "own")
    assert (await ada.post(f"/me/logins/{connection.row_id}/end")).status == 404


async def test_nobody_sees_or_ends_the_login_of_somebody_else(site: Site) -> None:
    await set_org(site.app, "acme", identity="own")
    connection = await connect(site, "ada")
    await add_principal(site.app, "grace", "acme:read")
    await add_principal(site.app, "mallory", "globex:read")
    grace, mallory = await site.sign_in("grace"), await site.sign_in("mallory")

    assert "ada@acme.example" not in (await grace.get()).text
    assert (await grace.post(f"/me/logins/{connection.row_id}/end")).status == 404
    assert (await mallory.post(f"/me/logins/{connection.row_id}/connect")).status == 404
    assert "acme" not in (await mallory.get()).text
    async with site.app.store.database.reading() as db:
        (login,) = (await site.app.store.orgs.connections.read_all(db)).values()
    assert login.state is OrgState.READY
