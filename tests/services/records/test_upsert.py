"""An upsert is the create that may be repeated: by an external id, which reaches Salesforce as it was given."""

from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orgserver.app import App
from orgserver.model.audit import AuditEntry, EntryFilter
from orgserver.model.errors import CallError, Conflict, InvalidArgument, Rejected, Unanswered
from orgserver.model.names import SObjectName
from orgserver.model.orgs import Caller
from orgserver.model.results import Upserted
from orgserver.salesforce.outgoing import request_target
from orgserver.salesforce.protocol import rest
from orgserver.services.records.upsert import Upsert
from orgserver.services.undo.eligibility import CannotUndo
from orgserver.services.undo.restorer import Restorer
from tests import operations

ACCOUNT = SObjectName("Account")
TOOL = "salesforce_upsert_record"
ID = "001Ws000003xYzAIAU"
MADE = {"id": ID, "success": True, "errors": [], "created": True}


async def upsert(app: App, caller: Caller, external_id: str = "E 1/2", **more: Any) -> Upserted:
    wanted = Upsert(ACCOUNT, **({"field": "Erp__c", "external_id": external_id, "data": {"Name": "Acme"}} | more))
    return await operations.upsert(app, caller, TOOL, "acme", wanted)


async def last(app: App) -> AuditEntry:
    return (await app.audit_log.newest(EntryFilter(tool=TOOL), 1))[0]


async def test_an_upsert_says_whether_it_created_and_is_on_record(app: App, caller: Caller, host, say) -> None:
    host.on("PATCH", "/sobjects/Account/Erp__c/", say(201, MADE), say(200, MADE | {"created": False}))

    made = await upsert(app, caller)
    again = await upsert(app, caller, data={"Name": "Acme", "erp__C": "E 1/2"})

    assert (made.id, made.created, again.created) == (ID, True, False)
    assert made.url.endswith(ID)
    changes = [request.url.raw_path.decode() for request in host.asked if request.method == "PATCH"]
    assert all(each.endswith("/sobjects/Account/Erp__c/E%201%2F2") for each in changes)
    assert host.bodies("PATCH") == [{"Name": "Acme"}, {"Name": "Acme"}]
    entry = await last(app)
    assert (entry.action, entry.object, entry.record_ids, entry.outcome.value) == (
        "upsert",
        "Account",
        (ID,),
        "succeeded",
    )
    assert entry.fields == ("Erp__c", "Name")
    assert "E 1/2" not in str(entry.as_json())


async def test_an_unanswered_upsert_says_that_it_may_be_repeated(app: App, caller: Caller, host) -> None:
    host.on("PATCH", "Erp__c", httpx.ReadError("gone"), httpx.ReadError("gone"))

    with pytest.raises(Unanswered) as plain:
        await upsert(app, caller)
    with pytest.raises(Unanswered) as keyed:
        await upsert(app, caller, idempotency_key="k")

    assert plain.value.retryable and "may be repeated safely" in (plain.value.hint or "")
    assert "to see whether it happened: SELECT Id, CreatedDate, LastModifiedDate" in (plain.value.hint or "")
    assert "another idempotency_key" in (keyed.value.hint or "")
    assert len(host.bodies("PATCH")) == 2


async def test_a_repeated_upsert_with_its_key_answers_the_same_and_sends_nothing(
    app: App, caller: Caller, host, say
) -> None:
    host.on("PATCH", "Erp__c", say(201, MADE))

    first = await upsert(app, caller, idempotency_key="k")
    assert await upsert(app, caller, idempotency_key="k") == first
    assert first.created is True
    with pytest.raises(Conflict):
        await upsert(app, caller, idempotency_key="k", external_id="E 2")

    assert len(host.bodies("PATCH")) == 1


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"field": "Id"}, "external_id_field"),
        ({"field": "a-b"}, "external_id_field"),
        ({"external_id": ""}, "external_id"),
        ({"external_id": ".."}, "external_id"),
        ({"external_id": "\ud800"}, "external_id"),
        ({"external_id": "x" * 256}, "external_id"),
        ({"data": {}}, "data"),
        ({"data": {"Erp__c": "another"}}, "data.Erp__c"),
        ({"idempotency_key": ""}, "idempotency_key"),
    ],
)
async def test_an_upsert_that_means_nothing_names_its_argument(app: App, caller: Caller, host, more, field) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await upsert(app, caller, **more)

    assert refused.value.fields == (field,)
    assert host.asked == []


