"""Describes in memory: those that were used last, as many as are worth their room, and when each was true."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from orgserver.model.orgs import Org
from orgserver.model.schema import ObjectList, Schema
from orgserver.store.describe_cache import DescribeKey

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
    """The describes, the latest used one last."""

    def __init__(self, max_weight: int = MAX_WEIGHT) -> None:
        self._max_weight = max_weight
        self.describes: OrderedDict[DescribeKey, CachedDescribe] = OrderedDict()
        self.weight = 0

    def get(self, key: DescribeKey) -> CachedDescribe | None:
        """A describe of any age."""
        return self.describes.get(key)

    def use(self, key: DescribeKey, seconds: int, now: int) -> CachedDescribe | None:
        """A describe that is no older than so many seconds."""
        describe = self.describes.get(key)
        if describe is None or not describe.is_within(seconds, now):
            return None
        self.describes.move_to_end(key)
        return describe

    def put(self, key: DescribeKey, describe: CachedDescribe) -> None:
        """Add or replace a describe; the ones that were not used for longest make room."""
        self.remove(key)
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


class Attempts:
    """When something was last tried, so that it is tried once a minute."""

    def __init__(self) -> None:
        self._times: OrderedDict[DescribeKey, int] = OrderedDict()

    def begin(self, key: DescribeKey, now: int) -> bool:
        """Tell whether a minute has passed since the last attempt, and note that there is one now."""
        last = self._times.get(key)
        if last is not None and 0 <= now - last < LOOK_AGAIN_SECONDS * _SECOND:
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
    return DescribeKey(org.row_id, org.user.id if org.user is not None else "", sobject.lower(), org.api_version)
