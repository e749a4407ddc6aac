"""Names for completion: what describes told, and nothing of an org that is not the caller's."""

from orgserver.app import App
from orgserver.model.access.policies import read_object_rule
from orgserver.model.names import CONTACT
from orgserver.model.orgs import Caller
from tests import operations


async def test_names_are_known_once_they_were_looked_up(app: App, caller: Caller) -> None:
    known = app.services.names
    before = (await known.objects(caller, "acme"), await known.fields(caller, "acme", "Contact"))

    await operations.describe(app, caller, "t", "acme", CONTACT)
    await operations.objects(app, caller, "t", "acme", None, None)

    assert before == ((), ())
    assert "LastName" in await known.fields(caller, "acme", "contact")
    assert "Account" in await known.objects(caller, "acme")


async def test_another_org_is_not_known(app: App, caller: Caller) -> None:
    assert (
        await app.services.names.objects(caller, "acne"),
        await app.services.names.fields(caller, "acne", "X"),
    ) == ((), ())


async def test_hidden_fields_and_denied_objects_are_not_known(app: App, caller: Caller) -> None:
    known = app.services.names
    await operations.describe(app, caller, "t", "acme", CONTACT)
    await operations.objects(app, caller, "t", "acme", None, None)

    await app.registry.update(
        caller,
        "acme",
        policy={"hide_fields": ("Contact.FirstName",), "deny_objects": (read_object_rule("Account"),)},
    )
    fields, objects = await known.fields(caller, "acme", "Contact"), await known.objects(caller, "acme")

    assert {"LastName", "Email", "AccountId"} <= set(fields)
    assert not {"FirstName", "Name"} & set(fields)
    assert "Contact" in objects
    assert "Account" not in objects
    assert await known.fields(caller, "acme", "Account") == ()
