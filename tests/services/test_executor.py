"""Every act passes grants, policy, arguments and the audit log, and nothing that may have happened is repeated."""

import asyncio
import sqlite3
from contextlib import closing

import pytest

from orgserver.app import App
from orgserver.model.access.principals import Principal
from orgserver.model.audit import AuditEntry, EntryFilter, Outcome
from orgserver.model.errors import (
    CallError,
    Conflict,
    Forbidden,
    InvalidArgument,
    NeedsLogin,
    NoConnection,
    NotSent,
    PolicyDenied,
    Rejected,
    StoreAway,
    Unanswered,
    UnknownOrg,
)
from orgserver.model.names import CONTACT, EVENT, alias
from orgserver.model.orgs import Caller, OrgState, Scope
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state import schema
from orgserver.services.queries.list_query import Listing
from orgserver.store.processes.locks import hold_lock
from orgserver.store.transaction import Transaction
from tests import operations

TOOL = "salesforce_create_contact"
ADA = {"FirstName": "Ada", "LastName": "Byron"}


async def create(app: App, caller: Caller, org: str = "acme", **options: object):
    return await operations.create(app, caller, TOOL, org, CONTACT, dict(ADA), **options)  # type: ignore[arg-type]


async def entries(app: App) -> list[AuditEntry]:
    found = [entry async for entry in app.audit_log.entries(EntryFilter())]
    return [entry for entry in found if entry.tool and entry.tool.startswith("salesforce_")]


def posts(org: SandboxOrg) -> list[str]:
    return [seen.path for seen in org.requests if seen.method == "POST" and "/sobjects/" in seen.path]


async def test_a_created_contact_can_be_read_changed_listed_and_deleted(app: App, caller: Caller) -> None:
    made = await create(app, caller)

    assert (await operations.read(app, caller, "salesforce_get_contact", "acme", CONTACT, made.id)).values[
        "Name"
    ] == "Ada Byron"
    await operations.update(app, caller, "salesforce_update_contact", "acme", CONTACT, made.id, {"Email": "a@b.co"})
    page = await operations.list_(
        app, caller, "salesforce_list_contacts", "acme", Listing(CONTACT, filter={"Email": "a@b.co"})
    )
    assert [record["Id"] for record in page.records] == [made.id]
    await operations.delete(app, caller, "salesforce_delete_contact", "acme", CONTACT, made.id)
    with pytest.raises(Rejected) as gone:
        await operations.read(app, caller, "salesforce_get_contact", "acme", CONTACT, made.id)

    assert gone.value.category == "not_found"
    assert [(e.action, e.outcome.value) for e in await entries(app)] == [
        ("create", "succeeded"),
        ("read", "succeeded"),
        ("update", "succeeded"),
        ("list", "succeeded"),
        ("delete", "succeeded"),
        ("read", "rejected"),
    ]


async def test_an_entry_tells_everything_but_values(app: App, caller: Caller) -> None:
    made = await create(app, caller)
    entry = (await entries(app))[0]

    assert (entry.principal, entry.client, entry.transport, entry.request_id) == (
        "local:tester",
        "test/1",
        "stdio",
        "r1",
    )
    assert (entry.org, entry.object, entry.action) == ("acme", "Contact", "create")
    assert entry.record_ids == (made.id,)
    assert entry.fields == ("FirstName", "LastName")
    assert (entry.http_status, entry.api_calls, entry.attempts) == (201, 1, 1)
    assert entry.salesforce_request_id
    assert "Byron" not in str(entry.as_json())


async def test_an_unknown_org_reaches_no_org_and_is_on_record(app: App, caller: Caller, acme: SandboxOrg) -> None:
    with pytest.raises(UnknownOrg):
        await create(app, caller, "initech")

    assert acme.requests == []
    assert (await entries(app))[0].outcome is Outcome.DENIED


