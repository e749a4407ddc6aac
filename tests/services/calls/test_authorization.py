"""Calls of principals: what is asked first, what their own limits do, and that nothing outlives a grant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orgserver.app import App
from orgserver.model.access.policies import Policy
from orgserver.model.audit import Action, Completion, Outcome
from orgserver.model.errors import CallError, Forbidden, PolicyDenied, UnknownOrg
from orgserver.model.names import CONTACT
from orgserver.model.orgs import Caller
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.calls.plan import Call, Operation, Plan
from tests import operations
from tests.conftest import Clock
from tests.people import OPERATOR, add_principal, change_principal

TOOL = "a test"
VALUES = {"LastName": "Lovelace", "Title": "Countess"}


async def create(app: App, caller: Caller, **options: Any) -> str:
    return (await operations.create(app, caller, TOOL, "acme", CONTACT, VALUES, **options)).id


async def delete(app: App, caller: Caller, record_id: str) -> None:
    operation = app.services.writing.delete(record_id)
    await app.services.executor.run(Call(caller, TOOL, "acme", CONTACT), operation)


async def limit(app: App, **policy: Any) -> None:
    await app.registry.update(OPERATOR, "acme", policy=policy)


def asked(org: SandboxOrg) -> list[str]:
    return [request.path for request in org.requests]


async def test_whoever_lacks_the_permission_has_nothing_looked_up(app: App, acme: SandboxOrg) -> None:
    ada = await add_principal(app, "ada", "acme:read")
    await limit(app, hide_fields=("Contact.Email",))

    with pytest.raises(Forbidden) as refused:
        await create(app, ada)

    assert refused.value.rule == "permission:write"
    assert asked(acme) == []


async def test_whoever_may_only_write_has_the_describes_that_limits_need(app: App, acme: SandboxOrg) -> None:
    ada = await add_principal(app, "ada", "acme:write")
    await limit(app, hide_fields=("Contact.Email",))

    made = await create(app, ada)

    assert acme.records.tables["Contact"][made]["Title"] == "Countess"
    assert any("/describe" in path for path in asked(acme))
    with pytest.raises(Forbidden):
        await operations.read(app, ada, TOOL, "acme", CONTACT, made)
    assert await app.services.names.fields(ada, "acme", "Contact") == ()


async def test_what_does_not_say_what_it_touches_is_refused_where_data_is_limited(app: App, caller: Caller) -> None:
    async def send(_session: Any) -> str:
        return "sent"

    def plan(_call: Call, _org: Any) -> Plan[str]:
        return Plan("read", send, lambda _sent: Completion(Outcome.SUCCEEDED))

    call, operation = Call(caller, TOOL, "acme"), Operation(Action.READ, plan)
    assert await app.services.executor.run(call, operation) == "sent"
    await limit(app, mask_fields=("Contact.Email",))
    with pytest.raises(PolicyDenied) as refused:
        await app.services.executor.run(call, operation)
    assert (refused.value.code, refused.value.rule) == ("QUERY_NOT_UNDERSTOOD", "policy:not-understood")


async def test_own_limits_bind_their_principal_alone(app: App, caller: Caller) -> None:
    made = await create(app, caller)
    own = Policy(confirm_deletes=True, hide_fields=("Contact.Title",))
    ada = await add_principal(app, "ada", "acme:read,write,delete", limits=own)

    with pytest.raises(PolicyDenied) as hidden:
        await operations.read(app, ada, TOOL, "acme", CONTACT, made, ["Title"])
    with pytest.raises(PolicyDenied) as unconfirmed:
        await delete(app, ada, made)

    assert hidden.value.rule == "principal:hide-field Contact.Title"
    assert unconfirmed.value.code == "CONFIRMATION_REQUIRED"
    assert (await operations.read(app, caller, TOOL, "acme", CONTACT, made, ["Title"])).values["Title"] == "Countess"
    await delete(app, caller, made)


async def test_a_grant_ends_by_the_clock_in_the_midst_of_a_server(app: App, clock: Clock) -> None:
    ada = await add_principal(app, "ada", "acme:write", until=datetime.now(UTC) + timedelta(hours=1))
    await create(app, ada)
    clock.advance(3_601)
    with pytest.raises(UnknownOrg):
        await create(app, ada)
    assert await app.access.visible(ada) == []


async def test_an_answer_is_not_repeated_to_whoever_lost_the_grant_nor_to_another(app: App, acme: SandboxOrg) -> None:
    ada = await add_principal(app, "ada", "acme:read,write")
    bob = await add_principal(app, "bob", "acme:write")
    made = await create(app, ada, idempotency_key="k")
    assert await create(app, ada, idempotency_key="k") == made
    assert await create(app, bob, idempotency_key="k") != made

    await change_principal(app, "ada", "acme:read")
    with pytest.raises(Forbidden):
        await create(app, ada, idempotency_key="k")
    await change_principal(app, "ada", enabled=False)
    with pytest.raises(UnknownOrg):
        await create(app, ada, idempotency_key="k")


async def test_a_person_s_yes_is_worth_nothing_without_the_grant_and_to_nobody_else(app: App, caller: Caller) -> None:
    made = await create(app, caller)
    await limit(app, confirm_deletes=True)
    ada = await add_principal(app, "ada", "acme:delete")
    bob = await add_principal(app, "bob", "acme:delete")
    assert (await refusal(app, ada, made)).code == "CONFIRMATION_REQUIRED"
    (request,) = await app.approvals().waiting()
    assert request.principal == "ada"
    await app.approvals().approve(OPERATOR, request)

    assert (await refusal(app, bob, made)).code == "CONFIRMATION_REQUIRED"
    await change_principal(app, "ada", "acme:read")
    assert (await refusal(app, ada, made)).code == "FORBIDDEN"
    await change_principal(app, "ada", "acme:delete")
    await delete(app, ada, made)


async def refusal(app: App, caller: Caller, record_id: str) -> CallError:
    with pytest.raises(CallError) as refused:
        await delete(app, caller, record_id)
    return refused.value
