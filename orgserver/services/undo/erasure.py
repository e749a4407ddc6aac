"""Kept values are forgotten: by record, org, age or person. The chain keeps their digests, and verifies as before."""

from __future__ import annotations

from orgserver.model.audit import Action, Intent
from orgserver.model.errors import OperatorError
from orgserver.model.names import new_id
from orgserver.model.orgs import Caller
from orgserver.services.calls.access import Access
from orgserver.store.audit import snapshots
from orgserver.store.audit.snapshots import SnapshotFilter
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction


async def erasable(store: Store, which: SnapshotFilter) -> int:
    """How many kept values there are of this kind."""
    await store.audit.catch_up()
    async with store.database.reading() as connection:
        return await snapshots.count(connection, which)


async def erase(store: Store, caller: Caller, which: SnapshotFilter, alias: str | None) -> int:
    """Erase kept values for good; the log says how many, and verifies as before.

    OperatorError if an audit hold covers one of the entries: what a court wants kept outweighs a request to forget.
    """
    await store.audit.catch_up()
    intent = Intent(
        id=new_id(),
        principal=caller.principal.name,
        transport=caller.transport,
        action=Action.PRUNE,
        tool="audit erase",
        label=caller.label,
        org=alias,
        record_ids=(which.record_id,) if which.record_id else (),
    )

    def step(tx: Transaction) -> int:
        name = snapshots.find_hold_in(tx, which)
        if name is not None:
            raise OperatorError(
                f"the hold {name!r} covers entries whose values these are, so nothing was erased",
                hint=f"orgserver audit hold {name} --release lifts it",
            )
        return snapshots.erase_in(tx, store.audit, which, intent)

    return await store.database.write(step)


async def which_org(access: Access, caller: Caller, alias: str) -> SnapshotFilter:
    """An org by its alias, or one that was removed by what it was called."""
    for org in await access.visible(caller):
        if org.alias == alias:
            return SnapshotFilter(row_id=org.row_id)
    return SnapshotFilter(alias=alias)
