"""What an agent changed can be put back, unless somebody changed it since; and restorer is an act like any other."""

import asyncio
from typing import Any

import pytest

from orgserver.app import App
from orgserver.model.access.policies import Policy
from orgserver.model.access.principals import Principal
from orgserver.model.audit import Action, AuditEntry, Completion, EntryFilter, Intent, Outcome
from orgserver.model.errors import CallError, NotSent, OperatorError, PolicyDenied, Rejected
from orgserver.model.names import CONTACT, EVENT, Alias, new_id
from orgserver.model.orgs import Caller
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state import schema
from orgserver.services.policies.field_limits import FieldLimits
from orgserver.services.undo import erasure
from orgserver.services.undo.eligibility import CannotUndo
from orgserver.services.undo.preview import HIDDEN, HIDDEN_BEFORE, Undo
from orgserver.services.undo.restorer import Restorer
from orgserver.store.audit.snapshots import SnapshotFilter
from tests import operations

ID = "003000000000001AAA"
ADA = {"FirstName": "Ada", "LastName": "Byron", "Email": "Ada@Example.com"}


@pytest.fixture
async def restorer(app: App, caller: Caller, acme: SandboxOrg) -> Restorer:
    await app.registry.update(caller, "acme", policy={"keep_values": True})
    acme.requests.clear()
    return app.restorer()


async def create(app: App, caller: Caller, values: dict[str, Any] = ADA) -> str:
    return (await operations.create(app, caller, "salesforce_create_contact", "acme", CONTACT, dict(values))).id


async def change(app: App, caller: Caller, record_id: str, **values: Any) -> None:
    await operations.update(app, caller, "salesforce_update_contact", "acme", CONTACT, record_id, values)


async def delete(app: App, caller: Caller, record_id: str) -> None:
    await operations.delete(app, caller, "salesforce_delete_contact", "acme", CONTACT, record_id)


async def last(app: App, action: str) -> AuditEntry:
    return (await app.audit_log.newest(EntryFilter(action=action), 1))[0]


async def do(restorer: Restorer, caller: Caller, undo: Undo, *, force: bool = False) -> str:
    assert undo.is_possible(force=force), undo.problem
    return await restorer.restore(caller, undo, force=force, moved={})


def contacts(org: SandboxOrg) -> dict[str, Any]:
    return org.records.tables["Contact"]


async def test_an_update_is_undone_by_writing_the_old_values_back(
    app: App, caller: Caller, acme: SandboxOrg, restorer: Restorer
) -> None:
    made = await create(app, caller)
    await change(app, caller, made, email="x@y.co", Phone="5")
    changed = await last(app, "update")

    undo = await restorer.preview_entry(caller, changed.id)
    told = {(change.field, change.before, change.after) for change in undo.changes}
    await do(restorer, caller, undo)

    assert told == {("email", "x@y.co", "Ada@Example.com"), ("Phone", "5", None)}
    assert (contacts(acme)[made]["Email"], contacts(acme)[made]["Phone"]) == ("Ada@Example.com", None)
    entry = await last(app, "undo")
    assert (entry.undoes, entry.tool, entry.record_ids, entry.fields) == (
        changed.id,
        "audit undo",
        (made,),
        ("Phone", "email"),
    )
    assert entry.api_calls == 2
    assert "Example" not in str(entry.as_json())


async def test_looking_changes_nothing(app: App, caller: Caller, acme: SandboxOrg, restorer: Restorer) -> None:
    made = await create(app, caller)
    await change(app, caller, made, Phone="5")
    acme.requests.clear()

    await restorer.preview_entry(caller, (await last(app, "update")).id)

    assert {seen.method for seen in acme.requests} == {"GET"}


async def test_a_create_is_undone_by_deleting(app: App, caller: Caller, acme: SandboxOrg, restorer: Restorer) -> None:
    made = await create(app, caller)

    await do(restorer, caller, await restorer.preview_entry(caller, (await last(app, "create")).id))

    assert made not in contacts(acme)