async def test_an_org_outside_the_servers_scope_looks_like_none(open_again, app: App, caller: Caller) -> None:
    async with open_again(Scope(orgs=frozenset({alias("acme")}))) as scoped:
        with pytest.raises(UnknownOrg) as hidden:
            await create(scoped, caller, "globex")
        with pytest.raises(UnknownOrg) as absent:
            await create(scoped, caller, "nowhere")
        visible = [
            org["org"] for org in (await operations.orgs(scoped, caller, "salesforce_list_orgs", None, None)).orgs
        ]

    assert hidden.value.as_json("x") == absent.value.as_json("x")
    assert visible == ["acme"]


async def test_orgs_added_changed_and_removed_elsewhere_are_seen_at_once(
    open_again, app: App, caller: Caller, acme: SandboxOrg
) -> None:
    await create(app, caller)
    async with open_again() as other:
        await other.registry.update(caller, "acme", rename=alias("acme-eu"), policy={"read_only": True})
    acme.requests.clear()

    with pytest.raises(UnknownOrg):
        await create(app, caller, "acme")
    with pytest.raises(PolicyDenied):
        await create(app, caller, "acme-eu")
    async with open_again() as other:
        await other.registry.remove(caller, "acme-eu", keep_token=True)
    with pytest.raises(UnknownOrg):
        await create(app, caller, "acme-eu")
    assert acme.requests == []


async def test_a_removed_org_gets_no_call_even_from_a_server_that_still_remembers_it(
    open_again, app: App, caller: Caller, acme: SandboxOrg
) -> None:
    await create(app, caller)
    async with open_again() as other:
        await other.registry.remove(caller, "acme", keep_token=True)
    acme.requests.clear()

    with pytest.raises(UnknownOrg):
        await operations.list_(app, caller, "salesforce_list_contacts", "acme", Listing(CONTACT))
    assert acme.requests == []


async def test_a_read_only_server_refuses_changes_and_takes_reads(open_again, app: App, caller: Caller) -> None:
    async with open_again(Scope(read_only=True)) as reader:
        with pytest.raises(Forbidden):
            await create(reader, caller)
        page = await operations.list_(reader, caller, "salesforce_list_contacts", "acme", Listing(CONTACT))

    assert page.total_size == 4
    assert [e.outcome.value for e in await entries(app)] == ["denied", "succeeded"]


