"""Describes come from memory, the store or the org, are on record, and tell what is wrong before and after a call."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from orgserver.app import App
from orgserver.model.audit import AuditEntry, EntryFilter, Outcome
from orgserver.model.errors import InvalidArgument, PolicyDenied, Rejected, UnknownOrg
from orgserver.model.names import CONTACT, EVENT, SObjectName
from orgserver.model.orgs import Caller, Org
from orgserver.model.schema import Schema
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.calls.plan import Call
from orgserver.services.describe import name_hints
from orgserver.services.describe.memory import DescribeMemory, describe_key
from orgserver.services.describe.operations import DescribeOperations, ObjectPage
from orgserver.services.describe.schemas import Schemas
from orgserver.services.queries.list_query import Listing
from orgserver.store import describe_cache
from orgserver.store.transaction import read_clock
from tests import operations
from tests.conftest import Clock
from tests.refusing_stores import make_refusing

DESCRIBE, OBJECTS = "salesforce_describe_object", "salesforce_list_objects"
CONTACT_ID = "003Ws000003xYzAIAU"
MINUTE = 60


@pytest.fixture
def later(clock: Clock) -> Callable[[float], None]:
    """Lets time go by."""
    return clock.advance


async def entries(app: App, tool: str | None = None) -> list[AuditEntry]:
    return [entry async for entry in app.audit_log.entries(EntryFilter(action="describe", tool=tool))]


def asked(org: SandboxOrg) -> list[tuple[str, int]]:
    return [(seen.path.rpartition("/sobjects")[2], seen.status) for seen in org.requests if "/sobjects" in seen.path]


async def org_of(app: App, alias: str = "acme") -> Org:
    return (await app.access.reload()).by_alias[alias]


async def settled(app: App) -> None:
    async with asyncio.timeout(10):
        while app.services.executor.schemas._behind:
            await asyncio.sleep(0.01)


# -- asking


async def test_a_describe_is_asked_for_once_and_each_time_on_record(app: App, caller: Caller, acme: SandboxOrg) -> None:
    first = await operations.describe(app, caller, DESCRIBE, "acme", "contact")
    second = await operations.describe(app, caller, DESCRIBE, "acme", "Contact", ["LastName"])

    assert first.name == "Contact"
    assert second is first
    assert asked(acme) == [("/contact/describe", 200)]
    told = [(e.object, e.outcome, e.api_calls, e.fields, e.row_count) for e in await entries(app, DESCRIBE)]
    assert told == [
        ("contact", Outcome.SUCCEEDED, 1, (), len(first.fields)),
        ("Contact", Outcome.SUCCEEDED, 0, ("LastName",), len(first.fields)),
    ]


async def test_another_process_finds_it_in_the_store(open_again, app: App, caller: Caller, acme: SandboxOrg) -> None:
    mine = await operations.describe(app, caller, DESCRIBE, "acme", "Contact")
    async with open_again() as other:
        theirs = await operations.describe(other, caller, DESCRIBE, "acme", "Contact")

    assert theirs == mine
    assert len(asked(acme)) == 1


async def test_many_at_once_ask_once(app: App, caller: Caller, acme: SandboxOrg) -> None:
    acme.fault("hang", path=".*/describe", seconds=0.2, times=1)

    found = await asyncio.gather(*(operations.describe(app, caller, DESCRIBE, "acme", "Contact") for _ in range(8)))

    assert len({id(each) for each in found}) == 1
    assert len([path for path, status in asked(acme) if status == 200]) == 1


async def test_a_stale_one_answers_at_once_and_is_asked_for_anew_on_record(
    app: App, caller: Caller, acme: SandboxOrg, later: Callable[[float], None]
) -> None:
    first = await operations.describe(app, caller, DESCRIBE, "acme", "Contact")
    later(6 * MINUTE)
    acme.fault("hang", path=".*/describe", seconds=0.3, times=1)

    second = await operations.describe(app, caller, DESCRIBE, "acme", "Contact")
    before = app.services.executor.schemas.memory.fresh(await org_of(app), "Contact")
    await settled(app)

    assert second is first
    assert before is None
    assert app.services.executor.schemas.memory.fresh(await org_of(app), "contact") is first
    (behind,) = await entries(app, "metadata")
    assert (behind.principal, behind.object, behind.outcome) == ("local:tester", "Contact", Outcome.SUCCEEDED)
    assert behind.http_status == 304


async def test_what_has_not_changed_is_kept_and_only_its_age_renewed(
    open_again, app: App, caller: Caller, acme: SandboxOrg, later: Callable[[float], None]
) -> None:
    first = await operations.describe(app, caller, DESCRIBE, "acme", "Contact")
    later(25 * 60 * MINUTE)

    second = await operations.describe(app, caller, DESCRIBE, "acme", "Contact")

    assert second is first
    assert asked(acme) == [("/Contact/describe", 200), ("/Contact/describe", 304)]
    assert (await entries(app, DESCRIBE))[-1].http_status == 304
    key = describe_key(await org_of(app), "Contact")
    async with app.store.database.reading() as connection:
        kept = await describe_cache.find(connection, key)
    assert kept is not None
    assert kept.fetched_at > read_clock() + 24 * 3_600 * 1_000_000


async def test_after_a_day_the_caller_waits_for_what_is_true(
    app: App, caller: Caller, acme: SandboxOrg, later: Callable[[float], None]
) -> None:
    await operations.describe(app, caller, DESCRIBE, "acme", "Contact")
    later(25 * 60 * MINUTE)
    acme.fault("status", path=".*/describe", status=403)

    with pytest.raises(Rejected):
        await operations.describe(app, caller, DESCRIBE, "acme", "Contact")
    assert app.services.executor.schemas.memory.cached(await org_of(app), "Contact") is None


async def test_what_one_user_sees_is_never_told_to_another(app: App, caller: Caller) -> None:
    await operations.describe(app, caller, DESCRIBE, "acme", "Contact")
    org = await org_of(app)
    assert org.user is not None
    cached = app.services.executor.schemas.memory.cached

    assert cached(org, "CONTACT") is not None
    assert cached(replace(org, user=replace(org.user, id="005Ws00000Other")), "Contact") is None
    assert cached(replace(org, user=None), "Contact") is None
    assert cached(replace(org, api_version="v59.0"), "Contact") is None
    assert cached(await org_of(app, "globex"), "Contact") is None


async def describe_by(schemas: Schemas, app: App, caller: Caller, name: str) -> Schema:
    """Describe an object of acme by other schemas than the app's own."""
    operation = DescribeOperations(schemas, app.store.cursors).describe(name)
    return await app.services.executor.run(Call(caller, DESCRIBE, "acme", SObjectName(name)), operation)