async def test_a_delete_is_undone_by_creating_the_record_again(
    app: App, caller: Caller, acme: SandboxOrg, restorer: Restorer
) -> None:
    made = await create(app, caller, ADA | {"MailingCity": "London", "Birthdate": "1815-12-10"})
    await delete(app, caller, made)

    again = await do(restorer, caller, await restorer.preview_entry(caller, (await last(app, "delete")).id))

    record = contacts(acme)[again]
    assert again != made
    assert (record["LastName"], record["MailingCity"], record["Birthdate"]) == ("Byron", "London", "1815-12-10")
    assert (await last(app, "undo")).record_ids == (made, again)


async def test_a_deleted_event_comes_back_at_its_time(
    app: App, caller: Caller, acme: SandboxOrg, restorer: Restorer
) -> None:
    when = {"Subject": "Tea", "StartDateTime": "2026-02-20T18:00:00Z", "EndDateTime": "2026-02-20T19:00:00+00:00"}
    made = await operations.create(app, caller, "salesforce_create_appointment", "acme", EVENT, dict(when))
    await operations.delete(app, caller, "salesforce_delete_appointment", "acme", EVENT, made.id)

    again = await do(restorer, caller, await restorer.preview_entry(caller, (await last(app, "delete")).id))

    record = acme.records.tables["Event"][again]
    assert (record["Subject"], record["StartDateTime"]) == ("Tea", "2026-02-20T18:00:00.000+0000")


async def test_what_was_changed_since_is_left_alone_unless_forced(
    app: App, caller: Caller, acme: SandboxOrg, restorer: Restorer
) -> None:
    made = await create(app, caller)
    await change(app, caller, made, Phone="5")
    contacts(acme)[made]["Phone"] = "6"

    undo = await restorer.preview_entry(caller, (await last(app, "update")).id)

    assert (undo.problem, undo.is_possible(force=False)) == ("changed since: Phone", False)
    await do(restorer, caller, undo, force=True)
    assert contacts(acme)[made]["Phone"] is None


@pytest.mark.parametrize("action", ["update", "create"])
async def test_what_changes_between_looking_and_doing_is_left_alone(
    app: App, caller: Caller, acme: SandboxOrg, restorer: Restorer, action: str
) -> None:
    made = await create(app, caller, ADA | {"Phone": "4"})
    if action == "update":
        await change(app, caller, made, Phone="5")
    undo = await restorer.preview_entry(caller, (await last(app, action)).id)
    contacts(acme)[made]["Phone"] = "6"
    acme.requests.clear()

    with pytest.raises(NotSent) as refused:
        await do(restorer, caller, undo)

    assert refused.value.code == "CHANGED_SINCE"
    assert {seen.method for seen in acme.requests} == {"GET"}
    assert (await last(app, "undo")).outcome.value == "not_sent"


async def test_a_contact_that_somebody_else_worked_on_is_not_deleted_unasked(
    app: App, caller: Caller, acme: SandboxOrg, restorer: Restorer
) -> None:
    made = await create(app, caller)
    contacts(acme)[made] |= {"Phone": "6", "LastModifiedById": "005Sb0000009999AAA"}

    undo = await restorer.preview_entry(caller, (await last(app, "create")).id)

    assert (undo.problem, undo.forceable) == ("somebody else changed the record since it was created", True)


async def test_a_contact_that_an_agent_updated_is_not_deleted_unasked(
    app: App, caller: Caller, acme: SandboxOrg, restorer: Restorer
) -> None:
    made = await create(app, caller)
    await change(app, caller, made, Phone="5")

    undo = await restorer.preview_entry(caller, (await last(app, "create")).id)

    assert undo.problem == f"it was updated since, by entry {(await last(app, 'update')).id}"


async def test_a_field_that_may_not_be_written_any_more_is_named(app: App, caller: Caller, restorer: Restorer) -> None:
    made = await create(app, caller)
    await change(app, caller, made, Phone="5")
    row_id = (await app.access.org(caller, "acme"))[0].row_id
    restorer._field_infos[caller.principal.name, row_id, CONTACT] = {"phone": {"updateable": False}}

    undo = await restorer.preview_entry(caller, (await last(app, "update")).id)

    assert (undo.problem, undo.is_possible(force=True)) == ("Phone cannot be written by the org's user", False)