async def test_a_disabled_org_refuses_everything(app: App, caller: Caller, acme: SandboxOrg) -> None:
    await app.registry.update(caller, "acme", enabled=False)

    with pytest.raises(PolicyDenied) as refused:
        await operations.list_(app, caller, "salesforce_list_contacts", "acme", Listing(CONTACT))

    assert refused.value.code == "ORG_DISABLED"
    assert acme.requests == []


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({}, "data"),
        ({"LastName": "x", "Id": "003Sb0000000001AAA"}, "data.Id"),
        ({"LastName": "x" * 81}, "data.LastName"),
        ({"LastName": 5}, "data.LastName"),
        ({"LastName": "x", "AccountId": "nope"}, "data.AccountId"),
        ({"LastName": "x", "AccountId": ""}, "data.AccountId"),
        ({"LastName": "x", "CreatedDate": "2026-01-01T00:00:00Z"}, "data.CreatedDate"),
        ({"LastName": "x", "Birthdate": "tomorrow"}, "data.Birthdate"),
        ({"LastName": "x", "DoNotCall__c": [1]}, "data.DoNotCall__c"),
        ({"LastName": "x", "a b": 1}, "data"),
    ],
)
async def test_a_wrong_value_is_refused_by_name_before_anything_is_sent(
    app: App, caller: Caller, acme: SandboxOrg, values: dict, field: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await operations.create(app, caller, TOOL, "acme", CONTACT, values)

    assert refused.value.fields == (field,)
    assert acme.requests == []
    assert (await entries(app))[-1].error_code == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("listing", "argument"),
    [
        (Listing(CONTACT, fields=["Id FROM Contact WHERE Id != null"]), "fields"),
        (Listing(CONTACT, fields=[]), "fields"),
        (Listing(CONTACT, order_by="Name; DELETE"), "order_by"),
        (Listing(CONTACT, filter={"Name OR Id": "x"}), "filter"),
        (Listing(CONTACT, filter={"Name": {"regex": "x"}}), "filter.Name"),
        (Listing(CONTACT, filter={"Name": {"in": []}}), "filter.Name"),
        (Listing(CONTACT, filter={"Name": "x" * 4001}), "filter.Name"),
        (Listing(CONTACT, filter={"CreatedDate": "yesterday"}), "filter.CreatedDate"),
        (Listing(EVENT, start="soon"), "start"),
        (Listing(EVENT, start="2026-02-20", end="2026-02-19"), "start"),
        (Listing(CONTACT, cursor="AAAA"), "cursor"),
        (Listing(CONTACT, cursor="\u00e4"), "cursor"),
        (Listing(CONTACT, cursor="x" * 100_000), "cursor"),
    ],
)
async def test_a_wrong_list_argument_is_refused_by_name(
    app: App, caller: Caller, acme: SandboxOrg, listing: Listing, argument: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await operations.list_(app, caller, "salesforce_list_contacts", "acme", listing)

    assert refused.value.fields[0] == argument
    assert acme.requests == []


async def test_a_quote_in_a_filter_stays_a_quote(app: App, caller: Caller) -> None:
    made = await operations.create(app, caller, TOOL, "acme", CONTACT, {"LastName": "O'Hara' OR Name != '"})

    page = await operations.list_(
        app, caller, "salesforce_list_contacts", "acme", Listing(CONTACT, filter={"LastName": "O'Hara' OR Name != '"})
    )

    assert [record["Id"] for record in page.records] == [made.id]


@pytest.mark.parametrize(
    "clause",
    [
        "FOR VIEW",
        "for  reference",
        "UPDATE VIEWSTAT",
        "FOR UPDATE",
        "for\n update",
        "update tracking",
        "FOR\tUPDATE ",
        "FOR\0UPDATE",
        "FOR\ufeffUPDATE",
        "FOR\u2060\nUPDATE",
        "FOR/**/UPDATE",
        "FOR /* it's */ UPDATE",
        "-- x\nFOR UPDATE",
        "//'\nFOR UPDATE",
    ],
)
async def test_a_query_with_a_side_effect_is_refused(app: App, caller: Caller, acme: SandboxOrg, clause: str) -> None:
    with pytest.raises(InvalidArgument):
        await operations.query(app, caller, "salesforce_query", "acme", f"SELECT Id FROM Contact LIMIT 1 {clause}")
    assert acme.requests == []


async def test_words_of_such_a_clause_within_a_literal_are_a_value(app: App, caller: Caller, acme: SandboxOrg) -> None:
    soql = "SELECT Id FROM Contact WHERE LastName IN ('FOR UPDATE', 'x FOR VIEW', 'http://x', '--', '/*') LIMIT 1"

    assert (await operations.query(app, caller, "salesforce_query", "acme", soql)).records == []


async def test_a_query_that_does_not_parse_is_salesforces_to_judge(app: App, caller: Caller) -> None:
    with pytest.raises(Rejected) as refused:
        await operations.query(app, caller, "salesforce_query", "acme", "SELECT FROM WHERE")

    assert (refused.value.code, refused.value.category) == ("MALFORMED_QUERY", "invalid_argument")


async def test_the_log_keeps_a_query_without_its_literals(app: App, caller: Caller) -> None:
    await operations.query(
        app, caller, "salesforce_query", "acme", "SELECT Id FROM Contact WHERE LastName = 'Canary42'"
    )

    entry = (await entries(app))[0]
    assert entry.soql == "SELECT Id FROM Contact WHERE LastName = ?"
    assert (entry.object, entry.fields) == ("Contact", ("Id", "LastName"))


async def test_every_record_of_a_long_result_comes_once_by_cursor(app: App, caller: Caller, acme: SandboxOrg) -> None:
    for number in range(4_500):
        acme.records.add(schema.load("Contact"), {"LastName": f"N{number:05}"})
    seen: list[str] = []
    cursor, calls = None, 0
    while calls < 100:
        page = await operations.query(
            app, caller, "salesforce_query", "acme", "SELECT Id FROM Contact ORDER BY Id", limit=700, cursor=cursor
        )
        assert page.total_size == (None if cursor is None else 4_504)
        seen += [record["Id"] for record in page.records]
        cursor, calls = page.next_cursor, calls + 1
        if cursor is None:
            break

    assert len(seen) == len(set(seen)) == 4_504
    assert seen == sorted(seen)


async def test_a_result_ends_at_sixty_kilobytes_and_goes_on_by_cursor(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    for _ in range(30):
        acme.records.add(schema.load("Contact"), {"LastName": "Long", "Description": "x" * 10_000})
    sizes, seen, cursor = [], [], None
    while True:
        page = await operations.query(
            app, caller, "salesforce_query", "acme", "SELECT Id, Description FROM Contact", limit=2_000, cursor=cursor
        )
        sizes.append(len(str(page.records)))
        seen += [record["Id"] for record in page.records]
        cursor = page.next_cursor
        if cursor is None:
            break

    assert len(seen) == len(set(seen)) == 34
    assert max(sizes) < 61_440


@pytest.mark.parametrize("other", ["org", "principal", "arguments"])
async def test_a_cursor_is_worth_nothing_elsewhere(app: App, caller: Caller, globex: SandboxOrg, other: str) -> None:
    first = await operations.list_(app, caller, "salesforce_list_contacts", "acme", Listing(CONTACT, limit=2))
    stranger = Caller(Principal("local:somebody"), "stdio") if other == "principal" else caller
    target = "globex" if other == "org" else "acme"
    limit = 3 if other == "arguments" else 2

    with pytest.raises(InvalidArgument) as refused:
        await operations.list_(
            app, stranger, "salesforce_list_contacts", target, Listing(CONTACT, limit=limit, cursor=first.next_cursor)
        )

    assert refused.value.fields == ("cursor",)
    assert globex.requests == []


async def test_a_next_page_elsewhere_is_never_followed(
    app: App, caller: Caller, acme: SandboxOrg, globex: SandboxOrg
) -> None:
    body = (
        '{"totalSize":2,"done":false,"nextRecordsUrl":"'
        + globex.url
        + '/services/data/v60.0/query/01g000-2","records":[]}'
    )
    acme.fault("status", path=".*/query", status=200, body=body)

    with pytest.raises(Rejected) as refused:
        await operations.query(app, caller, "salesforce_query", "acme", "SELECT Id FROM Contact")

    assert refused.value.code == "BAD_NEXT_PAGE"
    assert globex.requests == []


async def test_a_redirect_is_never_followed(app: App, caller: Caller, acme: SandboxOrg, globex: SandboxOrg) -> None:
    acme.fault("redirect", path=".*/sobjects/Contact", location=f"{globex.url}/services/data/v60.0/sobjects/Contact")

    with pytest.raises(Rejected) as refused:
        await create(app, caller)

    assert refused.value.code == "REDIRECT"
    assert globex.requests == []


async def test_appointments_that_overlap_are_listed(app: App, caller: Caller) -> None:
    async def made(start: str, end: str) -> str:
        data = {"Subject": "x", "StartDateTime": start, "EndDateTime": end}
        return (await operations.create(app, caller, "salesforce_create_appointment", "acme", EVENT, data)).id

    before = await made("2031-03-01T08:00:00Z", "2031-03-01T09:00:00Z")
    into = await made("2031-03-01T08:30:00Z", "2031-03-01T10:00:00+01:00")
    around = await made("2031-03-01T08:00:00Z", "2031-03-01T12:00:00Z")
    instant = await made("2031-03-01T09:00:00Z", "2031-03-01T09:00:00Z")
    after = await made("2031-03-01T10:00:00Z", "2031-03-01T11:00:00Z")

    page = await operations.list_(
        app,
        caller,
        "salesforce_list_appointments",
        "acme",
        Listing(EVENT, start="2031-03-01T09:00:00Z", end="2031-03-01T10:00:00Z"),
    )

    assert {record["Id"] for record in page.records} == {around, instant}
    assert before and into and after


async def test_dates_mean_the_org_users_days(app: App, caller: Caller) -> None:
    data = {"Subject": "x", "StartDateTime": "2031-06-30T22:30:00Z", "EndDateTime": "2031-06-30T23:00:00Z"}
    made = await operations.create(app, caller, "salesforce_create_appointment", "acme", EVENT, data)

    page = await operations.list_(
        app, caller, "salesforce_list_appointments", "acme", Listing(EVENT, start="2031-07-01", end="2031-07-01")
    )

    assert [record["Id"] for record in page.records] == [made.id]  # the sandbox's user lives in Berlin


async def test_an_update_that_somebody_overtook_is_a_conflict(app: App, caller: Caller) -> None:
    made = await create(app, caller)

    with pytest.raises(Rejected) as refused:
        await operations.update(
            app,
            caller,
            "salesforce_update_contact",
            "acme",
            CONTACT,
            made.id,
            {"Title": "x"},
            if_unmodified_since="2020-01-01T00:00:00.000+0000",
        )

    assert (refused.value.category, refused.value.http_status) == ("conflict", 412)


async def test_a_preview_sends_nothing_but_the_read(app: App, caller: Caller, acme: SandboxOrg) -> None:
    made = await create(app, caller)
    acme.requests.clear()

    shown = await operations.update(
        app, caller, "salesforce_update_contact", "acme", CONTACT, made.id, {"Title": "x"}, preview=True
    )
    gone = await operations.delete(app, caller, "salesforce_delete_contact", "acme", CONTACT, made.id, preview=True)

    assert [(c.field, c.before, c.after) for c in shown.changes] == [("Title", None, "x")]
    assert ("LastName", "Byron", None) in [(c.field, c.before, c.after) for c in gone.changes]
    assert {seen.method for seen in acme.requests} == {"GET"}
    assert [e.action for e in await entries(app)] == ["create", "preview", "preview"]


# -- tokens


async def test_a_stale_token_is_refreshed_once_for_twenty_callers(app: App, caller: Caller, acme: SandboxOrg) -> None:
    await create(app, caller)
    acme.expire_access_tokens()
    acme.counters.refreshes = 0

    await asyncio.gather(*(create(app, caller) for _ in range(20)))

    assert acme.counters.refreshes == 1
    assert acme.counters.reuses == 0


async def test_a_rotated_refresh_token_outlives_the_process(
    open_again, app: App, caller: Caller, acme: SandboxOrg
) -> None:
    for _ in range(3):
        acme.expire_access_tokens()
        await create(app, caller)
    acme.expire_access_tokens()

    async with open_again() as other:
        await create(other, caller)

    assert acme.counters.reuses == 0


async def test_the_access_token_is_shared_through_the_store(
    open_again, app: App, caller: Caller, acme: SandboxOrg
) -> None:
    await create(app, caller)
    refreshes = acme.counters.refreshes

    async with open_again() as other:
        await create(other, caller)

    assert acme.counters.refreshes == refreshes


async def test_a_token_that_is_refused_again_is_not_refreshed_forever(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    body = '[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]'
    acme.fault("status", path=".*/sobjects/.*", status=401, body=body, times=50)
    acme.counters.refreshes = 0

    with pytest.raises(Rejected) as refused:
        await create(app, caller)

    assert refused.value.category == "auth_expired"
    assert acme.counters.refreshes == 1


async def test_a_dead_refresh_token_says_who_must_act_and_sends_nothing(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    acme.refresh_token = ""
    acme.expire_access_tokens()

    with pytest.raises(NeedsLogin) as refused:
        await create(app, caller)
    with pytest.raises(NeedsLogin):
        await create(app, caller)

    org = await app.registry.one("acme")
    assert (refused.value.outcome, refused.value.category) == ("not_sent", "auth_expired")
    assert (org.state, org.cause) == (OrgState.NEEDS_LOGIN, "invalid_grant: expired access/refresh token")
    assert len([s for s in acme.requests if s.path.endswith("/token")]) == 1


@pytest.mark.parametrize("kind", ["org", "host"])
async def test_a_token_answer_for_another_org_or_host_is_not_stored(
    app: App, caller: Caller, acme: SandboxOrg, globex: SandboxOrg, kind: str
) -> None:
    if kind == "org":
        acme.answers.org_id = globex.org_id
    else:
        acme.answers.instance_url = "https://evil.example"
    acme.expire_access_tokens()

    with pytest.raises(NeedsLogin) as refused:
        await create(app, caller)

    assert refused.value.code == "QUARANTINED"
    assert (await app.registry.one("acme")).state is OrgState.QUARANTINED
    assert globex.requests == []


async def test_network_trouble_at_the_login_host_does_not_kill_the_credential(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    acme.fault("status", path=".*/token", status=503, body="", times=2)  # the refresh, and the one try that settles it
    acme.expire_access_tokens()

    with pytest.raises(NotSent) as refused:
        await create(app, caller)
    await create(app, caller)

    assert refused.value.retryable
    assert (await app.registry.one("acme")).state is OrgState.READY


async def test_a_refresh_that_somebody_else_is_doing_is_waited_for(
    app: App, caller: Caller, acme: SandboxOrg, open_again
) -> None:
    acme.expire_access_tokens()
    acme.answers.busy = 1

    async def other_process() -> None:
        async with open_again() as other:
            while acme.answers.busy:
                await asyncio.sleep(0)
            await create(other, caller)

    await asyncio.gather(create(app, caller), other_process())

    assert acme.counters.reuses == 0
    assert (await app.registry.one("acme")).state is OrgState.READY


# -- answers that are lost


@pytest.mark.parametrize("kind", ["close", "reset", "cut"])
async def test_a_create_whose_answer_is_lost_is_unknown_and_sent_once(
    app: App, caller: Caller, acme: SandboxOrg, kind: str
) -> None:
    acme.fault(kind, path=".*/sobjects/Contact", work=True)  # type: ignore[arg-type]

    with pytest.raises(Unanswered) as lost:
        await create(app, caller)

    assert len(posts(acme)) == 1
    assert (lost.value.outcome, lost.value.retryable) == ("unknown", False)
    entry = (await entries(app))[0]
    assert entry.outcome is Outcome.UNKNOWN
    query = (lost.value.hint or "").partition(": ")[2]
    found = await operations.query(app, caller, "salesforce_query", "acme", query)
    assert found.total_size == 1


async def test_a_hanging_create_ends_at_the_deadline_as_unknown(
    open_again, app: App, caller: Caller, acme: SandboxOrg
) -> None:
    await create(app, caller)
    acme.requests.clear()
    acme.fault("hang", path=".*/sobjects/Contact", seconds=30)

    async with open_again(call_timeout=0.5) as hurried:
        with pytest.raises(Unanswered) as lost:
            await create(hurried, caller)

    assert lost.value.code == "TIMEOUT"
    assert len(posts(acme)) == 1


async def test_an_org_that_cannot_be_reached_gets_nothing_and_says_so(app: App, caller: Caller) -> None:
    org = await app.registry.one("acme")
    await create(app, caller)
    live = app.access.tokens._live[org.login]
    assert live.current is not None
    object.__setattr__(live.current, "instance_url", "http://127.0.0.1:1")

    def trust(tx: Transaction) -> None:
        from dataclasses import replace

        app.store.orgs.change_in(tx, org.row_id, lambda o: replace(o, trusted_hosts=(*o.trusted_hosts, "127.0.0.1:1")))

    await app.store.database.write(trust)
    await app.access.client.close_org(org.row_id)

    with pytest.raises(NoConnection) as refused:
        await create(app, caller)

    assert (refused.value.outcome, refused.value.retryable) == ("not_sent", True)
    assert (await entries(app))[-1].attempts == 3


async def test_a_cancelled_call_still_has_its_outcome(app: App, caller: Caller, acme: SandboxOrg) -> None:
    await create(app, caller)
    acme.requests.clear()
    acme.fault("hang", path=".*/sobjects/Contact", seconds=30)
    task = asyncio.ensure_future(create(app, caller))
    async with asyncio.timeout(10):
        while not acme.requests:
            await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    await app.services.executor.close()

    entry = (await entries(app))[-1]
    assert (entry.outcome, entry.error_code) == (Outcome.UNKNOWN, "CANCELLED")


# -- idempotency


async def test_the_same_key_answers_with_the_first_outcome_and_sends_nothing(
    open_again, app: App, caller: Caller, acme: SandboxOrg
) -> None:
    first = await create(app, caller, idempotency_key="k1")
    async with open_again() as restarted:
        again = await create(restarted, caller, idempotency_key="k1")

    assert again == first
    assert len(posts(acme)) == 1
    replay = (await entries(app))[-1]
    assert (replay.outcome, replay.api_calls, replay.record_ids) == (Outcome.SUCCEEDED, 0, (first.id,))


async def test_the_same_key_with_other_arguments_is_a_conflict(app: App, caller: Caller, acme: SandboxOrg) -> None:
    await create(app, caller, idempotency_key="k1")

    with pytest.raises(Conflict):
        await operations.create(app, caller, TOOL, "acme", CONTACT, {"LastName": "Other"}, idempotency_key="k1")
    assert len(posts(acme)) == 1


async def test_a_key_is_one_principals_in_one_org(
    app: App, caller: Caller, acme: SandboxOrg, globex: SandboxOrg
) -> None:
    await create(app, caller, idempotency_key="k1")
    await create(app, caller, "globex", idempotency_key="k1")
    await create(app, Caller(Principal("local:other"), "stdio"), idempotency_key="k1")

    assert (len(posts(acme)), len(posts(globex))) == (2, 1)


async def test_a_key_whose_first_answer_was_lost_stays_unknown(app: App, caller: Caller, acme: SandboxOrg) -> None:
    acme.fault("close", path=".*/sobjects/Contact", work=True)
    with pytest.raises(Unanswered) as first:
        await create(app, caller, idempotency_key="k1")

    with pytest.raises(Unanswered) as again:
        await create(app, caller, idempotency_key="k1")

    assert len(posts(acme)) == 1
    assert again.value.hint == first.value.hint
    assert "SELECT Id" in (again.value.hint or "")


async def test_a_key_is_free_again_when_nothing_was_sent(app: App, caller: Caller, acme: SandboxOrg) -> None:
    acme.fault("status", path=".*/token", status=503, body="", times=2)
    acme.expire_access_tokens()
    with pytest.raises(NotSent):
        await create(app, caller, idempotency_key="k1")

    await create(app, caller, idempotency_key="k1")

    assert len([s for s in acme.requests if s.status == 201]) == 1


async def test_two_calls_with_one_key_at_once_create_one_record(app: App, caller: Caller, acme: SandboxOrg) -> None:
    results = await asyncio.gather(
        *(create(app, caller, idempotency_key="k1") for _ in range(5)), return_exceptions=True
    )

    assert len(posts(acme)) == 1
    assert sum(not isinstance(result, BaseException) for result in results) >= 1
    assert all(isinstance(result, Conflict) for result in results if isinstance(result, BaseException))


@pytest.mark.parametrize("key", ["", "x" * 201])
async def test_a_key_of_the_wrong_length_is_refused(app: App, caller: Caller, key: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await create(app, caller, idempotency_key=key)
    assert refused.value.fields == ("idempotency_key",)


# -- the store


def refuse_events(app: App) -> None:
    """Let the store refuse every event of the audit log from now on."""
    refusal = "BEGIN SELECT RAISE(ABORT, 'the disk is gone'); END"
    change_schema(app, f"CREATE TRIGGER refuse_events BEFORE INSERT ON audit_events {refusal}")


def take_events(app: App) -> None:
    """Let the store take them again."""
    change_schema(app, "DROP TRIGGER refuse_events")


def change_schema(app: App, statement: str) -> None:
    file = app.store.database.file
    with hold_lock(file), closing(sqlite3.connect(file)) as connection:
        connection.execute(statement)


async def test_without_an_intent_nothing_is_sent(app: App, caller: Caller, acme: SandboxOrg) -> None:
    await create(app, caller)
    acme.requests.clear()
    refuse_events(app)

    for act in (create(app, caller), operations.list_(app, caller, "t", "acme", Listing(CONTACT))):
        with pytest.raises(StoreAway) as refused:
            await act
        assert refused.value.outcome == "not_sent"
    assert acme.requests == []


async def test_without_an_outcome_the_agent_hears_unknown_and_further_acts_wait_for_it(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    await create(app, caller)
    acme.fault("delay", path=".*/sobjects/Contact", seconds=0.2)
    task = asyncio.ensure_future(create(app, caller))
    async with asyncio.timeout(5):
        while not acme.faults or acme.faults[0].times:
            await asyncio.sleep(0)
    refuse_events(app)

    with pytest.raises(Unanswered) as unrecorded:
        await task
    with pytest.raises(StoreAway):
        await create(app, caller)
    take_events(app)
    await create(app, caller)

    assert unrecorded.value.code == "OUTCOME_NOT_RECORDED"
    assert [e.outcome.value for e in await entries(app)] == ["succeeded"] * 3


async def test_an_almost_full_disk_refuses_new_acts(app: App, caller: Caller, acme: SandboxOrg) -> None:
    await create(app, caller)
    acme.requests.clear()
    app.store.audit._free_floor = 1 << 60

    with pytest.raises(StoreAway, match="nothing was sent"):
        await create(app, caller)
    assert acme.requests == []


async def test_one_org_that_hangs_does_not_hold_up_another(app: App, caller: Caller, acme: SandboxOrg) -> None:
    acme.fault("hang", path=".*/query", seconds=5, times=1_000)
    hanging = [
        asyncio.ensure_future(operations.list_(app, caller, "salesforce_list_contacts", "acme", Listing(CONTACT)))
        for _ in range(30)
    ]

    async with asyncio.timeout(3):
        page = await operations.list_(app, caller, "salesforce_list_contacts", "globex", Listing(CONTACT))

    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    assert page.total_size == 4


async def test_too_many_calls_to_one_org_are_refused_at_once(
    open_again, app: App, caller: Caller, acme: SandboxOrg
) -> None:
    async with open_again(org_concurrency=1, org_queue=2) as narrow:
        await create(narrow, caller)
        acme.fault("hang", path=".*/query", seconds=5, times=1_000)
        tasks = [
            asyncio.ensure_future(
                operations.list_(narrow, caller, "salesforce_list_contacts", "acme", Listing(CONTACT))
            )
            for _ in range(8)
        ]
        async with asyncio.timeout(5):
            while sum(task.done() for task in tasks) < 5:
                await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)

    limited = [result for result in results if isinstance(result, CallError)]
    assert [error.category for error in limited] == ["rate_limited"] * 5
