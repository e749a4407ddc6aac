"""A person allows what they asked for by their own sign-in, freshly signed in; an admin allows the rest."""

from dataclasses import replace

import pytest

from orgserver.app import App
from orgserver.model.audit import EntryFilter
from orgserver.model.errors import PolicyDenied
from orgserver.model.names import CONTACT
from orgserver.model.orgs import Caller
from orgserver.services.calls.approvals import Approving
from orgserver.services.people.approvers import ApprovalRefusal, Approvers
from tests import operations
from tests.people import add_principal, change_principal


@pytest.fixture
async def approvers(app: App, caller: Caller) -> Approvers:
    await app.registry.update(caller, "acme", policy={"confirm_deletes": True})
    return Approvers(app.store, app.access)


async def person(app: App, name: str, **more) -> Caller:
    caller = await add_principal(app, name, "acme:read,write,delete", **more)
    return replace(caller, transport="http", label="me")


async def wait_for_yes(app: App, caller: Caller, session_id: str | None, last_name: str = "Lovelace") -> str:
    """Have a call refused that a person must allow; the id of its record."""
    contact = await operations.create(
        app, caller, "salesforce_create_contact", "acme", CONTACT, {"LastName": last_name}
    )
    await delete(app, caller, contact.id, session_id)
    return contact.id


async def delete(app: App, caller: Caller, contact_id: str, session_id: str | None) -> None:
    asking = replace(caller, session_id=session_id)
    with pytest.raises(PolicyDenied) as refused:
        await operations.delete(app, asking, "salesforce_delete_contact", "acme", CONTACT, contact_id)
    assert refused.value.code == "CONFIRMATION_REQUIRED"


async def test_a_person_allows_what_they_asked_for_by_their_own_sign_in(app, approvers, clock) -> None:
    ada = await person(app, "ada")
    contact_id = await wait_for_yes(app, ada, "0192-session")
    (waiting,) = await approvers.waiting(ada)

    allowed = await approvers.approve(ada, waiting.handle, auth_time=clock() // 1_000_000)

    assert waiting.is_own
    assert waiting.may_allow
    assert not isinstance(allowed, ApprovalRefusal)
    (entry,) = [each for each in await app.audit_log.newest(EntryFilter(action="policy"), 10) if each.tool == "approve"]
    assert (entry.principal, entry.label, entry.transport, entry.org) == ("ada", "me", "http", "acme")
    assert entry.request_id == waiting.request.entry_id
    asking = replace(ada, session_id="0192-session")
    await operations.delete(app, asking, "salesforce_delete_contact", "acme", CONTACT, contact_id)


@pytest.mark.parametrize("seconds", [None, 301, 86_400, -61])
async def test_nothing_is_allowed_without_a_fresh_sign_in(app, approvers, clock, seconds) -> None:
    ada = await person(app, "ada")
    await wait_for_yes(app, ada, "0192-session")
    (waiting,) = await approvers.waiting(ada)
    auth_time = None if seconds is None else clock() // 1_000_000 - seconds

    assert await approvers.approve(ada, waiting.handle, auth_time) is ApprovalRefusal.NOT_FRESH
    assert (await approvers.waiting(ada))[0].request.approved_at is None


@pytest.mark.parametrize("is_admin", [False, True])
async def test_nobody_allows_a_call_that_was_made_with_their_own_key(app, approvers, clock, is_admin) -> None:
    ada = await person(app, "ada", roles=("admin",) if is_admin else ())
    await wait_for_yes(app, ada, None)
    (waiting,) = await approvers.waiting(ada)

    refusal = await approvers.approve(ada, waiting.handle, clock() // 1_000_000)

    assert not waiting.may_allow
    assert refusal is ApprovalRefusal.NOT_YOURS


@pytest.mark.parametrize("session_id", [None, "0192-session"])
async def test_an_admin_allows_for_others_whichever_way_they_asked(app, approvers, clock, session_id) -> None:
    ada, grace = await person(app, "ada"), await person(app, "grace", roles=("admin",))
    await wait_for_yes(app, ada, session_id)
    (waiting,) = await approvers.waiting(grace)

    allowed = await approvers.approve(grace, waiting.handle, clock() // 1_000_000)

    assert not waiting.is_own
    assert not isinstance(allowed, ApprovalRefusal)
    assert (await approvers.waiting(ada))[0].request.approved_by == "grace"


async def test_nobody_else_sees_what_waits_for_a_person(app, approvers, clock) -> None:
    ada, grace = await person(app, "ada"), await person(app, "grace")
    await wait_for_yes(app, ada, "0192-session")
    (waiting,) = await approvers.waiting(ada)

    assert await approvers.waiting(grace) == []
    assert await approvers.approve(grace, waiting.handle, clock() // 1_000_000) is ApprovalRefusal.GONE


async def test_a_role_that_was_taken_back_counts_no_more(app, approvers, clock) -> None:
    ada, grace = await person(app, "ada"), await person(app, "grace", roles=("admin",))
    await wait_for_yes(app, ada, "0192-session")
    (waiting,) = await approvers.waiting(grace)
    await change_principal(app, "grace", no_roles=("admin",))

    assert await approvers.approve(grace, waiting.handle, clock() // 1_000_000) is ApprovalRefusal.GONE


async def test_what_was_allowed_already_is_not_allowed_again(app, approvers, clock) -> None:
    ada = await person(app, "ada")
    await wait_for_yes(app, ada, "0192-session")
    (waiting,) = await approvers.waiting(ada)
    await approvers.approve(ada, waiting.handle, clock() // 1_000_000)

    assert await approvers.approve(ada, waiting.handle, clock() // 1_000_000) is ApprovalRefusal.GONE
    assert (
        len([each for each in await app.audit_log.newest(EntryFilter(action="policy"), 10) if each.tool == "approve"])
        == 1
    )


async def test_a_handle_is_not_the_code_and_an_unknown_one_is_nothing(app, approvers, clock) -> None:
    ada = await person(app, "ada")
    await wait_for_yes(app, ada, "0192-session")
    (waiting,) = await approvers.waiting(ada)

    assert len(waiting.handle) == 32
    assert waiting.request.code not in waiting.handle.upper()
    for handle in (waiting.request.code, waiting.handle[:-1], "", "ü"):
        assert await approvers.approve(ada, handle, clock() // 1_000_000) is ApprovalRefusal.GONE


async def test_a_call_that_waits_since_a_key_made_it_becomes_the_persons_when_they_ask_too(app, approvers) -> None:
    ada = await person(app, "ada")
    contact_id = await wait_for_yes(app, ada, None)
    await delete(app, ada, contact_id, "0192-session")

    (waiting,) = await approvers.waiting(ada)

    assert waiting.may_allow
    (request,) = await Approving(app.store, app.access).waiting()
    assert request.session_id == "0192-session"
