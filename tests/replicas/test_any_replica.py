"""Behind a proxy that sends each request to the next of four replicas, nothing depends on which one is asked."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
import pytest_asyncio

from orgserver.model.access.principals import Subject
from orgserver.model.audit import EntryFilter, Outcome
from orgserver.services.calls.approvals import Approving
from orgserver.services.people.requests import KeyChanges, PrincipalChanges
from tests.people import OPERATOR
from tests.provider.running import running_provider
from tests.replicas.world import REPLICAS, Replicas, code_of, content_of, replicas, result_of
from tests.serving.over_http.served import Served
from tests.serving.over_http.signin.walk import Walk, browsing, register
from tests.store_server import StoreServer

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

CREATE, DELETE, BULK = "salesforce_create_contact", "salesforce_delete_contact", "salesforce_change_records"
OLD = "2025-11-25"
YES = {"confirm": {"action": "accept", "content": {}}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(store_server: StoreServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Replicas]:
    database = store_server.database(store_server.template)
    with running_provider() as provider:
        async with replicas(
            tmp_path_factory.mktemp("replicas"), store_server.url(database), provider=provider, ORGSERVER_TOOLSETS="all"
        ) as running:
            running.provider = provider
            yield running
    store_server.drop(database)


async def make_contacts(world: Replicas, key: str, *names: str) -> list[str]:
    made = await asyncio.gather(*(world.call(key, CREATE, org="acme", data={"LastName": name}) for name in names))
    return [each["id"] for each in made]


async def test_a_cursor_goes_on_at_every_replica(world: Replicas) -> None:
    key = await world.add_person("reader", "acme:read,write")
    made = await make_contacts(world, key, *(f"Page{number}" for number in range(6)))
    found, cursor = [], {}
    before = world.proxy.forwarded.copy()
    soql = "SELECT Id FROM Contact WHERE LastName LIKE 'Page%' ORDER BY LastName LIMIT 6"
    for _ in range(6):
        page = await world.call(key, "salesforce_query", org="acme", soql=soql, limit=1, **cursor)
        found += [record["Id"] for record in page["records"]]
        cursor = {"cursor": page.get("next_cursor")}

    assert found == made
    assert cursor == {"cursor": None}
    assert min((world.proxy.forwarded - before).values()) >= 1
    assert len(world.proxy.forwarded - before) == REPLICAS


async def test_an_idempotency_key_is_known_to_all_while_its_call_is_under_way_and_after(world: Replicas) -> None:
    key = await world.add_person("repeater", "acme:read,write")
    call: dict[str, Any] = {"org": "acme", "data": {"LastName": "Once"}, "idempotency_key": "once"}
    world.acme.fault("delay", path=".*/sobjects/Contact", seconds=4.0)
    first = asyncio.create_task(world.post(key, CREATE, **call))
    clashes = []
    while not clashes or clashes[-1] == "begun":  # until the first has come as far as the store
        clashes.append(await _clash(world, key, call, first))
    made = content_of(await first)
    again = [await world.call(key, CREATE, **call) for _ in range(REPLICAS)]

    assert clashes[-1] == "IDEMPOTENCY_CONFLICT"
    assert {each["id"] for each in again} == {made["id"]}
    assert [record["LastName"] for record in world.acme.records.tables["Contact"].values()].count("Once") == 1


async def _clash(world: Replicas, key: str, call: dict[str, Any], first: asyncio.Task[Any]) -> str:
    """What another replica says of the same key with other arguments, as soon as the first call is on record."""
    assert not first.done()
    entries = await world.app.audit_log.newest(EntryFilter(principal="repeater", outcome=Outcome.PENDING), 1)
    if not entries:
        return "begun"
    return code_of(await world.post(key, CREATE, **call))


async def test_a_yes_is_taken_once_by_another_replica_than_asked_for_it(world: Replicas) -> None:
    key = await world.add_person("deleter", "globex:read,write,delete")
    await world.app.registry.update(OPERATOR, "globex", policy={"confirm_deletes": True})
    contact, other = [
        (await world.call(key, CREATE, org="globex", data={"LastName": name}))["id"] for name in ("One", "Two")
    ]
    asked = result_of(await world.post(key, DELETE, org="globex", contact_id=contact, at=world.urls[0]))
    answer = {"requestState": asked["requestState"], "inputResponses": YES}
    both = await asyncio.gather(
        *(world.post(key, DELETE, org="globex", contact_id=contact, at=url, more=answer) for url in world.urls[1:3])
    )
    refused = code_of(await world.post(key, DELETE, org="globex", contact_id=other, version=OLD))
    approving = Approving(world.app.store, world.app.access)
    (request,) = await approving.waiting()
    await approving.approve(OPERATOR, request)
    done = await world.call(key, DELETE, org="globex", contact_id=other, version=OLD)

    answered = [result_of(each) for each in both]
    assert sorted(bool(each.get("isError")) for each in answered) == [False, True]
    assert [code_of(each) for each in both if result_of(each).get("isError")] == ["CONFIRMATION_USED"]
    assert refused == "CONFIRMATION_REQUIRED"
    assert done["deleted"] is True


async def test_results_of_a_bulk_change_are_read_from_every_replica(world: Replicas) -> None:
    key = await world.add_person("bulk", "acme:read,write")
    change = {"org": "acme", "object": "Contact", "action": "create"}
    records = [{"LastName": f"Bulk{number}"} for number in range(2_500)]
    asked = result_of(await world.post(key, BULK, **change, records=records))
    assert "requestState" in asked, asked
    more = {"requestState": asked["requestState"], "inputResponses": YES}
    page = content_of(await world.post(key, BULK, **change, records=records, more=more))
    rows, total, pages = list(page["results"]), page["succeeded"], 1
    while "next_cursor" in page:
        page = await world.call(key, BULK, **change, cursor=page["next_cursor"])
        rows += page["results"]
        pages += 1

    assert (total, len(rows)) == (2_500, 2_500)
    assert pages > 2
    assert len({row["id"] for row in rows}) == 2_500


async def test_an_access_token_that_expires_is_had_anew_once_for_all(world: Replicas) -> None:
    key = await world.add_person("caller", "acme:read")
    call: dict[str, Any] = {"org": "acme", "limit": 1}
    await asyncio.gather(*(world.call(key, "salesforce_list_contacts", at=url, **call) for url in world.urls))
    before = world.acme.counters.refreshes
    world.acme.expire_access_tokens()
    await asyncio.gather(*(world.call(key, "salesforce_list_contacts", **call) for _ in range(8 * REPLICAS)))

    assert world.acme.counters.refreshes - before == 1
    assert world.acme.counters.reuses == 0


async def test_what_is_taken_from_somebody_is_gone_at_the_next_request_everywhere(world: Replicas) -> None:
    people = world.app.people.principals
    keys = [await world.add_person(name, "acme:read") for name in ("revoked", "disabled", "ungranted")]

    async def ask_all(key: str) -> list[httpx2.Response]:
        call: dict[str, Any] = {"org": "acme", "limit": 1}
        return [await world.post(key, "salesforce_list_contacts", at=url, **call) for url in world.urls]

    before = [await ask_all(key) for key in keys]
    (record,) = [each for each in await people.all() if each.name == "revoked"]
    await people.update(OPERATOR, "revoked", PrincipalChanges(keys=KeyChanges(revoked=(record.keys[0].id,))))
    await people.update(OPERATOR, "disabled", PrincipalChanges(enabled=False))
    ungranted = await people.update(OPERATOR, "ungranted", _without_grant())
    after = [await ask_all(key) for key in keys]

    assert ungranted is not None
    assert [[each.status_code for each in every] for every in before] == [[200] * REPLICAS] * 3
    assert not any(result_of(each).get("isError") for every in before for each in every)
    assert [each.status_code for each in after[0]] == [401] * REPLICAS
    assert {each.status_code for each in after[1]} <= {401, 403}
    assert [code_of(each) for each in after[2]] == ["UNKNOWN_ORG"] * REPLICAS


def _without_grant() -> PrincipalChanges:
    from orgserver.services.people.requests import GrantChanges, read_grants

    (request,) = read_grants(["acme:read"])
    return PrincipalChanges(grants=GrantChanges(revoked=(request.selector,)))


async def test_each_step_of_a_sign_in_may_come_to_another_replica(world: Replicas) -> None:
    provider = world.provider
    await world.add_person("ada", "acme:read,write", subjects=(Subject(provider.issuer, "sub-ada"),))
    served = Served(world.app, world.proxy.url, None, None)  # type: ignore[arg-type]  # nobody ends it
    seen = []

    async def turn(response: httpx2.Response) -> None:
        seen.append(urlsplit(str(response.url)).path)

    async with browsing(world.proxy.url) as browser:
        browser.event_hooks["response"].append(turn)
        walk = Walk(served, provider, browser, await register(served))
        before = world.proxy.forwarded.copy()
        tokens = await walk.get_tokens("orgs:read", "orgs:write")
        asked = world.proxy.forwarded - before
        called = [await walk.call(tokens["access_token"]) for _ in range(REPLICAS)]
        renewed = await walk.refresh(tokens["refresh_token"])
        fresh = renewed.json()
        new = [await walk.call(fresh["access_token"]) for _ in range(REPLICAS)]
        again = await walk.refresh(fresh["refresh_token"])
        revoked = await _revoke(world, walk, again.json()["refresh_token"])
        ended = [await walk.call(again.json()["access_token"]) for _ in range(REPLICAS)]

    assert len(asked) == REPLICAS
    assert {"/authorize", "/signin/callback"} <= set(seen)
    assert [each.status_code for each in (*called, renewed, *new, again, revoked)] == [200] * (2 * REPLICAS + 3)
    assert [each.status_code for each in ended] == [401] * REPLICAS


async def _revoke(world: Replicas, walk: Walk, token: str) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=world.proxy.url, trust_env=False) as client:
        return await client.post("/revoke", data={"client_id": walk.client_id, "token": token})
