"""What an operator changes of a registered org, written and put on record in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from orgserver.model.access.logins import Identity, UsernameFrom
from orgserver.model.access.policies import Policy
from orgserver.model.access.policy_edits import PolicyEdit
from orgserver.model.audit import Action, Completion, Intent, Outcome
from orgserver.model.errors import EnrolmentError
from orgserver.model.names import Alias, new_id
from orgserver.model.orgs import Caller, Connection, Org
from orgserver.services.orgs.identities import CHANGED, IdentityChange, check_twins, loosens
from orgserver.services.tokens import login_ends
from orgserver.store.orgs import policies, rows
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction

_MOST_NAMES = 20
"""Principals whose username is another that one entry names."""


@dataclass(frozen=True, slots=True)
class OrgChanges:
    """What is to be another of an org; None and empty: stays."""

    rename: Alias | None = None
    enabled: bool | None = None
    policy: PolicyEdit = field(default_factory=PolicyEdit)
    """Of the org id's limits, which bind its other aliases too."""
    tags: tuple[str, ...] | None = None
    identity: IdentityChange | None = None
    """Of whose login is used, which binds its other aliases too."""


def change_org_in(
    tx: Transaction, store: Store, caller: Caller, command: str, org: Org, changes: OrgChanges, *, seen: Policy | None
) -> Org:
    """Change an org, with an entry for each alias that this concerns; EnrolmentError if it cannot be.

    ``seen`` is the policy that a person saw when they agreed to the change: another one is not changed.
    """

    def change(old: Org) -> Org:
        return replace(
            old,
            alias=changes.rename or old.alias,
            enabled=old.enabled if changes.enabled is None else changes.enabled,
            tags=old.tags if changes.tags is None else changes.tags,
        )

    def limit(old: Policy) -> Policy:
        if seen is not None and old != seen:
            raise EnrolmentError(f"the limits of {org.alias} were changed meanwhile", hint="run the command again")
        return changes.policy.apply(old)

    if changes.identity is not None:
        record_identity_in(tx, store, caller, command, org, changes.identity)
        if changes == OrgChanges(identity=changes.identity):
            return rows.one_in(tx, org.row_id) or org
    words = _words(enabled=changes.enabled, alias=changes.rename is not None or None)
    action = Action.POLICY if changes.policy else Action.ENROL
    intent = intent_on(caller, command, org, action).about(words, changes.rename)
    limited = policies.limit_in(tx, org.row_id, limit) if changes.policy else []
    before = rows.one_in(tx, org.row_id)
    only_limits = changes.policy and changes == OrgChanges(policy=changes.policy)
    after = before if only_limits else store.orgs.change_in(tx, org.row_id, change)
    if after is None or before is None:
        raise EnrolmentError(f"{org.alias} was removed meanwhile")
    limits = next((each.words for each in limited if each.org.row_id == org.row_id), ())
    intents = [intent.about((*limits, *intent.fields, *_tag_words(before, after)))]
    intents += [each.intent(command, caller) for each in limited if each.org.row_id != org.row_id]
    for each in intents:
        store.audit.record_in(tx, each, Completion(Outcome.SUCCEEDED))
    if (before.alias, before.tags) != (after.alias, after.tags):  # by which grants select it
        login_ends.end_unreachable_in(tx, store, caller, command, row_ids=(org.row_id,))
    return after


def record_identity_in(
    tx: Transaction, store: Store, caller: Caller, command: str, org: Org, change: IdentityChange
) -> None:
    """Set whose login the calls to an org use, with an entry for each alias that this concerns.

    Where all share one from now on, people's own end.
    """
    for each, words in identify_in(tx, store, caller, command, org, change):
        intent = intent_on(caller, command, each, Action.POLICY).about(words)
        store.audit.record_in(tx, intent, Completion(Outcome.SUCCEEDED))
        now = rows.one_in(tx, each.row_id)
        if now is not None and now.identity == "shared":
            login_ends.end_of_org_in(tx, store, now, login_ends.NOW_SHARED, caller, command)


def intent_on(
    caller: Caller, command: str, org: Org | None, action: Action = Action.ENROL, *, said: Alias | None = None
) -> Intent:
    """What a command does to an org, as the audit log says it; ``said`` is the alias of one that is not there yet."""
    return Intent(
        id=new_id(),
        principal=caller.principal.name,
        transport=caller.transport,
        action=action,
        tool=command,
        label=caller.label,
        org=org.alias if org else said,
        org_row=org.row_id if org else None,
        org_id=org.org_id if org else None,
    )


