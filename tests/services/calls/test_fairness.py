"""Principals that share an org take turns at its slots, and a flood of one leaves a place for each other."""

import asyncio
from dataclasses import replace

from orgserver.model.access.principals import Principal
from orgserver.model.names import CONTACT
from orgserver.model.orgs import Caller
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state import schema
from orgserver.services.people.requests import GrantChanges, PrincipalChanges, read_grants
from tests import operations
from tests.conftest import OpenApp

READ = "salesforce_get_contact"
FLOOD = 12


async def test_a_principals_single_call_is_sent_next_however_many_calls_of_another_wait(
    open_again: OpenApp, caller: Caller, acme: SandboxOrg, app: object
) -> None:
    del app  # it has registered the orgs
    ids = [acme.records.add(schema.load("Contact"), {"LastName": f"Number {number}"}) for number in range(FLOOD + 1)]
    async with open_again(org_concurrency=1, org_queue=FLOOD - 1) as shared:
        callers = []
        for name in ("flood", "single"):
            changes = PrincipalChanges(grants=GrantChanges(read_grants(["*:read"])))
            await shared.people.principals.add(caller, name, changes)
            callers.append(replace(caller, principal=Principal(name)))
        flood, single = callers
        acme.requests.clear()
        acme.fault("delay", path=".*/sobjects/Contact/.*", seconds=0.5, times=2, work=True)

        def read(who: Caller, record_id: str) -> asyncio.Task[object]:
            return asyncio.create_task(operations.read(shared, who, READ, "acme", CONTACT, record_id, ["LastName"]))

        tasks = [read(flood, each) for each in ids[:FLOOD]]
        while shared.access.client.count_calls() != (1, FLOOD - 1):  # one is with the org, the rest fill its queue
            await asyncio.sleep(0.005)
        tasks.append(read(single, ids[FLOOD]))
        await asyncio.gather(*tasks)

    paths = [request.path for request in acme.requests if "/sobjects/Contact/" in request.path]
    assert paths[1].endswith(ids[FLOOD])
    assert len(paths) == FLOOD + 1
