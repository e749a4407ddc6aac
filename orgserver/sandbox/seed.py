"""Who each org is, by its number, and the records that it begins with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from orgserver.model.names import to_18
from orgserver.sandbox.state import schema
from orgserver.sandbox.state.field_values import stamp
from orgserver.sandbox.state.records import Records
from orgserver.sandbox.state.users import SandboxUser

ALIASES = ("acme", "globex", "initech", "umbrella", "hooli", "vandelay", "wonka", "stark", "wayne", "tyrell")
_PEOPLE = {
    0: [("Ada", "Lovelace"), ("Grace", "Hopper"), ("Katherine", "Johnson"), ("Radia", "Perlman")],
    1: [("Alan", "Turing"), ("Edsger", "Dijkstra"), ("Barbara", "Liskov"), ("Donald", "Knuth")],
}


def _people(number: int) -> list[tuple[str, str]]:
    """Four people, others in each org: beyond the second, first and last names meet anew."""
    if number in _PEOPLE:
        return _PEOPLE[number]
    everyone = _PEOPLE[0] + _PEOPLE[1]
    return [(everyone[(number + i) % 8][0], everyone[(number // 8 + 3 * i + 1) % 8][1]) for i in range(4)]


@dataclass(frozen=True, slots=True)
class OrgIdentity:
    """The names and ids of an org and of its first user."""

    number: int
    alias: str
    name: str
    org_id: str
    user_id: str
    username: str

    @classmethod
    def numbered(cls, number: int) -> OrgIdentity:
        """That of the org with this number, from 0."""
        alias = ALIASES[number] if number < len(ALIASES) else f"org{number + 1}"
        return cls(
            number,
            alias,
            f"{alias.capitalize()} (orgserver sandbox)",
            to_18(f"00DSb{number:04d}000001"),
            to_18(f"005Sb{number:04d}000001"),
            f"agent@{alias}.example",
        )


def add_user_record(records: Records, user: SandboxUser) -> None:
    """Add the record of a user."""
    records.add(
        schema.load("User"),
        {
            "Username": user.username,
            "FirstName": user.first_name,
            "LastName": user.last_name,
            "Email": user.username,
            "IsActive": user.active,
            "TimeZoneSidKey": user.time_zone,
            "UserType": "Standard",
        },
        user.id,
    )


def seed_records(records: Records, identity: OrgIdentity, user: SandboxUser, *, now: datetime) -> None:
    """Add the organization, its user, an account, four contacts and two events of tomorrow."""
    records.add(
        schema.load("Organization"),
        {"Name": identity.name, "OrganizationType": "Developer Edition", "InstanceName": "SB1"},
        identity.org_id,
    )
    add_user_record(records, user)
    account = records.add(schema.load("Account"), {"Name": f"{identity.alias.capitalize()} Corporation"})
    people = _people(identity.number)
    ids = [
        records.add(
            schema.load("Contact"),
            {
                "FirstName": first,
                "LastName": last,
                "Email": f"{first}.{last}@{identity.alias}.example".lower(),
                "Phone": f"+1 555 01{identity.number:02d}{index:02d}",
                "AccountId": account,
            },
        )
        for index, (first, last) in enumerate(people)
    ]
    tomorrow = (now + timedelta(days=1)).replace(hour=9, minute=0, second=0)
    for index, who in enumerate(ids[:2]):
        start = tomorrow + timedelta(hours=index * 2)
        records.add(
            schema.load("Event"),
            {
                "Subject": ("Kick-off", "Review")[index],
                "StartDateTime": stamp(start),
                "EndDateTime": stamp(start + timedelta(hours=1)),
                "WhoId": who,
                "WhatId": account,
            },
        )
