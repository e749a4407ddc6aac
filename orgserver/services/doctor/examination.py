"""What ``orgserver doctor`` finds in an open store: its values, its keys, its approvals, and each of its orgs."""

from __future__ import annotations

from datetime import UTC, datetime

from orgserver.services.calls.access import Access
from orgserver.services.doctor import clock
from orgserver.services.doctor import store as store_findings
from orgserver.services.doctor.connections import of_connections
from orgserver.services.doctor.machine import Finding
from orgserver.services.key_rotation import MasterKeys
from orgserver.store.session import Store


async def examine_store(store: Store, access: Access, keys: MasterKeys, *, offline: bool) -> list[Finding]:
    """Every finding, from the store to its orgs; ``offline`` asks no login host for the time."""
    findings = await store_findings.of_store(store)
    findings += store_findings.keys(await keys.usage(), keys.ring, keys.source)
    findings.append(await store_findings.approvals(store))
    catalog = await access.reload()
    orgs = list(catalog.by_alias.values())
    findings += await store_findings.left_behind(store, orgs)
    if not offline:
        findings += await clock.check_clock(access.client, orgs)
    now = datetime.now(UTC)
    findings += [store_findings.of_org(org, now) for org in orgs] + store_findings.twins(orgs)
    return findings + await of_connections(store, catalog, now)
