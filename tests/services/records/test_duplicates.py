"""What a duplicate rule refuses names the records and the argument that saves them all the same, on every way."""

from collections.abc import Awaitable, Callable

import pytest

from orgserver.app import App
from orgserver.model.bulk import BulkResult
from orgserver.model.errors import CallError, InvalidArgument, Rejected
from orgserver.model.names import CONTACT
from orgserver.model.orgs import Caller
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state import schema
from orgserver.sandbox.state.duplicate_rules import Rule
from orgserver.services.bulk.request import BulkArguments
from orgserver.services.records import field_values
from orgserver.services.records.upsert import Upsert
from tests import operations

ADA = {"FirstName": "Ada", "LastName": "Lovelace"}


class Twins:
    """Makes a second Lovelace in each way of writing."""

    def __init__(self, app: App, caller: Caller, org: SandboxOrg) -> None:
        self.app, self.caller = app, caller
        self.first = next(
            each["Id"] for each in org.records.tables["Contact"].values() if each["LastName"] == "Lovelace"
        )
        self.other = org.records.add(schema.load("Contact"), {"LastName": "Byron", "Email": "b@example.com"})

    async def create(self, allow: bool) -> None:
        await operations.create(self.app, self.caller, "t", "acme", CONTACT, dict(ADA), allow_duplicates=allow)

    async def update(self, allow: bool) -> None:
        await operations.update(
            self.app, self.caller, "t", "acme", CONTACT, self.other, dict(ADA), allow_duplicates=allow
        )

    async def upsert(self, allow: bool) -> None:
        wanted = Upsert(CONTACT, "Email", "new@example.com", dict(ADA), allow_duplicates=allow)
        await operations.upsert(self.app, self.caller, "t", "acme", wanted)

    async def change_created(self, allow: bool) -> None:
        await self._change(BulkArguments(CONTACT, "create", [dict(ADA)], allow_duplicates=allow))

    async def change_updated(self, allow: bool) -> None:
        await self._change(BulkArguments(CONTACT, "update", [{"Id": self.other} | ADA], allow_duplicates=allow))

    async def change_found(self, allow: bool) -> None:
        soql = f"SELECT Id FROM Contact WHERE Id = '{self.other}'"
        await self._change(BulkArguments(CONTACT, "update", soql=soql, data=dict(ADA), allow_duplicates=allow))

    async def change_upserted(self, allow: bool) -> None:
        record = {"Email": "b@example.com"} | ADA
        given = BulkArguments(CONTACT, "upsert", [record], external_id_field="Email", allow_duplicates=allow)
        await self._change(given)

    async def _change(self, given: BulkArguments) -> None:
        result: BulkResult = await operations.change(self.app, self.caller, "t", "acme", given)
        if result.counts.failed:
            error = result.results[0]["error"]
            raise Rejected(error["message"], code=error["code"], hint=error["message"])


WAYS = ["create", "update", "upsert", "change_created", "change_updated", "change_found", "change_upserted"]


@pytest.fixture
def twins(app: App, caller: Caller, acme: SandboxOrg) -> Twins:
    return Twins(app, caller, acme)


@pytest.mark.parametrize("way", WAYS)
async def test_a_duplicate_is_saved_where_the_rule_only_warns_and_the_caller_says_so(
    twins: Twins, acme: SandboxOrg, way: str
) -> None:
    acme.duplicate_rule = Rule("Contact", ("LastName",), allow_save=True)
    write: Callable[[bool], Awaitable[None]] = getattr(twins, way)

    with pytest.raises(Rejected) as refused:
        await write(False)
    assert _lovelaces(acme) == 1
    await write(True)

    assert refused.value.code == "DUPLICATES_DETECTED"
    assert "allow_duplicates: true, which this rule lets you" in (refused.value.hint or "")
    assert twins.first in (refused.value.hint or "")
    assert _lovelaces(acme) == 2


@pytest.mark.parametrize("way", WAYS)
async def test_a_duplicate_is_never_saved_where_the_rule_blocks(twins: Twins, acme: SandboxOrg, way: str) -> None:
    acme.duplicate_rule = Rule("Contact", ("LastName",), allow_save=False)

    with pytest.raises(Rejected) as refused:
        await getattr(twins, way)(True)

    assert "this rule blocks" in (refused.value.hint or "")
    assert _lovelaces(acme) == 1


async def test_what_cannot_save_duplicates_says_so_before_anything_is_sent(
    app: App, caller: Caller, twins: Twins, acme: SandboxOrg
) -> None:
    many = BulkArguments(CONTACT, "create", [{"LastName": f"N {n}"} for n in range(201)], allow_duplicates=True)
    gone = BulkArguments(CONTACT, "delete", [{"Id": twins.other}], allow_duplicates=True)
    acme.requests.clear()

    for given in (many, gone):
        with pytest.raises(InvalidArgument) as refused:
            await operations.change(app, caller, "t", "acme", given)
        assert refused.value.fields == ("allow_duplicates",)
    assert acme.requests == []
    with pytest.raises(InvalidArgument, match="needs API version 52"):
        field_values.check_duplicates_possible("v51.0")


async def test_the_same_key_with_and_without_duplicates_is_another_call(app: App, caller: Caller) -> None:
    def create(allow: bool) -> Awaitable[object]:
        return operations.create(
            app, caller, "t", "acme", CONTACT, {"LastName": "Once"}, idempotency_key="k", allow_duplicates=allow
        )

    await create(True)
    with pytest.raises(CallError) as refused:
        await create(False)

    assert refused.value.category == "conflict"


def _lovelaces(org: SandboxOrg) -> int:
    return sum(each["LastName"] == "Lovelace" for each in org.records.tables["Contact"].values())