async def test_a_record_that_is_gone_is_said_to_be(app: App, caller: Caller, restorer: Restorer) -> None:
    made = await create(app, caller)
    await change(app, caller, made, Phone="5")
    await delete(app, caller, made)

    assert (await restorer.preview_entry(caller, (await last(app, "update")).id)).problem == "the record is gone"
    assert (
        await restorer.preview_entry(caller, (await last(app, "create")).id)
    ).problem == "the record is gone already"


async def test_two_who_undo_a_delete_at_once_make_one_record(
    app: App, caller: Caller, acme: SandboxOrg, restorer: Restorer
) -> None:
    made = await create(app, caller)
    await delete(app, caller, made)
    undo = await restorer.preview_entry(caller, (await last(app, "delete")).id)
    before = len(contacts(acme))

    done = await asyncio.gather(*(do(restorer, caller, undo) for _ in range(5)), return_exceptions=True)

    assert len(contacts(acme)) == before + 1
    assert all(isinstance(each, str | CallError) for each in done)


async def test_an_undo_passes_through_the_orgs_policy(
    app: App, caller: Caller, acme: SandboxOrg, restorer: Restorer
) -> None:
    made = await create(app, caller)
    undo = await restorer.preview_entry(caller, (await last(app, "create")).id)
    await app.registry.update(caller, "acme", policy={"read_only": True})

    with pytest.raises(PolicyDenied):
        await do(restorer, caller, undo)

    assert made in contacts(acme)
    assert (await last(app, "undo")).outcome.value == "denied"


async def test_a_refusal_by_salesforce_changes_nothing_and_may_be_tried_again(
    app: App, caller: Caller, acme: SandboxOrg, restorer: Restorer
) -> None:
    await delete(app, caller, await create(app, caller))
    deleted = await last(app, "delete")
    acme.fault("status", path=".*/sobjects/Contact", method="POST", status=400, body='[{"errorCode":"INACTIVE_OWNER"}]')

    with pytest.raises(Rejected):
        await do(restorer, caller, await restorer.preview_entry(caller, deleted.id))

    assert await do(restorer, caller, await restorer.preview_entry(caller, deleted.id)) in contacts(acme)


async def test_an_undo_that_may_have_happened_is_not_repeated_unasked(
    app: App, caller: Caller, acme: SandboxOrg, restorer: Restorer
) -> None:
    await delete(app, caller, await create(app, caller))
    deleted = await last(app, "delete")
    acme.fault("close", path=".*/sobjects/Contact", method="POST", work=True)
    with pytest.raises(CallError):
        await do(restorer, caller, await restorer.preview_entry(caller, deleted.id))

    undo = await restorer.preview_entry(caller, deleted.id)

    assert (undo.problem, undo.forceable) == ("an earlier undo of it has an unknown outcome", True)


async def test_what_cannot_be_undone_is_said_in_one_line(app: App, caller: Caller, restorer: Restorer) -> None:
    made = await create(app, caller)
    await change(app, caller, made, Phone="5")
    changed = await last(app, "update")
    await do(restorer, caller, await restorer.preview_entry(caller, changed.id))
    await operations.read(app, caller, "salesforce_get_contact", "acme", CONTACT, made)
    await operations.query(app, caller, "salesforce_query", "acme", "SELECT Id FROM Contact")
    with pytest.raises(CallError):
        await operations.create(app, caller, "t", "acme", CONTACT, {"LastName": 5})
    globex = await operations.create(app, caller, "salesforce_create_contact", "globex", CONTACT, dict(ADA))
    foreign = (await app.audit_log.newest(EntryFilter(record_id=globex.id), 1))[0]
    said = {
        "nonsense": "there is no audit entry with this id",
        (await last(app, "undo")).id: "this entry is an undo",
        (await last(app, "read")).id: "this entry is a read, which changed nothing",
        (await last(app, "query")).id: "this entry is a query, which changed nothing",
        (await last(app, "enrol")).id: "only create, update, upsert and delete can be undone",
        changed.id: "this entry was undone already",
        (await app.audit_log.newest(EntryFilter(outcome="denied"), 1))[0].id: "its outcome is denied",
        foreign.id: "no values are kept of this create",
    }

    for entry_id, words in said.items():
        with pytest.raises(CannotUndo) as refused:
            await restorer.preview_entry(caller, entry_id)
        assert words in str(refused.value)
        assert "\n" not in str(refused.value)