def _words(**changes: bool | None) -> tuple[str, ...]:
    """What was changed; of what is on or off, which."""
    return tuple(name if to else f"no_{name}" for name, to in changes.items() if to is not None)


def _tag_words(before: Org, after: Org) -> tuple[str, ...]:
    """Which tags it had and has: grants select by them."""
    had, has = (",".join(org.tags) or "none" for org in (before, after))
    return (f"tags:{had}->{has}",) if had != has else ()


def identify_in(
    tx: Transaction, store: Store, caller: Caller, command: str, org: Org, change: IdentityChange
) -> list[tuple[Org, tuple[str, ...]]]:
    """Set whose login the calls to an org use: each alias that this concerns, with what to put on record of it.

    Logins of people whom a mapping calls somebody else now end, on record. EnrolmentError where that cannot be,
    StoreError where the store must not be written so yet.
    """
    now = rows.one_in(tx, org.row_id)
    if now is None:
        raise EnrolmentError(f"{org.alias} was removed meanwhile")
    identity, username_from = change.apply(now)
    if loosens(now.identity, identity) and now.identity != change.seen:
        raise EnrolmentError(
            f"{org.alias} is known with identity {now.identity}, which gives less away than {identity}",
            hint=f"a person loosens it: orgserver update-org {org.alias} --identity {identity}",
        )
    if now.org_id is not None and (identity != now.identity or change.username_from is not None):
        twins = [each for each in policies.aliases_in(tx, now.org_id) if each.row_id != now.row_id]
        check_twins(now, twins, identity, username_from)
    renamed = _map_in(tx, store, now, username_from, change.usernames)
    for alias, connection in _find_unmeant_in(tx, store, now, username_from, change.usernames):
        is_entered_anew = username_from is not None  # else it stays on record as one that has ended
        login_ends.end_in(tx, store, alias, connection, CHANGED, caller, tool=command, forget=is_entered_anew)
    changed = policies.identify_in(tx, now.row_id, identity, username_from)
    after = identity, username_from
    if not changed:
        return [(now, renamed)] if renamed else []
    return [
        (each, (*_identity_words(each, *after), *(renamed if each.row_id == now.row_id else ()))) for each in changed
    ]


def _identity_words(before: Org, identity: Identity, username_from: UsernameFrom | None) -> tuple[str, ...]:
    pairs = (
        ("identity", before.identity, identity),
        ("username_from", before.username_from or "none", username_from or "none"),
    )
    return tuple(f"{name}:{old}->{new}" for name, old, new in pairs if str(old) != str(new))


def _map_in(
    tx: Transaction, store: Store, org: Org, username_from: UsernameFrom | None, usernames: Mapping[str, str] | None
) -> tuple[str, ...]:
    """Write which username is whose; in the words of the audit log, whose is another."""
    if org.org_id is None:
        return ()
    connections = store.orgs.connections
    if username_from is None or username_from.kind != "map":
        connections.map_in(tx, org.org_id, {})
        return ()
    if usernames is None:
        return ()
    changed = [
        principal
        for principal, username in usernames.items()
        if connections.mapped_username_in(tx, org.org_id, principal) != username.lower()
    ]
    connections.map_in(tx, org.org_id, usernames)
    more = (f"and {len(changed) - _MOST_NAMES} more",) if len(changed) > _MOST_NAMES else ()
    return (*(f"username:{principal}" for principal in changed[:_MOST_NAMES]), *more)


def _find_unmeant_in(
    tx: Transaction, store: Store, org: Org, username_from: UsernameFrom | None, usernames: Mapping[str, str] | None
) -> list[tuple[Org, Connection]]:
    """The logins that the mapping no longer means, each with the alias that it is to; a new mapping means none."""
    if org.org_id is None or (username_from == org.username_from and usernames is None):
        return []
    is_same = username_from is not None and username_from == org.username_from

    def is_meant(connection: Connection) -> bool:
        if username_from is None:
            return connection.kind != "jwt"
        named = (usernames or {}).get(connection.principal, "").lower()
        return is_same and connection.kind == "jwt" and named == connection.username.lower()

    aliases = policies.aliases_in(tx, org.org_id)
    every = [(alias, each) for alias in aliases for each in store.orgs.connections.of_in(tx, row_id=alias.row_id)]
    return [(alias, each) for alias, each in every if not is_meant(each)]
