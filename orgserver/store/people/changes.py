"""Changes of principals and groups, in the writer's transactions: every process sees them with its next call."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal

from sqlalchemy import delete, func, insert, literal, select, union_all, update

from orgserver.model.access.policies import Policy
from orgserver.model.access.principals import PrincipalKind, Role, Subject
from orgserver.store.calls import tables as call_tables
from orgserver.store.catalog_version import changed_in
from orgserver.store.people import tables
from orgserver.store.transaction import Transaction

Holder = Literal["principal", "group"]
"""Who can have grants."""


def taken_name_in(tx: Transaction, name: str) -> tuple[Holder, str] | None:
    """Who has a name, in whatever case: principals and groups share their names."""
    principals, groups = tables.principals.c.name, tables.groups.c.name
    every = union_all(
        select(literal("principal").label("holder"), principals.label("name")).where(
            func.lower(principals) == name.lower()
        ),
        select(literal("group"), groups).where(func.lower(groups) == name.lower()),
    )
    row = tx.connection.execute(every).first()
    return (row.holder, row.name) if row is not None else None


def names_in(tx: Transaction, holder: Holder) -> list[str]:
    """Every principal's or every group's name."""
    table = tables.principals if holder == "principal" else tables.groups
    return list(tx.connection.execute(select(table.c.name).order_by(table.c.name)).scalars())


def is_principal_in(tx: Transaction, name: str) -> bool:
    """Whether there is a principal of a name."""
    own = select(tables.principals.c.name).where(tables.principals.c.name == name)
    return tx.connection.execute(own).scalar() is not None


def is_enabled_in(tx: Transaction, name: str) -> bool:
    """Whether there is a principal of a name who may use anything."""
    enabled = select(tables.principals.c.enabled).where(tables.principals.c.name == name)
    return bool(tx.connection.execute(enabled).scalar())


def add_principal_in(tx: Transaction, name: str, kind: PrincipalKind) -> None:
    """Add a principal that has nothing yet."""
    values = {"name": name, "kind": kind, "enabled": True, "roles": "[]", "limits": "{}", "created_at": tx.now}
    tx.connection.execute(insert(tables.principals).values(values))
    changed_in(tx, "principal", name)


def change_principal_in(
    tx: Transaction, name: str, *, kind: PrincipalKind, enabled: bool, roles: Iterable[Role], limits: Policy
) -> None:
    """Write what a principal is."""
    values: dict[str, Any] = {
        "kind": kind,
        "enabled": enabled,
        "roles": json.dumps(sorted(roles)),
        "limits": json.dumps(limits.facts()),
    }
    tx.connection.execute(update(tables.principals).where(tables.principals.c.name == name).values(values))
    changed_in(tx, "principal", name)


def remove_principal_in(tx: Transaction, name: str) -> None:
    """Remove a principal with its grants and keys, and what it could take up again under the same name."""
    for table in (call_tables.idempotency, call_tables.approvals):
        tx.connection.execute(delete(table).where(table.c.principal == name))
    tx.connection.execute(delete(tables.principals).where(tables.principals.c.name == name))
    changed_in(tx, "principal", name)


def add_group_in(tx: Transaction, name: str) -> None:
    """Add a group that has nothing yet."""
    tx.connection.execute(insert(tables.groups).values(name=name, created_at=tx.now))
    changed_in(tx, "people")


def set_claim_in(tx: Transaction, name: str, claim: str | None) -> None:
    """Say by which value of a claim an identity provider fills a group, if it does; those of the last one leave."""
    members = tables.claim_members
    tx.connection.execute(delete(members).where(members.c.group == name))
    tx.connection.execute(update(tables.groups).where(tables.groups.c.name == name).values(claim=claim))
    changed_in(tx, "people")


def remove_group_in(tx: Transaction, name: str) -> None:
    """Remove a group with its grants; its members stay what they are."""
    tx.connection.execute(delete(tables.groups).where(tables.groups.c.name == name))
    changed_in(tx, "people")


def join_group_in(tx: Transaction, group: str, principal: str) -> None:
    """Put a principal that is not in a group into it."""
    tx.connection.execute(insert(tables.group_members).values({"group": group, "principal": principal}))
    changed_in(tx, "principal", principal)


def leave_group_in(tx: Transaction, group: str, principal: str) -> None:
    """Take a principal out of a group."""
    members = tables.group_members
    tx.connection.execute(delete(members).where(members.c.group == group, members.c.principal == principal))
    changed_in(tx, "principal", principal)


def principal_of_subject_in(tx: Transaction, subject: Subject) -> str | None:
    """Who an identity provider's subject is."""
    subjects = tables.subjects
    own = select(subjects.c.principal).where(subjects.c.issuer == subject.issuer, subjects.c.subject == subject.subject)
    return tx.connection.execute(own).scalar()


def add_subject_in(tx: Transaction, principal: str, subject: Subject) -> None:
    """Say who a principal is for an identity provider."""
    values = {"issuer": subject.issuer, "subject": subject.subject, "principal": principal}
    tx.connection.execute(insert(tables.subjects).values(values))
    changed_in(tx, "key")


def remove_subject_in(tx: Transaction, subject: Subject) -> None:
    """Take back who a principal is for an identity provider."""
    subjects = tables.subjects
    tx.connection.execute(
        delete(subjects).where(subjects.c.issuer == subject.issuer, subjects.c.subject == subject.subject)
    )
    changed_in(tx, "key")