async def test_the_repeat_of_a_create_names_the_entry_of_the_first(
    app: App, caller: Caller, restorer: Restorer
) -> None:
    arguments = (caller, "salesforce_create_contact", "acme", CONTACT, dict(ADA))
    made = await operations.create(app, *arguments, idempotency_key="k")
    await create(app, caller)
    await operations.create(app, *arguments, idempotency_key="k")
    repeat, _, first = await app.audit_log.newest(EntryFilter(action="create"), 3)

    with pytest.raises(CannotUndo, match="nothing was sent for it: the change is that of " + first.id) as refused:
        await restorer.preview_entry(caller, repeat.id)
    every = await restorer.preview_span(caller, EntryFilter(record_id=made.id))

    assert refused.value.hint == f"orgserver audit undo {first.id}"
    assert [undo.entry.id for undo in every] == [first.id]
    assert every[0].is_possible(force=False)


async def test_the_repeat_of_an_upsert_names_the_upserts_that_it_may_repeat(
    app: App, caller: Caller, restorer: Restorer
) -> None:
    person = Principal("local:agent")
    for principal, fields, api_calls in (
        (caller.principal, ("LastName",), 1),
        (person, ("LastName",), 1),
        (caller.principal, ("Email",), 1),
        (caller.principal, ("LastName",), 1),
        (caller.principal, ("LastName",), 0),
    ):
        act = Intent(new_id(), principal.name, "stdio", Action.UPSERT, org="acme", record_ids=(ID,), fields=fields)
        await app.store.audit.record(act, Completion(Outcome.SUCCEEDED, api_calls=api_calls))
    repeat, second, _, _, first = await app.audit_log.newest(EntryFilter(action="upsert"), 5)

    with pytest.raises(CannotUndo, match=f"the change is that of {second.id} or {first.id}"):
        await restorer.preview_entry(caller, repeat.id)


async def test_an_entry_of_an_org_that_was_removed_or_erased_cannot_be_undone(
    app: App, caller: Caller, restorer: Restorer
) -> None:
    made = await create(app, caller)
    await change(app, caller, made, Phone="5")
    erased = await erasure.erase(app.store, caller, SnapshotFilter(record_id=made), None)
    with pytest.raises(CannotUndo, match="no values are kept"):
        await restorer.preview_entry(caller, (await last(app, "create")).id)
    await create(app, caller)
    await app.registry.remove(caller, "acme", keep_token=True)

    with pytest.raises(CannotUndo, match="was removed"):
        await restorer.preview_entry(caller, (await last(app, "create")).id)

    assert erased == 2
    assert await erasure.erasable(app.store, await erasure.which_org(app.access, caller, "acme")) == 1


async def test_a_renamed_org_is_found(app: App, caller: Caller, acme: SandboxOrg, restorer: Restorer) -> None:
    made = await create(app, caller)
    await app.registry.update(caller, "acme", rename=Alias("acme-eu"))

    await do(restorer, caller, await restorer.preview_entry(caller, (await last(app, "create")).id))

    assert made not in contacts(acme)


async def test_a_whole_span_is_undone_newest_first(
    app: App, caller: Caller, acme: SandboxOrg, restorer: Restorer
) -> None:
    other = acme.records.add(schema.load("Contact"), {"LastName": "Old"})
    before = {name: dict(record) for name, record in contacts(acme).items()}
    made = await create(app, caller)
    await change(app, caller, made, Phone="5")
    await change(app, caller, made, Phone="6", FirstName="Augusta", Email=None)
    await change(app, caller, other, LastName="New")
    await change(app, caller, other, LastName="Newer")
    await delete(app, caller, made)

    undos = await restorer.preview_span(caller, EntryFilter(principal=caller.principal.name), "r1")
    moved: dict[str, Any] = {}
    for undo in undos:
        assert undo.problem is None, undo
        await restorer.restore(caller, undo, force=False, moved=moved)

    assert [undo.entry.action for undo in undos] == ["delete", "update", "update", "update", "update", "create"]
    assert contacts(acme).keys() == before.keys()
    assert contacts(acme)[other]["LastName"] == "Old"
    rest = await restorer.preview_span(caller, EntryFilter(), "r1")
    assert all("undone already" in str(undo.problem) for undo in rest)


