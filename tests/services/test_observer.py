"""An observer sees every call once, with what its audit entry says and what its agent is told."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orgserver.app import App, open_app
from orgserver.config import read_settings
from orgserver.model.access.logins import UsedIdentity
from orgserver.model.audit import Action, Completion, EntryFilter, Intent
from orgserver.model.errors import CallError, InvalidArgument
from orgserver.model.names import CONTACT
from orgserver.model.orgs import Caller
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.observer import Observer, Watched
from tests import operations

TOOL = "salesforce_create_contact"


class Witness(Observer):
    def __init__(self) -> None:
        self.under_way = 0
        self.seen: list[tuple[Intent, Completion]] = []
        self.refreshes: list[str | None] = []

    @contextmanager
    def call(self, watched: Watched) -> Iterator[None]:
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1
            assert watched.completion is not None
            self.seen.append((watched.intent, watched.completion))

    def refreshed(self, error_code: str | None = None, identity: UsedIdentity = "shared") -> None:
        assert identity == "shared"
        self.refreshes.append(error_code)

    @property
    def last(self) -> tuple[str, str | None]:
        return self.seen[-1][1].outcome.value, self.seen[-1][1].error_code


@pytest.fixture
def witness() -> Witness:
    return Witness()


@pytest.fixture
async def watched(app: App, tmp_path: Path, witness: Witness) -> AsyncIterator[App]:
    """Another process on the store of ``app``, which is watched."""
    async with open_app(read_settings({"home": tmp_path / "home"}, {}), None, witness) as opened:
        yield opened


async def create(app: App, caller: Caller, org: str = "acme", **values: str) -> str:
    return (await operations.create(app, caller, TOOL, org, CONTACT, {"LastName": "Byron"} | values)).id


async def test_what_is_seen_is_what_the_audit_log_says(watched: App, caller: Caller, witness: Witness) -> None:
    await create(watched, caller)
    for org, values in (("acne", {}), ("acme", {"Nope__c": "1"})):
        with pytest.raises(CallError):
            await create(watched, caller, org, **values)
    await operations.refuse(watched, caller, TOOL, Action.CREATE, "acme", CONTACT, InvalidArgument("no"))

    recorded = [entry async for entry in watched.audit_log.entries(EntryFilter(tool=TOOL))]
    seen = [(act, ending) for act, ending in witness.seen if act.tool == TOOL]  # a refused name has it looked up anew
    assert [
        (act.id, act.org, act.object, ending.outcome, ending.error_code, ending.http_status, ending.api_calls)
        for act, ending in seen
    ] == [
        (entry.id, entry.org, entry.object, entry.outcome, entry.error_code, entry.http_status, entry.api_calls)
        for entry in recorded
    ]
    assert [ending.outcome.value for _, ending in seen] == ["succeeded", "denied", "rejected", "denied"]
    assert witness.under_way == 0


async def test_a_repeated_call_is_seen_as_one_more(watched: App, caller: Caller, witness: Witness) -> None:
    key, values = "k", {"LastName": "Byron"}
    for _ in range(2):
        await operations.create(watched, caller, TOOL, "acme", CONTACT, values, idempotency_key=key)
    with pytest.raises(CallError):
        await operations.create(watched, caller, TOOL, "acme", CONTACT, {"LastName": "B"}, idempotency_key=key)

    assert [(ending.outcome.value, ending.api_calls) for _, ending in witness.seen] == [
        ("succeeded", 1), ("succeeded", 0), ("denied", 0),
    ]  # fmt: skip
    assert witness.last == ("denied", "IDEMPOTENCY_CONFLICT")


async def test_a_caller_that_goes_away_does_not_take_the_outcome_with_it(
    watched: App, caller: Caller, acme: SandboxOrg, witness: Witness
) -> None:
    acme.fault("hang", path=".*/sobjects/Contact", seconds=30)
    task = asyncio.ensure_future(create(watched, caller))
    async with asyncio.timeout(10):
        while not acme.requests:
            await asyncio.sleep(0)
    assert witness.under_way == 1
    task.cancel()
    await watched.services.executor.close()

    assert witness.last == ("unknown", "CANCELLED")
    assert witness.under_way == 0


async def test_without_a_store_what_the_agent_is_told_is_seen(watched: App, caller: Caller, witness: Witness) -> None:
    watched.store.audit._free_floor = 1 << 60

    with pytest.raises(CallError):
        await create(watched, caller)

    assert witness.last == ("not_sent", "STORE_UNAVAILABLE")


async def test_naming_the_orgs_is_seen_and_has_no_entry(watched: App, caller: Caller, witness: Witness) -> None:
    await operations.orgs(watched, caller, "salesforce_list_orgs", None, None)
    with pytest.raises(CallError):
        await operations.orgs(watched, caller, "salesforce_list_orgs", None, "not a cursor")

    assert [(act.id, act.tool, ending.outcome.value) for act, ending in witness.seen] == [
        ("", "salesforce_list_orgs", "succeeded"),
        ("", "salesforce_list_orgs", "denied"),
    ]


async def test_a_defect_of_ours_is_seen_as_one(watched: App, caller: Caller, witness: Witness) -> None:
    with pytest.raises(AttributeError):
        await operations.list_(watched, caller, "salesforce_list_contacts", "acme", None)  # type: ignore[arg-type]
    assert witness.seen == []

    with pytest.raises(TypeError):
        await operations.read(watched, caller, "salesforce_get_contact", "acme", CONTACT, None)  # type: ignore[arg-type]
    assert witness.last == ("unknown", "INTERNAL")


async def test_refreshes_are_seen_and_why_they_failed(
    watched: App, caller: Caller, acme: SandboxOrg, witness: Witness
) -> None:
    await create(watched, caller)
    acme.expire_access_tokens()
    await create(watched, caller)
    acme.refresh_token = ""
    acme.expire_access_tokens()
    with pytest.raises(CallError):
        await create(watched, caller)

    assert witness.refreshes == [None, "needs_login"]
    assert witness.last == ("not_sent", "NEEDS_LOGIN")
