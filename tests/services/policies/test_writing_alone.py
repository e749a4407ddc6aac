"""An object whose records may be written and not read: its fields are known, and nothing of its records is."""

from typing import Any

import pytest

from orgserver.app import App
from orgserver.model.access.policies import read_object_rule
from orgserver.model.errors import CallError
from orgserver.model.names import CONTACT, SObjectName
from orgserver.model.orgs import Caller
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state import schema
from orgserver.services.bulk.request import BulkArguments
from orgserver.services.records.upsert import Upsert
from tests import operations

POLICIES = [
    {"allow_objects": (read_object_rule("contact:create,update"), read_object_rule("Account"))},
    {"deny_objects": (read_object_rule("Contact:read,delete"),)},
]


@pytest.fixture(params=POLICIES, ids=["allowed", "denied"])
async def writing(request: pytest.FixtureRequest, app: App, caller: Caller) -> App:
    await app.registry.update(caller, "acme", policy=request.param | {"hide_fields": ("Contact.Email",)})
    return app


@pytest.fixture
def contact(acme: SandboxOrg) -> str:
    return acme.records.add(schema.load("Contact"), {"LastName": "Lovelace", "Email": "ada@example.com"})


async def code(act: Any) -> str:
    with pytest.raises(CallError) as refused:
        await act
    assert "Lovelace" not in str(refused.value)
    return refused.value.code


async def test_records_are_written_with_every_field_that_is_not_hidden(
    writing: App, caller: Caller, acme: SandboxOrg, contact: str
) -> None:
    values = {"LastName": "Hopper", "Title": "Admiral", "Department": "Navy"}
    made = await operations.create(writing, caller, "t", "acme", CONTACT, values)
    await operations.update(writing, caller, "t", "acme", CONTACT, contact, {"Title": "Countess"})
    many = BulkArguments(SObjectName("Contact"), "update", records=[{"Id": contact, "Department": "Engines"}])
    done = await operations.change(writing, caller, "t", "acme", many)

    table = acme.records.tables["Contact"]
    assert {name: table[made.id].get(name) for name in values} == values
    assert (table[contact].get("Title"), table[contact].get("Department")) == ("Countess", "Engines")
    assert done.counts.succeeded == 1


async def test_nothing_of_them_is_read_and_what_is_hidden_stays_hidden(
    writing: App, caller: Caller, contact: str
) -> None:
    query = operations.query(writing, caller, "t", "acme", "SELECT LastName FROM Contact")
    update = operations.update(writing, caller, "t", "acme", CONTACT, contact, {"Email": "x@example.com"})
    upsert = Upsert(CONTACT, "Email", "ada@example.com", {"LastName": "x"})
    preview = operations.update(writing, caller, "t", "acme", CONTACT, contact, {"Title": "x"}, preview=True)

    assert await code(operations.read(writing, caller, "t", "acme", CONTACT, contact)) == "OBJECT_NOT_ALLOWED"
    assert await code(query) == "OBJECT_NOT_ALLOWED"
    assert await code(preview) == "OBJECT_NOT_ALLOWED"
    assert await code(update) == "FIELD_NOT_ALLOWED"
    assert await code(operations.upsert(writing, caller, "t", "acme", upsert)) in (
        "FIELD_NOT_ALLOWED",
        "OBJECT_NOT_ALLOWED",
    )
    assert await code(operations.delete(writing, caller, "t", "acme", CONTACT, contact)) == "OBJECT_NOT_ALLOWED"