async def test_a_change_of_many_records_in_a_span_is_said_to_stay(app: App, caller: Caller, restorer: Restorer) -> None:
    many = Intent(
        new_id(), caller.principal.name, "stdio", Action.BULK, org="acme", client=caller.client, request_id="r1"
    )
    await app.store.audit.record(many, Completion(Outcome.SUCCEEDED))
    await create(app, caller)

    undos = await restorer.preview_span(caller, EntryFilter(), "r1")

    assert [(undo.entry.action, undo.is_possible(force=True)) for undo in undos] == [("create", True), ("bulk", False)]
    assert "no old values are kept" in str(undos[1].problem)


async def test_a_request_id_of_two_agents_has_to_be_narrowed(app: App, caller: Caller, restorer: Restorer) -> None:
    await create(app, caller)
    await create(app, Caller(Principal("local:other"), "stdio", request_id="r1"))

    with pytest.raises(OperatorError, match="more than one agent"):
        await restorer.preview_span(caller, EntryFilter(), "r1")
    assert len(await restorer.preview_span(caller, EntryFilter(principal="local:other"), "r1")) == 1


async def test_a_request_id_of_two_sessions_has_to_be_narrowed(
    app: App, caller: Caller, restorer: Restorer, open_again
) -> None:
    await create(app, caller)
    async with open_again() as later:
        await create(later, caller)

    with pytest.raises(OperatorError, match="session"):
        await restorer.preview_span(caller, EntryFilter(), caller.request_id)


async def test_a_record_that_was_made_again_is_followed_to_its_new_id(
    app: App, caller: Caller, acme: SandboxOrg, restorer: Restorer
) -> None:
    made = await create(app, caller)
    await change(app, caller, made, Email=None)
    changed = await last(app, "update")
    await delete(app, caller, made)
    again = await do(restorer, caller, await restorer.preview_entry(caller, (await last(app, "delete")).id))

    assert await do(restorer, caller, await restorer.preview_entry(caller, changed.id)) == again
    assert contacts(acme)[again]["Email"] == "Ada@Example.com"
    await do(restorer, caller, await restorer.preview_entry(caller, (await last(app, "create")).id))
    assert again not in contacts(acme)
    with pytest.raises(CannotUndo, match="undone already"):
        await restorer.preview_entry(caller, changed.id)


async def test_a_hidden_value_is_put_back_and_shown_to_nobody(
    app: App, caller: Caller, acme: SandboxOrg, restorer: Restorer
) -> None:
    made = await create(app, caller, ADA | {"Phone": "+49 30 1234567"})
    await change(app, caller, made, Email="x@y.co", Phone="5", Title="Dr")
    await app.registry.update(caller, "acme", policy={"hide_fields": ("Contact.Email",)})
    await app.registry.update(caller, "acme", policy={"mask_fields": ("Contact.Phone",)})
    changed = await last(app, "update")

    undo = await restorer.preview_entry(caller, changed.id)
    of_principal = undo.limited(
        FieldLimits.of(Policy(hide_fields=("Contact.Email",))), "Contact", lambda _name: None, names=False
    )
    await do(restorer, caller, undo)

    assert {(each.field, each.before, each.after) for each in undo.changes} == {
        ("Email", HIDDEN, HIDDEN_BEFORE),
        ("Phone", "…", "…67"),
        ("Title", "Dr", None),
    }
    assert [each.field for each in of_principal.changes] == ["Phone", "Title"]
    assert contacts(acme)[made]["Email"] == ADA["Email"]
    assert contacts(acme)[made]["Phone"] == "+49 30 1234567"
    assert "Email" in (await last(app, "undo")).fields


async def test_what_a_delete_took_away_is_created_again_with_its_hidden_values(
    app: App, caller: Caller, acme: SandboxOrg, restorer: Restorer
) -> None:
    await app.registry.update(caller, "acme", policy={"hide_fields": ("Contact.Email",)})
    made = next(iter(contacts(acme)))
    email = contacts(acme)[made]["Email"]
    await delete(app, caller, made)

    undo = await restorer.preview_entry(caller, (await last(app, "delete")).id)
    again = await do(restorer, caller, undo)

    assert email not in repr(undo.changes)
    assert contacts(acme)[again]["Email"] == email