async def test_memory_is_bounded_by_what_schemas_hold(app: App, caller: Caller, acme: SandboxOrg) -> None:
    memory = DescribeMemory(app.store.database.clock, max_weight=700)
    schemas = Schemas(app.store, app.services.executor.run, memory)
    for name in ("Contact", "Account", "Event", "User"):
        await describe_by(schemas, app, caller, name)
    held = list(memory.describes.values())

    assert sum(each.content.weight for each in held) == memory.weight
    assert memory.weight <= 700 or len(held) == 1
    await describe_by(schemas, app, caller, "Contact")
    assert len(asked(acme)) == 4  # the store still had it


async def test_a_store_that_cannot_keep_it_is_no_reason_to_fail(app: App, caller: Caller) -> None:
    schemas = Schemas(make_refusing(app.store), app.services.executor.run)

    assert (await describe_by(schemas, app, caller, "Contact")).name == "Contact"


async def test_nothing_is_told_of_an_org_that_is_not_yours_or_is_disabled(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    await operations.describe(app, caller, DESCRIBE, "acme", "Contact")
    await app.registry.update(caller, "acme", enabled=False)

    with pytest.raises(UnknownOrg):
        await operations.describe(app, caller, DESCRIBE, "nowhere", "Contact")
    with pytest.raises(PolicyDenied):
        await operations.describe(app, caller, DESCRIBE, "acme", "Contact")
    assert [e.outcome for e in await entries(app, DESCRIBE)][1:] == [Outcome.DENIED, Outcome.DENIED]


async def page_of(app: App, caller: Caller, count: int, cursor: str | None = None) -> ObjectPage:
    """Some objects of acme, so many a page."""
    operation = DescribeOperations(app.services.executor.schemas, app.store.cursors, page=count)
    return await app.services.executor.run(Call(caller, OBJECTS, "acme"), operation.list_objects(None, cursor))


async def test_objects_are_named_a_page_at_a_time(app: App, caller: Caller, acme: SandboxOrg) -> None:
    names: list[str] = []
    cursor = None
    while True:
        page = await page_of(app, caller, 2, cursor)
        names += [each.name for each in page.objects]
        cursor = page.next_cursor
        if cursor is None:
            break

    assert len(names) == page.total_size
    assert {"Account", "Contact", "Event", "User"} <= set(names)
    assert asked(acme) == [("", 200)]
    found = await operations.objects(app, caller, OBJECTS, "acme", "CONT", None)
    assert "Contact" in {each.name for each in found.objects}
    assert "User" not in {each.name for each in found.objects}


async def test_a_cursor_of_one_org_or_match_opens_no_other(app: App, caller: Caller) -> None:
    page = await page_of(app, caller, 1)

    for alias, match in (("globex", None), ("acme", "a")):
        with pytest.raises(InvalidArgument):
            await operations.objects(app, caller, OBJECTS, alias, match, page.next_cursor)


@pytest.mark.parametrize("name", ["", "a b", "Contact/../..", "Ünit", "x" * 300])
async def test_what_is_no_objects_name_reaches_no_org(app: App, caller: Caller, acme: SandboxOrg, name: str) -> None:
    with pytest.raises(InvalidArgument, match="object"):
        await operations.describe(app, caller, DESCRIBE, "acme", name)
    assert acme.requests == []


async def test_a_field_that_is_asked_about_and_is_none_is_answered_with_the_nearest(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    with pytest.raises(InvalidArgument, match=r"no field 'Mail' on Contact; did you mean Email\?") as refused:
        await operations.describe(app, caller, DESCRIBE, "acme", "Contact", ["LastName", "Mail"])

    assert (refused.value.code, refused.value.fields) == ("INVALID_FIELD", ("fields",))
    assert len(asked(acme)) == 2  # it was made sure of


# -- help before


async def test_wrong_values_are_named_before_anything_is_sent(app: App, caller: Caller, acme: SandboxOrg) -> None:
    await operations.describe(app, caller, DESCRIBE, "acme", "Contact")
    acme.requests.clear()
    values = {"Mail": "a@b.co", "Nope__c": 1}

    with pytest.raises(InvalidArgument, match=r"no field 'Mail' on Contact; did you mean Email\?") as refused:
        await operations.create(app, caller, "salesforce_create_contact", "acme", CONTACT, values)

    assert (refused.value.code, refused.value.outcome) == ("INVALID_FIELD", "denied")
    assert refused.value.fields == ("data.Mail", "data.Nope__c", "data.LastName")
    assert "LastName is required" in str(refused.value)
    assert [seen.method for seen in acme.requests] == ["GET"]
    assert asked(acme) == [("/Contact/describe", 304)]  # it was made sure of
    (entry,) = [e async for e in app.audit_log.entries(EntryFilter(action="create"))]
    assert (entry.outcome, entry.error_code, entry.api_calls) == (Outcome.DENIED, "INVALID_FIELD", 0)


@pytest.mark.parametrize("preview", [False, True])
async def test_an_update_of_no_field_is_named_too(app: App, caller: Caller, acme: SandboxOrg, preview: bool) -> None:
    await operations.describe(app, caller, DESCRIBE, "acme", "Contact")

    with pytest.raises(InvalidArgument, match="did you mean MobilePhone"):
        await operations.update(
            app, caller, "salesforce_update_contact", "acme", CONTACT, CONTACT_ID, {"MobilPhone": "1"}, preview=preview
        )
    assert asked(acme) == [("/Contact/describe", 200), ("/Contact/describe", 304)]


@pytest.mark.parametrize(
    ("listing", "told", "argument"),
    [
        (Listing(CONTACT, fields=["Id", "Mail"]), "no field 'Mail' on Contact; did you mean Email?", "fields"),
        (Listing(CONTACT, filter={"Mail": "x"}), "no field 'Mail' on Contact; did you mean Email?", "filter.Mail"),
        (Listing(CONTACT, filter={"Description": "x"}), "Description is not filterable", "filter.Description"),
        (Listing(CONTACT, order_by="Lastnam desc"), "no field 'Lastnam' on Contact; did you mean LastName", "order_by"),
        (Listing(CONTACT, order_by="MailingAddress"), "MailingAddress is not sortable", "order_by"),
        (
            Listing(CONTACT, fields=["Acount.Name"]),
            "no relationship 'Acount' on Contact; did you mean Account",
            "fields",
        ),
        (Listing(CONTACT, fields=["Account.Nam"]), "no field 'Nam' on Account; did you mean Name", "fields"),
    ],
)
async def test_lists_by_wrong_names_are_refused_with_the_right_ones(
    app: App, caller: Caller, acme: SandboxOrg, listing: Listing, told: str, argument: str
) -> None:
    for name in ("Contact", "Account"):
        await operations.describe(app, caller, DESCRIBE, "acme", name)
    acme.requests.clear()

    with pytest.raises(InvalidArgument) as refused:
        await operations.list_(app, caller, "salesforce_list_contacts", "acme", listing)

    assert told in str(refused.value)
    assert refused.value.fields == (argument,)
    assert {status for _, status in asked(acme)} == {304}
    assert len(asked(acme)) == len(acme.requests) <= 2


async def test_right_names_pass_along_every_kind_of_path(app: App, caller: Caller) -> None:
    for name in ("Contact", "Account", "Event", "User"):
        await operations.describe(app, caller, DESCRIBE, "acme", name)
    fields = ["Id", "Account.Owner.Name", "ReportsTo.LastName", "Contact.Email"]

    await operations.list_(app, caller, "t", "acme", Listing(CONTACT, fields=fields, filter={"Account.Name": "x"}))
    await operations.list_(app, caller, "t", "acme", Listing(EVENT, fields=["Who.Name", "What.Name"]))
    await operations.query(app, caller, "t", "acme", "SELECT Id, Who.Name FROM Event WHERE StartDateTime = TODAY")


async def test_a_query_by_wrong_names_is_refused_before_it_is_sent(app: App, caller: Caller, acme: SandboxOrg) -> None:
    await operations.describe(app, caller, DESCRIBE, "acme", "Contact")
    await operations.objects(app, caller, OBJECTS, "acme", None, None)
    acme.requests.clear()

    with pytest.raises(InvalidArgument, match="did you mean Email") as field:
        await operations.query(app, caller, "t", "acme", "SELECT Id FROM Contact WHERE Mail = 'x'")
    with pytest.raises(InvalidArgument, match=r"no object 'Contct' here; did you mean Contact\?") as sobject:
        await operations.query(app, caller, "t", "acme", "SELECT Id FROM Contct")

    assert (field.value.code, field.value.fields) == ("INVALID_FIELD", ("soql",))
    assert (sobject.value.code, sobject.value.fields) == ("INVALID_TYPE", ("soql",))
    assert asked(acme) == [("/Contact/describe", 304), ("", 304)]
    assert len(acme.requests) == 2


async def test_a_stale_schema_refuses_nothing_of_a_write(
    app: App, caller: Caller, acme: SandboxOrg, later: Callable[[float], None]
) -> None:
    values = {"LastName": "Byron", "Mail": "x"}
    with pytest.raises(Rejected):
        await operations.create(app, caller, "t", "globex", CONTACT, values)
    await operations.describe(app, caller, DESCRIBE, "acme", "Contact")
    later(6 * MINUTE)
    acme.requests.clear()

    with pytest.raises(Rejected, match="No such column") as refused:
        await operations.create(app, caller, "t", "acme", CONTACT, values)

    assert [seen.method for seen in acme.requests if "describe" not in seen.path] == ["POST"]
    assert refused.value.hint == "did you mean Email?"


async def test_a_field_or_an_object_that_was_made_since_the_describe_is_known(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    acme.hidden_objects = frozenset({"Custom__c"})
    await operations.describe(app, caller, DESCRIBE, "acme", "Contact")
    await operations.objects(app, caller, OBJECTS, "acme", None, None)
    acme.objects.change("Contact", "Brand_New__c", {})
    acme.hidden_objects = frozenset()

    made = await operations.create(app, caller, "t", "acme", CONTACT, {"LastName": "New", "Brand_New__c": "x"})
    found = await operations.query(
        app, caller, "t", "acme", "SELECT Brand_New__c FROM Contact WHERE Brand_New__c = 'x'"
    )
    custom = await operations.query(app, caller, "t", "acme", "SELECT Id FROM Custom__c")

    assert found.records == [{"Brand_New__c": "x"}]
    assert custom.records == []
    assert acme.records.tables["Contact"][made.id]["Brand_New__c"] == "x"
    looked = [(each.object, each.outcome) for each in await entries(app, "metadata")]
    assert looked == [("Contact", Outcome.SUCCEEDED), (None, Outcome.SUCCEEDED)]


async def test_where_the_second_look_fails_salesforce_is_the_judge(app: App, caller: Caller, acme: SandboxOrg) -> None:
    await operations.describe(app, caller, DESCRIBE, "acme", "Contact")
    acme.fault("status", path=".*/describe", status=403)

    with pytest.raises(Rejected, match="No such column"):
        await operations.create(app, caller, "t", "acme", CONTACT, {"LastName": "Byron", "Mail": "x"})


async def test_a_refresh_reads_the_describe_anew_whatever_is_kept(app: App, caller: Caller, acme: SandboxOrg) -> None:
    await operations.describe(app, caller, DESCRIBE, "acme", "Contact")
    kept = await operations.describe(app, caller, DESCRIBE, "acme", "Contact")
    acme.objects.change("Contact", "Brand_New__c", {})
    stale = await operations.describe(app, caller, DESCRIBE, "acme", "Contact")

    now = await operations.describe(app, caller, DESCRIBE, "acme", "Contact", refresh=True)
    again = await operations.describe(app, caller, DESCRIBE, "acme", "Contact", refresh=True)

    assert stale is kept and stale.field("Brand_New__c") is None
    assert now.field("Brand_New__c") is not None and again == now
    assert asked(acme) == [("/Contact/describe", 200)] * 3  # never 304: what it says may be what went wrong


async def test_a_policy_is_told_before_anything_about_fields(app: App, caller: Caller) -> None:
    await operations.describe(app, caller, DESCRIBE, "acme", "Contact")
    await app.registry.update(caller, "acme", policy={"read_only": True})

    with pytest.raises(PolicyDenied):
        await operations.create(app, caller, "t", "acme", CONTACT, {"Mail": "x"})


# -- help after


async def test_a_refusal_by_name_looks_the_object_up_at_once(app: App, caller: Caller, acme: SandboxOrg) -> None:
    query = "SELECT Id, Mail FROM Contact"
    with pytest.raises(Rejected, match="No such column") as first:
        await operations.query(app, caller, "t", "acme", query)
    with pytest.raises(InvalidArgument, match=r"did you mean Email\?"):
        await operations.query(app, caller, "t", "acme", query)

    second, entry = await app.audit_log.newest(EntryFilter(tool="t"), 2)
    assert first.value.hint == "did you mean Email?"
    assert (entry.http_status, entry.api_calls, entry.error_code) == (400, 2, "INVALID_FIELD")
    assert second.api_calls in (0, None)
    assert asked(acme) == [("/Contact/describe", 200), ("/Contact/describe", 304)]


async def test_a_describe_that_hangs_holds_no_refusal_up(
    app: App, caller: Caller, acme: SandboxOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name_hints, "SECONDS", 0.1)
    acme.fault("hang", path=".*/describe", seconds=30)

    async with asyncio.timeout(5):
        with pytest.raises(Rejected, match="No such column"):
            await operations.query(app, caller, "t", "acme", "SELECT Mail FROM Contact")


async def test_a_relationship_that_is_none_is_answered_from_the_object_it_stands_on(
    app: App, caller: Caller, later: Callable[[float], None]
) -> None:
    for name in ("Contact", "Account"):
        await operations.describe(app, caller, DESCRIBE, "acme", name)
    later(6 * MINUTE)

    hints = []
    for query in ("SELECT Acount.Name FROM Contact", "SELECT Account.Ownr.Name FROM Contact WHERE LastName = 'O.X'"):
        with pytest.raises(Rejected) as refused:
            await operations.query(app, caller, "t", "acme", query)
        hints.append(refused.value.hint)

    assert hints == ["did you mean Account?", "did you mean Owner?"]


async def test_an_object_that_is_none_is_answered_with_the_nearest(
    app: App, caller: Caller, later: Callable[[float], None]
) -> None:
    await operations.objects(app, caller, OBJECTS, "acme", None, None)
    later(6 * MINUTE)

    with pytest.raises(Rejected) as query:
        await operations.query(app, caller, "t", "acme", "SELECT Id FROM Contacts")
    with pytest.raises(Rejected) as describe:
        await operations.describe(app, caller, DESCRIBE, "acme", "Acount")

    assert (query.value.code, query.value.hint) == ("INVALID_TYPE", "did you mean Contact?")
    assert (describe.value.category, describe.value.hint) == ("not_found", "did you mean Account?")


async def test_an_object_that_is_gone_is_forgotten(
    app: App, caller: Caller, acme: SandboxOrg, later: Callable[[float], None]
) -> None:
    await operations.describe(app, caller, DESCRIBE, "acme", "Contact")
    later(25 * 60 * MINUTE)
    acme.fault("status", path=".*/describe", status=404, body='[{"errorCode": "NOT_FOUND", "message": "gone"}]')
    with pytest.raises(Rejected):
        await operations.describe(app, caller, DESCRIBE, "acme", "Contact")
    key = describe_key(await org_of(app), "Contact")

    async with app.store.database.reading() as connection:
        assert await describe_cache.find(connection, key) is None


async def test_repeated_refusals_ask_the_org_at_most_once_a_minute(app: App, caller: Caller, acme: SandboxOrg) -> None:
    acme.fault("status", path=".*/describe", status=403)
    for _ in range(5):
        with pytest.raises(Rejected):
            await operations.query(app, caller, "t", "acme", "SELECT Nope FROM Contact")
        await settled(app)

    assert len(asked(acme)) == 1


async def test_closing_waits_for_nothing_that_goes_on_behind_a_caller(
    open_again, app: App, caller: Caller, acme: SandboxOrg
) -> None:
    acme.fault("hang", path=".*/describe", seconds=30)
    async with asyncio.timeout(5):
        async with open_again() as other:
            other.services.executor.schemas.renew(caller, await org_of(other), SObjectName("Contact"))
            while not any("describe" in seen.path for seen in acme.requests):
                await asyncio.sleep(0.01)

    (entry,) = await entries(app, "metadata")
    assert entry.outcome is Outcome.UNKNOWN


async def test_nothing_has_changed_is_no_answer_to_who_knows_nothing(
    app: App, caller: Caller, acme: SandboxOrg
) -> None:
    acme.fault("status", path=".*/describe", status=304)

    with pytest.raises(Rejected) as refused:
        await operations.describe(app, caller, DESCRIBE, "acme", "Contact")

    assert refused.value.code == "REDIRECT"
    assert app.services.executor.schemas.memory.cached(await org_of(app), "Contact") is None


async def test_damage_in_the_store_is_asked_for_anew(open_again, app: App, caller: Caller, acme: SandboxOrg) -> None:
    first = await operations.describe(app, caller, DESCRIBE, "acme", "Contact")
    key = describe_key(await org_of(app), "Contact")
    damaged = describe_cache.StoredDescribe(b"junk", None, read_clock())
    await app.store.database.write(lambda tx: describe_cache.keep_in(tx, key, damaged))

    async with open_again() as other:
        assert await operations.describe(other, caller, DESCRIBE, "acme", "Contact") == first
    assert asked(acme) == [("/Contact/describe", 200)] * 2
