"""Keeps the describes that were used last in memory, each with the time it was read, and checks calls against them.

Up to five minutes old a describe is fresh, and may refuse a call; up to a day it is used all the same.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from orgserver.model.names import SObjectName
from orgserver.model.orgs import Org
from orgserver.model.schema import ObjectList, Schema
from orgserver.services.calls.preflight import Preflight, Problem, missing_object
from orgserver.services.policies.limited_schemas import limit_objects, limit_schema
from orgserver.store.describe_cache import DescribeKey

FRESH_SECONDS = 300
STALE_SECONDS = 24 * 3_600
ALL = SObjectName("")
"""Stands for the list of all objects."""
MAX_WEIGHT = 50_000
"""Fields, picklist values and relationships kept in memory, some 20 MB at most."""
LOOK_AGAIN_SECONDS = 60
"""How long the store is not asked again for what it did not have, and Salesforce not behind a caller's back."""
_MAX_TIMES = 1_000
"""What is forgotten beyond them is only asked again."""
_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class CachedDescribe:
    """A description, when it last changed in Salesforce's words, and when it was last true for certain."""

    content: Schema | ObjectList
    last_modified: str | None
    fetched_at: int

    def is_within(self, seconds: int, now: int) -> bool:
        """Whether it is no older; what comes from the future (a clock was set back) may be of any age."""
        return 0 <= now - self.fetched_at <= seconds * _SECOND


class DescribeMemory:
    """The describes, the latest used one last. ``cached``, ``fresh``, ``names`` and ``allows`` ask nobody."""

    def __init__(self, clock: Callable[[], int], max_weight: int = MAX_WEIGHT) -> None:
        self._clock = clock
        self._max_weight = max_weight
        self.describes: OrderedDict[DescribeKey, CachedDescribe] = OrderedDict()
        self.weight = 0
        self._store_attempts = Attempts()
        """Of asking the store for what is not here."""

    def cached(self, org: Org, sobject: str) -> Schema | None:
        """An object's schema if it is not older than a day."""
        content = self._use(describe_key(org, sobject), STALE_SECONDS, self._clock())
        return content if isinstance(content, Schema) else None

    def known(self, org: Org, sobject: str) -> Schema | None:
        """An object's schema of any age, for judging fields; it may be asked for in a thread, and moves nothing."""
        describe = self.describes.get(describe_key(org, sobject))
        return describe.content if describe is not None and isinstance(describe.content, Schema) else None

    def fresh(self, org: Org, sobject: str) -> Schema | None:
        """An object's schema if it was true five minutes ago: only this may refuse a call."""
        return self._fresh(org, sobject, self._clock())

    def names(self, org: Org) -> ObjectList | None:
        """The org's objects."""
        content = self._use(describe_key(org, ALL), STALE_SECONDS, self._clock())
        return content if isinstance(content, ObjectList) else None

    def allows(self, org: Org, preflight: Preflight) -> bool:
        """Whether fresh describes have nothing against a call; not where the store may have fresher ones than these."""
        if preflight.sobject is None:
            return True
        now, every, one = self._clock(), describe_key(org, ALL), describe_key(org, preflight.sobject)
        if self._is_due(every, now) or self._is_due(one, now):
            return False
        if every not in self.describes and one not in self.describes:
            return True
        return not self._problems(org, preflight, now)[0]

    def problems(self, org: Org, preflight: Preflight) -> tuple[Sequence[Problem], list[str]]:
        """What fresh describes have against a call, and which of them say so."""
        return self._problems(org, preflight, self._clock())

    def begin_recall(self, key: DescribeKey) -> bool:
        """Tell whether the store is to be asked for a describe, at most once a minute, and note that it is now."""
        now = self._clock()
        return self._is_due(key, now) and self._store_attempts.begin(key, now)

    def get(self, key: DescribeKey) -> CachedDescribe | None:
        """A describe of any age."""
        return self.describes.get(key)

    def put(self, key: DescribeKey, describe: CachedDescribe) -> None:
        """Add or replace a describe; the ones that were not used for longest make room."""
        self.remove(key)
        self._store_attempts.forget(key)  # if memory lets it go, the store has it
        self.weight += describe.content.weight
        self.describes[key] = describe
        while self.weight > self._max_weight and len(self.describes) > 1:
            _, oldest = self.describes.popitem(last=False)
            self.weight -= oldest.content.weight

    def remove(self, key: DescribeKey) -> bool:
        """Remove a describe; False if it was not there."""
        describe = self.describes.pop(key, None)
        if describe is None:
            return False
        self.weight -= describe.content.weight
        return True

    def _problems(self, org: Org, preflight: Preflight, now: int) -> tuple[Sequence[Problem], list[str]]:
        assert preflight.sobject is not None  # noqa: S101  # or nothing could be judged
        limits, lookup = preflight.limits, partial(self.known, org)
        schema = self._fresh(org, preflight.sobject, now)
        if schema is not None:
            sobjects = [preflight.sobject]

            def look_up(sobject: str) -> Schema | None:
                sobjects.append(sobject)
                parent = self._fresh(org, sobject, now)
                return limit_schema(limits, parent, lookup) if parent is not None else None

            return preflight.check(limit_schema(limits, schema, lookup), look_up), sobjects
        objects = self._use(describe_key(org, ALL), FRESH_SECONDS, now)
        if isinstance(objects, ObjectList) and objects.find(preflight.sobject) is None:
            return [missing_object(preflight, limit_objects(limits, objects))], [ALL]
        return (), []

    def _fresh(self, org: Org, sobject: str, now: int) -> Schema | None:
        content = self._use(describe_key(org, sobject), FRESH_SECONDS, now)
        return content if isinstance(content, Schema) else None

    def _use(self, key: DescribeKey, seconds: int, now: int) -> Schema | ObjectList | None:
        describe = self.describes.get(key)
        if describe is None or not describe.is_within(seconds, now):
            return None
        self.describes.move_to_end(key)
        return describe.content

    def _is_due(self, key: DescribeKey, now: int) -> bool:
        describe = self.describes.get(key)
        is_fresh = describe is not None and describe.is_within(FRESH_SECONDS, now)
        return not is_fresh and self._store_attempts.is_due(key, now)


class Attempts:
    """When something was last tried, so that it is tried once a minute."""

    def __init__(self) -> None:
        self._times: OrderedDict[DescribeKey, int] = OrderedDict()

    def is_due(self, key: DescribeKey, now: int) -> bool:
        """Tell whether a minute has passed since the last attempt."""
        last = self._times.get(key)
        return last is None or not 0 <= now - last < LOOK_AGAIN_SECONDS * _SECOND

    def begin(self, key: DescribeKey, now: int) -> bool:
        """Tell whether an attempt is due, and note that there is one now."""
        if not self.is_due(key, now):
            return False
        self._times[key] = now
        self._times.move_to_end(key)
        if len(self._times) > _MAX_TIMES:
            self._times.popitem(last=False)
        return True

    def forget(self, key: DescribeKey) -> None:
        """Allow an attempt at once."""
        self._times.pop(key, None)


def describe_key(org: Org, sobject: str) -> DescribeKey:
    """What tells describes apart: users of one org may see different fields."""
    user_id = org.user.id if org.user is not None else ""
    if not user_id and org.login.is_own:  # whose user is not known yet: nobody else's describes are theirs
        user_id = f"login {org.login.id}"
    return DescribeKey(org.row_id, user_id, sobject.lower(), org.api_version)