async def test_more_than_one_record_with_the_key_is_a_conflict(app: App, caller: Caller, host, say) -> None:
    host.on("PATCH", "Erp__c", say(300, ["/services/data/v66.0/sobjects/Account/1", "/…/2"]))

    with pytest.raises(Rejected) as refused:
        await upsert(app, caller)

    assert (refused.value.code, refused.value.category) == ("MULTIPLE_CHOICES", "conflict")


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60).filter(lambda t: t not in {".", ".."})
)
def test_an_external_id_is_one_step_of_the_path_and_comes_out_as_it_went_in(text: str) -> None:
    request = rest.upsert("v66.0", ACCOUNT, ("Erp__c", text), {})

    path = httpx.URL(f"https://acme.example{request_target(request)}").raw_path.decode("ascii")
    steps = path.split("/")
    assert steps[:-1] == ["", "services", "data", "v66.0", "sobjects", "Account", "Erp__c"]
    assert unquote(steps[-1]) == text


# -- in an org that keeps what changes replace


@pytest.fixture
async def keeping(app: App, caller: Caller) -> Restorer:
    await app.registry.update(caller, "acme", policy={"keep_values": True})
    return app.restorer()


async def test_an_upsert_that_changed_a_record_is_undone_by_its_old_values(
    app: App, caller: Caller, host, say, keeping
) -> None:
    host.on("GET", r"/Erp__c/E%201%2F2\?fields=Id%2CName$", say(200, {"Id": ID, "Name": "Old"}))
    host.on("PATCH", "Erp__c", say(200, MADE | {"created": False}))
    host.on("GET", f"/Account/{ID}", say(200, {"Id": ID, "Name": "Acme"}))
    await upsert(app, caller)

    undo = await keeping.preview_entry(caller, (await last(app)).id)

    assert undo.how == "update"
    assert [(change.field, change.before, change.after) for change in undo.changes] == [("Name", "Acme", "Old")]


async def test_an_upsert_that_made_a_record_is_undone_by_deleting_it(
    app: App, caller: Caller, host, say, refuse, keeping
) -> None:
    host.on("GET", "/Erp__c/", refuse(404, "NOT_FOUND"))
    host.on("PATCH", "Erp__c", say(201, MADE))
    host.on("GET", f"/Account/{ID}", say(200, {"Id": ID, "Name": "Acme"}))
    await upsert(app, caller)

    assert (await keeping.preview_entry(caller, (await last(app)).id)).how == "delete"


async def test_an_upsert_that_met_a_record_made_meanwhile_is_not_undone(
    app: App, caller: Caller, host, say, refuse, keeping
) -> None:
    host.on("GET", "/Erp__c/", refuse(404, "NOT_FOUND"))
    host.on("PATCH", "Erp__c", say(200, MADE | {"created": False}))
    await upsert(app, caller)

    with pytest.raises(CannotUndo, match="made a moment before"):
        await keeping.preview_entry(caller, (await last(app)).id)


async def test_nothing_is_sent_when_the_old_values_cannot_be_read(
    app: App, caller: Caller, host, refuse, keeping
) -> None:
    host.on("GET", "/Erp__c/", refuse(400, "INVALID_FIELD"))

    with pytest.raises(CallError, match="No"):
        await upsert(app, caller)

    assert host.bodies("PATCH") == []
