"""Records of any object: read, changed and deleted like contacts, and told compactly and truthfully."""

from collections.abc import Callable

import httpx
import pytest

from orgserver.app import App
from orgserver.model.errors import Rejected, Unanswered
from orgserver.model.names import CONTACT, SObjectName
from orgserver.model.orgs import Caller
from tests import operations

ACCOUNT = SObjectName("Account")
Say = Callable[..., httpx.Response]


async def make(app: App, caller: Caller, sobject: SObjectName = ACCOUNT, **data: object) -> str:
    made = await operations.create(app, caller, "salesforce_create_record", "acme", sobject, data or {"Name": "Acme"})
    return made.id


async def test_an_object_that_has_no_tool_of_its_own_is_created_read_changed_and_deleted(
    app: App, caller: Caller
) -> None:
    made = await make(app, caller)
    await operations.update(app, caller, "salesforce_update_record", "acme", ACCOUNT, made, {"Phone": "1"})

    whole = (await operations.read(app, caller, "salesforce_get_record", "acme", ACCOUNT, made)).values
    asked = await operations.read(app, caller, "salesforce_get_record", "acme", ACCOUNT, made, ["Phone", "Website"])
    shown = await operations.delete(app, caller, "salesforce_delete_record", "acme", ACCOUNT, made, preview=True)
    await operations.delete(app, caller, "salesforce_delete_record", "acme", ACCOUNT, made)

    assert whole["Name"] == "Acme" and "CreatedDate" in whole
    assert None not in whole.values()
    assert asked.values == {"Id": made, "Phone": "1", "Website": None}
    assert ("Phone", "1", None) in [(each.field, each.before, each.after) for each in shown.changes]
    with pytest.raises(Rejected):
        await operations.read(app, caller, "salesforce_get_record", "acme", ACCOUNT, made)


async def test_a_wrong_id_is_named_as_the_argument_it_is(app: App, caller: Caller) -> None:
    with pytest.raises(Exception, match="record_id is not the id of a Account"):
        await operations.read(app, caller, "salesforce_get_record", "acme", ACCOUNT, "nonsense")


async def test_a_parents_fields_are_told_by_their_path_in_a_preview_of_a_delete(app: App, caller: Caller) -> None:
    account = await make(app, caller)
    contact = await make(app, caller, CONTACT, LastName="Byron", AccountId=account)

    shown = await operations.delete(app, caller, "salesforce_delete_contact", "acme", CONTACT, contact, preview=True)

    assert ("Account.Name", "Acme") in [(each.field, each.before) for each in shown.changes]


# -- what tells whether it happened, and who changed it


async def test_an_unanswered_change_comes_with_the_query_that_tells(app: App, caller: Caller, host) -> None:
    made = await make(app, caller)
    host.on("PATCH", made, httpx.ReadError("gone"))
    host.on("DELETE", made, httpx.ReadError("gone"))

    with pytest.raises(Unanswered) as changed:
        await operations.update(app, caller, "salesforce_update_record", "acme", ACCOUNT, made, {"Phone": "1"})
    with pytest.raises(Unanswered) as deleted:
        await operations.delete(app, caller, "salesforce_delete_record", "acme", ACCOUNT, made)

    assert not changed.value.retryable and not deleted.value.retryable
    for error in (changed.value, deleted.value):
        soql = (error.hint or "").partition(": ")[2]
        page = await operations.query(app, caller, "salesforce_query", "acme", soql)
        assert page.records[0]["LastModifiedDate"]
    assert "LastModifiedById, Phone FROM Account" in (changed.value.hint or "")


async def test_a_record_that_somebody_changed_says_who_and_when(app: App, caller: Caller, host, say, refuse) -> None:
    made = await make(app, caller)
    name = 'Ada "A"\n\u202eByron' + "x" * 100
    host.on("PATCH", made, refuse(412, "ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE"))
    row = {"LastModifiedDate": "2026-02-20T18:00:05.000+0000", "LastModifiedBy": {"Name": name}}
    host.on("GET", "/query", say(200, {"totalSize": 1, "done": True, "records": [row]}))

    with pytest.raises(Rejected) as refused:
        await update_since(app, caller, made)

    assert refused.value.category == "conflict"
    hint = refused.value.hint or ""
    assert hint.startswith('it was last changed at 2026-02-20T18:00:05.000+0000 by the user called "Ada \\"A\\" Byronx')
    assert len(hint) < 220 and "\n" not in hint and "\u202e" not in hint


@pytest.mark.parametrize("trouble", ["refused", "lost"])
async def test_not_knowing_who_changed_it_hides_nothing(app: App, caller: Caller, host, refuse, trouble: str) -> None:
    made = await make(app, caller)
    host.on("PATCH", made, refuse(412, "ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE"))
    answers = [refuse(400, "INVALID_FIELD")] if trouble == "refused" else [httpx.ReadError("gone")] * 5
    host.on("GET", "/query", *answers)

    with pytest.raises(Rejected) as refused:
        await update_since(app, caller, made)

    assert (refused.value.code, refused.value.category) == ("ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE", "conflict")
    assert "read it again" in (refused.value.hint or "")


async def update_since(app: App, caller: Caller, record_id: str) -> None:
    await operations.update(
        app,
        caller,
        "salesforce_update_record",
        "acme",
        ACCOUNT,
        record_id,
        {"Phone": "1"},
        if_unmodified_since="2026-02-20T18:00:00.000+0000",
    )
