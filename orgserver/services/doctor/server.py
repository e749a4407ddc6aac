"""The checks of ``doctor`` on the PostgreSQL server that a store lies on."""

from __future__ import annotations

from collections.abc import Sequence

from orgserver.config import Settings
from orgserver.model.text import replace_unsafe
from orgserver.services.doctor.machine import Finding, schema_version, size
from orgserver.store.location import find_server

_MUCH_AHEAD_US = 1_000_000
_NAMED = 5


async def of_server(settings: Settings) -> list[Finding]:
    """Whether the server can be used, and keeps what it says it has; StoreError or ConfigError where it cannot."""
    from orgserver.store.engines.open_engine import require_driver  # noqa: PLC0415  # the store's imports

    address = find_server(settings)
    require_driver()
    from orgserver.store.server_facts import read_facts  # noqa: PLC0415  # needs asyncpg

    facts = await read_facts(address)
    return [
        Finding("server", "ok", f"PostgreSQL {facts.version} at {address}, {size(facts.size)}"),
        way(is_encrypted=facts.is_encrypted),
        durability(syncs=facts.syncs, has_standby=facts.has_standby),
        checksums(has_checksums=facts.has_checksums),
        clock(facts.ahead_us),
        schema(facts.schema, may_read=facts.may_read),
        interference(facts.interference),
    ]


def way(*, is_encrypted: bool) -> Finding:
    """Nothing crosses a network in plain text, and to nobody whose certificate was not checked."""
    if is_encrypted:
        return Finding("way to it", "ok", "TLS, its certificate and name checked")
    return Finding("way to it", "ok", "plain, within this machine")


def durability(*, syncs: bool, has_standby: bool) -> Finding:
    """What was answered must be on a disk."""
    if not syncs:
        todo = "set fsync and full_page_writes to on there: entries may be lost after their calls went out"
        return Finding("commits", "problem", "the server does not sync what it commits", todo)
    if has_standby:
        return Finding("commits", "ok", "synced, and a standby has each of them")
    text = "synced; no standby has to have them: a failover to one may lose the last"
    return Finding("commits", "note", text, "where there is a standby: synchronous_standby_names")


def checksums(*, has_checksums: bool) -> Finding:
    """Without them damage on its disk is found late."""
    if has_checksums:
        return Finding("checksums", "ok", "the server finds damage on its disk")
    return Finding("checksums", "note", "off: damage on its disk is found late", "pg_checksums --enable")


def clock(ahead_us: int) -> Finding:
    """Leases and entries go by the server's clock, tokens by both."""
    text = f"{abs(ahead_us) / 1_000_000:.1f} s {'ahead of' if ahead_us > 0 else 'behind'} this machine's"
    if abs(ahead_us) < _MUCH_AHEAD_US:
        return Finding("server's clock", "ok", "within a second of this machine's")
    return Finding("server's clock", "warning", text, "set both by NTP; the store goes by the server's")


def interference(names: Sequence[str]) -> Finding:
    """The tables' owner could have writes swallowed or changed; of the audit log only its verification would tell."""
    if not names:
        return Finding("triggers", "ok", "no trigger, rule or policy is on the store's tables")
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    text = f"on the store's tables, and none of ours: {', '.join(map(replace_unsafe, names[:_NAMED]))}{more}"
    todo = "drop them, unless you know what they are for; orgserver audit verify says whether the log was changed"
    return Finding("triggers", "warning", text, todo)


def schema(version: str | None, *, may_read: bool = False) -> Finding:
    """Whether there is a store in the database, and of which schema."""
    if version is None:
        return Finding("schema", "problem", "the database is empty", "orgserver migrate makes a store in it")
    return schema_version(version, may_read=may_read)
