"""What limits an org whatever it is called: one policy for each org id, which outlives the aliases.

An org whose id is not known yet carries its policy in its own row; when its id becomes known it takes part in the
policy of that id, and the strictest of both binds every alias. Each alias whose policy changes gets an audit entry.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

from sqlalchemy import Select, insert, select, update

from orgserver.model import names
from orgserver.model.access.logins import FREE_MAPPINGS, Identity, UsernameFrom
from orgserver.model.access.policies import Policy
from orgserver.model.audit import Action, Intent
from orgserver.model.errors import StoreError
from orgserver.model.names import OrgId, RowId, new_id
from orgserver.model.orgs import Caller, Org
from orgserver.store import tables
from orgserver.store.catalog_version import changed_in
from orgserver.store.orgs import rows
from orgserver.store.transaction import Transaction

_policies = tables.policies
FIRST_SCHEMA = "0012"
"""The oldest schema whose programs know that an org can be used with other logins than the shared one."""
_SILENT_US = 60 * 1_000_000
"""A process that has said nothing for so long is none that runs, or has nothing under way."""


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """An alias whose policy is another now."""

    org: Org
    """With the policy that it has now."""
    before: Policy

    @property
    def words(self) -> tuple[str, ...]:
        """What it was and what it became, in the words of the audit log."""
        return self.before.changed_to(self.org.policy)

    def intent(self, tool: str | None, caller: Caller | None = None) -> Intent:
        """How the audit log says it; without a caller, the change followed from what an org answered."""
        return Intent(
            id=new_id(),
            principal=caller.principal.name if caller else "orgserver",
            transport=caller.transport if caller else "cli",
            action=Action.POLICY,
            tool=tool,
            label=caller.label if caller else None,
            org=self.org.alias,
            org_row=self.org.row_id,
            org_id=self.org.org_id,
            fields=self.words,
        )


def policy_in(tx: Transaction, org_id: OrgId) -> Policy | None:
    """The policy of an org id; None if the store never knew that org."""
    policy_json = tx.connection.execute(select(_policies.c.policy).where(_policies.c.org_id == org_id)).scalar()
    return rows.read_policy(policy_json) if policy_json is not None else None


def join_in(tx: Transaction, org: Org) -> tuple[Org, list[PolicyChange]]:
    """Let an org whose id is known take part in the policy of that id: the org as it is limited now, and all changes.

    The first change, if the org had to become stricter, is the org's own; the others are those of its other aliases.
    """
    assert org.org_id is not None  # noqa: S101  # whoever calls knows it
    stored = policy_in(tx, org.org_id)
    policy = org.policy if stored is None else stored.strictest(org.policy)
    changes = [PolicyChange(replace(org, policy=policy), org.policy)] if policy != org.policy else []
    if stored is not None and stored != policy:
        twins = [twin for twin in aliases_in(tx, org.org_id) if twin.row_id != org.row_id]
        changes += [PolicyChange(replace(twin, policy=policy), stored) for twin in twins]
    keep_in(tx, org.org_id, policy)
    for change in changes:
        changed_in(tx, "org", change.org.row_id)
    return replace(org, policy=policy), changes


def pin_in(tx: Transaction, row_id: RowId, org_id: OrgId) -> list[PolicyChange]:
    """Write down which org this is, now that it is known; the policies that this changes."""
    org = rows.one_in(tx, row_id)
    if org is None or org.org_id is not None:
        return []
    _, changes = join_in(tx, replace(org, org_id=org_id))
    own = tables.orgs.c.row_id == row_id
    tx.connection.execute(update(tables.orgs).where(own).values(org_id=org_id, policy=rows.ELSEWHERE))
    changed_in(tx, "org", row_id)
    return changes


def limit_in(tx: Transaction, row_id: RowId, change: Callable[[Policy], Policy]) -> list[PolicyChange]:
    """Change the policy of an org, and so of every alias of it; a change for each of them."""
    org = rows.one_in(tx, row_id)
    policy = change(org.policy) if org is not None else None
    if org is None or policy is None or policy == org.policy:
        return []
    every = aliases_in(tx, org.org_id) if org.org_id is not None else [org]
    if org.org_id is not None:
        keep_in(tx, org.org_id, policy)
    else:
        own = tables.orgs.c.row_id == row_id
        tx.connection.execute(update(tables.orgs).where(own).values(policy=json.dumps(policy.facts())))
    for each in every:
        changed_in(tx, "org", each.row_id)
    return [PolicyChange(replace(each, policy=policy), org.policy) for each in every]


def keep_in(tx: Transaction, org_id: OrgId, policy: Policy) -> None:
    """Write the policy of an org id."""
    identity = tx.connection.execute(select(_policies.c.identity).where(_policies.c.org_id == org_id)).scalar()
    if identity is None:
        tx.connection.execute(insert(_policies).values(org_id=org_id, policy=json.dumps(policy.facts())))
    else:
        values = {"policy": _policy_column(policy, identity)}
        tx.connection.execute(update(_policies).where(_policies.c.org_id == org_id).values(values))


def _policy_column(policy: Policy, identity: Identity) -> str:
    """A policy as it stands in its column."""
    return json.dumps(policy.facts() | ({rows.IDENTITY: identity} if identity != "shared" else {}))


def identify_in(tx: Transaction, row_id: RowId, identity: Identity, username_from: UsernameFrom | None) -> list[Org]:
    """Set whose login the calls to an org use, under whatever alias; every alias as it was, where that is another.

    StoreError where the org's id is not known, or where a program of before 0012 still runs on the store: it would go
    on with the login that all share.
    """
    org = rows.one_in(tx, row_id)
    if org is None or (org.identity, org.username_from) == (identity, username_from):
        return []
    if org.org_id is None:
        raise StoreError(f"nobody knows yet which org {org.alias} is", hint=f"run: orgserver check-org {org.alias}")
    if identity != "shared":
        _refuse_older_processes_in(tx)
        tx.connection.execute(update(tables.store).values(oldest_reader=FIRST_SCHEMA))
    every = aliases_in(tx, org.org_id)
    values = {
        "identity": identity,
        "username_from": rows.username_from_column(username_from),
        "policy": _policy_column(org.policy, identity),
    }
    tx.connection.execute(update(_policies).where(_policies.c.org_id == org.org_id).values(values))
    for each in every:
        changed_in(tx, "org", each.row_id)
    return every


def has_free_mapping_in(tx: Transaction) -> bool:
    """Whether somewhere a principal's name or a claim says which Salesforce user a principal is."""
    texts = tx.connection.execute(select(_policies.c.username_from).where(_policies.c.username_from.is_not(None)))
    return any(json.loads(text)["kind"] in FREE_MAPPINGS for text in texts.scalars())


