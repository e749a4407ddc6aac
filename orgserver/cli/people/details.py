"""What commands tell of principals and groups: everything but the text of a key, which is told once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orgserver.cli.output import warn
from orgserver.model.access.principals import PERMISSIONS

if TYPE_CHECKING:
    from orgserver.model.access.principals import ApiKey, Grant
    from orgserver.services.people.differences import Update
    from orgserver.store.people.records import GroupRecord, PrincipalRecord


def principal_details(record: PrincipalRecord, groups: Mapping[str, GroupRecord]) -> dict[str, Any]:
    """Everything about a principal, with the grants that it has through groups."""
    grants = [_grant_details(grant) for grant in record.grants]
    through = [(name, groups[name].grants) for name in (*record.groups, *record.claim_groups) if name in groups]
    grants += [_grant_details(grant, name) for name, others in through for grant in others]
    return {
        "name": record.name,
        "kind": record.kind,
        "enabled": record.enabled,
        "roles": sorted(record.roles),
        "groups": list(record.groups),
        "claim_groups": list(record.claim_groups),
        "subjects": [{"issuer": each.issuer, "subject": each.subject} for each in record.subjects],
        "limits": record.limits.facts(),
        "grants": grants,
        "keys": [_key_details(key) for key in record.keys],
        "created_at": _iso(record.created_at),
    }


def group_details(record: GroupRecord) -> dict[str, Any]:
    """Everything about a group."""
    return {
        "name": record.name,
        "claim": record.claim,
        "members": list(record.members),
        "claim_members": list(record.claim_members),
        "grants": [_grant_details(grant) for grant in record.grants],
        "created_at": _iso(record.created_at),
    }


def names_and_by_claim(names: Iterable[str], by_claim: Iterable[str]) -> str:
    """Groups of a principal, or members of a group, in one line: those by hand, and those by claim."""
    return ", ".join((*names, *(f"{name} (by claim)" for name in by_claim)))


def change_details(update: Update) -> list[dict[str, Any]]:
    """What is another now: {field, from, to} each."""
    return [{"field": each.field, "from": each.before, "to": each.after} for each in update.differences]


def grant_lines(details: Mapping[str, Any]) -> list[str]:
    """The grants among the details of a principal or a group, a line each."""
    return [grant_line(grant) for grant in details["grants"]]


def grant_line(grant: Mapping[str, Any]) -> str:
    """A grant as people read it."""
    end = f" until {readable_time(grant['until'])}" if grant["until"] else ""
    over = ", which is over" if grant["ended"] else ""
    through = f" (group {grant['group']})" if grant.get("group") else ""
    return f"{grant['selector']}: {', '.join(grant['permissions'])}{end}{over}{through}"


def key_line(key: Mapping[str, Any]) -> str:
    """What is known of a key, as people read it."""
    end = f" until {readable_time(key['until'])}" if key["until"] and key["state"] == "active" else ""
    used = readable_time(key["last_used_at"]) if key["last_used_at"] else "never"
    return f"{key['id']}: {key['state']}{end}, last used {used}"


def warn_of_nothing(selectors: Iterable[str]) -> None:
    """Say which selectors match no org."""
    for selector in selectors:
        warn(f"{selector} matches no org so far; those that it matches later are granted then")


def _grant_details(grant: Grant, group: str | None = None) -> dict[str, Any]:
    return {
        "id": grant.id,
        "selector": grant.selector.text,
        "permissions": [each for each in PERMISSIONS if each in grant.permissions],
        "until": _iso(grant.until),
        "ended": grant.is_over(datetime.now(UTC)),
        "group": group,
        "created_at": _iso(grant.created_at),
        "by": grant.by,
    }


def _key_details(key: ApiKey) -> dict[str, Any]:
    state = "active"
    if key.is_over(datetime.now(UTC)):
        state = "revoked" if key.revoked_at is not None else "ended"
    return {
        "id": key.id,
        "state": state,
        "created_at": _iso(key.created_at),
        "until": _iso(key.until),
        "last_used_at": _iso(key.last_used_at),
        "revoked_at": _iso(key.revoked_at),
    }


def readable_time(time: str) -> str:
    """A time of the details as people read it, to the minute."""
    return f"{datetime.fromisoformat(time):%Y-%m-%d %H:%M} UTC"


def _iso(time: datetime | None) -> str | None:
    return time.isoformat(timespec="seconds") if time else None
