"""What an org has used of its limits, as far as an agent needs to plan its work."""

from __future__ import annotations

from orgserver.model.audit import Action, Completion, Outcome
from orgserver.model.results import Usage
from orgserver.salesforce.protocol import rest
from orgserver.services.calls.access import OrgSession
from orgserver.services.calls.plan import Operation, Plan

_TOLD = (
    "DailyApiRequests",
    "DataStorageMB",
    "FileStorageMB",
    "DailyBulkApiBatches",
    "DailyBulkV2QueryJobs",
    "DailyBulkV2QueryFileStorageMB",
    "DailyAsyncApexExecutions",
    "SingleEmail",
)
_NEARLY = 80.0
"""Any other limit is told from this percentage on."""
_MOST = 100


def read_limits() -> Operation[Usage]:
    """Ask for the limits."""

    async def send(session: OrgSession) -> Usage:
        limits = await session.call(rest.limits(session.org.api_version), rest.read_limits)
        shaped = {
            name: {"max": most, "remaining": left, "used_percent": _percent(most, left)}
            for name, (most, left) in limits.items()
        }
        listed = [name for name in _TOLD if name in shaped]
        listed += [name for name, each in shaped.items() if name not in _TOLD and each["used_percent"] >= _NEARLY]
        return Usage({name: shaped[name] for name in listed[:_MOST]})

    plan = Plan("read", send, lambda usage: Completion(Outcome.SUCCEEDED, row_count=len(usage.limits)), uses=())
    return Operation(Action.LIMITS, lambda _call, _org: plan)


def _percent(most: int, left: int) -> float:
    return round(100 * (most - left) / most, 1) if most > 0 else 0.0