def _refuse_older_processes_in(tx: Transaction) -> None:
    of = tables.processes.c
    older = select(of.id).where(of.schema.is_(None), of.heartbeat_at > tx.now - _SILENT_US)
    if tx.connection.execute(older.limit(1)).first() is not None:
        raise StoreError(
            "an older orgserver runs on this store, and would go on with the login that all share",
            hint="stop it, or update it; a minute later, run the same command again",
        )


def aliases_in(tx: Transaction, org_id: OrgId) -> list[Org]:
    """Every registered alias of an org id."""
    org_rows = tx.connection.execute(rows.EVERY.where(tables.orgs.c.org_id == org_id).order_by(tables.orgs.c.alias))
    return [rows.read_org(row) for row in org_rows]


# -- stores of an older schema, in which each alias had its own policy


def unbound_in(tx: Transaction) -> bool:
    """Whether there are orgs with a known id that has no policy yet."""
    return tx.connection.execute(_unbound().limit(1)).first() is not None


def bind_in(tx: Transaction) -> list[PolicyChange]:
    """Give each org id that has none the strictest policy of its aliases; those whose policy this changes."""
    groups: dict[OrgId, list[Org]] = defaultdict(list)
    for row in tx.connection.execute(_unbound().order_by(tables.orgs.c.alias)).all():
        org_id = _whole_id(row.org_id)
        groups[org_id].append(replace(rows.read_org(row), org_id=org_id, policy=rows.read_policy(row.policy)))
    changes: list[PolicyChange] = []
    for org_id, orgs in groups.items():
        others = aliases_in(tx, org_id) if policy_in(tx, org_id) is not None else []  # written in another form there
        every = [*orgs, *others]
        policy = reduce(Policy.strictest, (org.policy for org in every))
        keep_in(tx, org_id, policy)
        known = tables.orgs.c.row_id.in_([org.row_id for org in orgs])
        tx.connection.execute(update(tables.orgs).where(known).values(org_id=org_id, policy=rows.ELSEWHERE))
        changes += [PolicyChange(replace(org, policy=policy), org.policy) for org in every if org.policy != policy]
    changed_in(tx)
    return changes


def _unbound() -> Select[Any]:
    return rows.EVERY.where(tables.orgs.c.org_id.is_not(None), _policies.c.org_id.is_(None))


def _whole_id(org_id: str) -> OrgId:
    """An org id in its 18-character form; what is none stays as it is."""
    try:
        return names.org_id(org_id)
    except ValueError:
        return OrgId(org_id)
