"""How often a principal may call, and how much at once: with all of its keys together, and each key beside the others.

A principal has a bucket of tokens, which fills at its rate up to what that is in a second; each request takes one, and
one with a long body more. Keys that have called lately share what there is: one that uses more than its share leaves
each of the others a token and a place, so that a flood by one key does not lock out another; while nobody else calls it
has everything.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

LATELY_SECONDS = 10.0
"""For how long a key that has called has its share."""
IN_FLIGHT_SECONDS = 1.0
"""After which it is worth while to try again where too much is under way; nobody knows when some of it will end."""
_LOOKED_AT = 2
_ROUNDING = 1e-9


class Refusal(NamedTuple):
    """A request that comes too soon, or beside too many."""

    limit: Literal["rate", "in_flight"]
    """Which limit refuses it."""
    seconds: float
    """When to try again."""


class _Bucket:
    """Tokens: they come at a rate, and no more are kept than come in a second, but always one."""

    __slots__ = ("_at", "_tokens")

    def __init__(self, rate: float, now: float) -> None:
        self._tokens, self._at = max(rate, 1.0), now

    def fill(self, rate: float, now: float) -> float:
        """How many tokens there are by now."""
        self._tokens = min(max(rate, 1.0), self._tokens + max(now - self._at, 0.0) * rate)
        self._at = max(now, self._at)
        return self._tokens

    def take(self, tokens: float = 1.0) -> None:
        """Take some; where there are none, the next has to wait for these, too."""
        self._tokens -= tokens


@dataclass(slots=True)
class _KeyUse:
    """What one key has in use."""

    bucket: _Bucket
    called_at: float
    in_flight: int = 0


@dataclass(slots=True)
class _PrincipalUse:
    """What one principal has in use."""

    bucket: _Bucket
    called_at: float
    in_flight: int = 0
    keys: dict[str | None, _KeyUse] = field(default_factory=dict)
    """The keys that called lately; None is whatever came without one."""

    def is_idle(self, rate: float, now: float) -> bool:
        """Whether nothing need be known of it: it has called nothing lately, and its bucket is full."""
        is_late = now - self.called_at > LATELY_SECONDS and not self.in_flight
        return is_late and self.bucket.fill(rate, now) >= max(rate, 1.0)

    def find_key(self, key_id: str | None, rate: float, now: float) -> _KeyUse:
        """What a key has in use; those that have not called lately are forgotten."""
        key = self.keys.get(key_id)
        if key is None or len(self.keys) > 1 or now - key.called_at > LATELY_SECONDS:
            self._forget_idle(now)
            key = self.keys.get(key_id)
        if key is None:
            key = self.keys[key_id] = _KeyUse(_Bucket(rate / (len(self.keys) + 1), now), now)
        key.called_at = self.called_at = now
        return key

    def _forget_idle(self, now: float) -> None:
        for key_id, use in list(self.keys.items()):
            if not use.in_flight and now - use.called_at > LATELY_SECONDS:
                del self.keys[key_id]


class Limits:
    """Admits requests of principals: so many a second, and so many at once. Nothing is remembered of the idle."""

    def __init__(self, rate: float, in_flight: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._in_flight = in_flight
        self._clock = clock
        self._uses: OrderedDict[str, _PrincipalUse] = OrderedDict()

    def __len__(self) -> int:
        """How many principals are remembered."""
        return len(self._uses)

    def admit(self, principal: str, key_id: str | None) -> Leave | Refusal:
        """Count a request in; the function that comes back counts it out at its end. Or say why it must wait."""
        now = self._clock()
        self._forget_idle(now)
        use = self._uses.get(principal)
        if use is None:
            use = self._uses[principal] = _PrincipalUse(_Bucket(self._rate, now), now)
        key = use.find_key(key_id, self._rate, now)
        refusal = self._refuse(use, key, now)
        if refusal is not None:
            return refusal
        for each in (use, key):
            each.bucket.take()
            each.in_flight += 1
        return Leave(use, key)

    def _refuse(self, use: _PrincipalUse, key: _KeyUse, now: float) -> Refusal | None:
        keys = len(use.keys)
        for_others = min(keys - 1, self._in_flight - 1) if key.in_flight >= self._in_flight / keys else 0
        if use.in_flight >= self._in_flight - for_others:
            return Refusal("in_flight", IN_FLIGHT_SECONDS)
        is_within_share = key.bucket.fill(self._rate / keys, now) >= 1.0
        tokens = 1.0 if is_within_share else min(float(keys), max(self._rate, 1.0))
        missing = tokens - use.bucket.fill(self._rate, now)
        return Refusal("rate", missing / self._rate) if missing > _ROUNDING else None

    def _forget_idle(self, now: float) -> None:
        """Look at two principals in turn, and forget one of whom nothing need be known: so there are never many."""
        for _ in range(min(_LOOKED_AT, len(self._uses))):
            principal, use = next(iter(self._uses.items()))
            if use.is_idle(self._rate, now):
                del self._uses[principal]
            else:
                self._uses.move_to_end(principal)


class Leave:
    """Counts a request out, once."""

    __slots__ = ("_uses",)

    def __init__(self, *uses: _PrincipalUse | _KeyUse) -> None:
        self._uses = uses

    def __call__(self) -> None:
        """Count it out."""
        for use in self._uses:
            use.in_flight -= 1
        self._uses = ()

    def charge(self, tokens: float) -> None:
        """Take more tokens for it: they may be missing, and who comes next waits until they are there."""
        for use in self._uses:
            use.bucket.take(tokens)
