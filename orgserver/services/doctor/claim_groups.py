"""What ``doctor`` says of groups that an identity provider has filled, where none is set any more."""

from __future__ import annotations

from orgserver.services.doctor.machine import Finding
from orgserver.store.people import records
from orgserver.store.session import Store


async def unfollowed_groups(store: Store) -> list[Finding]:
    """Groups by claim that people are still in, where no sign-in is set: nobody asks whether they should be."""
    async with store.database.reading() as connection:
        groups = await records.groups(connection)
    people = {member for group in groups for member in group.claim_members}
    if not people:
        return []
    names = ", ".join(group.name for group in groups if group.claim_members)
    text = (
        f"{len(people)} in {names} by a claim, and no sign-in is set here that follows it: they stay, with its grants"
    )
    todo = (
        "orgserver update-group NAME --no-claim takes them out; or set ORGSERVER_SIGNIN_ISSUER, also for this command"
    )
    return [Finding("groups by claim", "warning", text, todo)]
