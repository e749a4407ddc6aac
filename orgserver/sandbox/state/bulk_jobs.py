"""Bulk jobs: what they have in common, and how they get on while the org answers other requests."""

from __future__ import annotations

import asyncio
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from orgserver.model.names import to_18
from orgserver.sandbox.errors import Refusal
from orgserver.sandbox.state import schema
from orgserver.sandbox.state.schema import SObject
from orgserver.sandbox.state.users import Users

_SLICE = 200
_NAP = 0.02
FINAL = frozenset({"JobComplete", "Failed", "Aborted"})


@dataclass(slots=True)
class Job(ABC):
    """One job; ``details`` are what its creator said of it."""

    id: str
    version: str
    details: dict[str, Any]
    state: str
    processed: int = 0
    failed: int = 0
    error: str = ""

    @abstractmethod
    def work(self) -> Iterator[None]:
        """Do it, one step for each record."""

    def described(self, *, finely: bool = True) -> dict[str, Any]:
        """The job as the API tells it; not so ``finely`` as long as it was only made."""
        body = {"id": self.id, **self.details, "state": self.state}
        if not finely:
            return body
        times = dict.fromkeys(("totalProcessingTime", "apiActiveProcessingTime", "apexProcessingTime"), 0)
        body |= {"retries": 0, **times, "numberRecordsProcessed": self.processed, "numberRecordsFailed": self.failed}
        return body | ({"errorMessage": self.error} if self.error else {})

    def abort(self) -> None:
        """End it where it is; what was done stays done."""
        if self.state in FINAL:
            raise invalid_state(f"Aborting already {'Aborted' if self.state == 'Aborted' else 'Completed'} Job")
        self.state = "Aborted"


def invalid_state(what: str) -> Refusal:
    """The refusal of what a job's state does not allow."""
    return Refusal(400, "INVALIDJOBSTATE", f"{what} not allowed")


@dataclass(slots=True)
class Pace:
    """How fast jobs get on."""

    rows_per_second: Callable[[], float | None]
    delay: Callable[[], float]


@dataclass(slots=True)
class Jobs:
    """An org's jobs."""

    number: int
    pace: Pace
    users: Users
    own: Callable[[], dict[str, SObject | None]]
    """The objects that the current user does not see as recorded."""
    by_id: dict[str, Job] = field(default_factory=dict)
    _serial: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def new_id(self) -> str:
        """An id for a new job."""
        return to_18(f"750Sb{self.number:04d}{next(self._serial):06d}")

    def start(self, job: Job) -> None:
        """Let a job run beside what else the org does."""
        job.state = "UploadComplete"
        task = asyncio.get_running_loop().create_task(self._run(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """End what runs."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, job: Job) -> None:
        await asyncio.sleep(self.pace.delay())
        if job.state != "UploadComplete":
            return
        job.state = "InProgress"
        steps = job.work()
        while job.state == "InProgress":
            rate = self.pace.rows_per_second()
            if rate == 0:
                await asyncio.sleep(_NAP)
                continue
            size = _SLICE if rate is None else min(_SLICE, max(1, int(rate * _NAP)))
            if self._step(job, steps, size):
                return
            await asyncio.sleep(0 if rate is None else size / rate)

    def _step(self, job: Job, steps: Iterator[None], size: int) -> bool:
        """Do some records; whether the job has come to its end."""
        try:
            with self.users.acting(job.details["createdById"]), schema.of_org(self.own()):
                count = sum(1 for _ in itertools.islice(steps, size))
        except Refusal as refusal:
            job.state, job.error = "Failed", refusal.message
            return True
        if count < size:
            job.state = "JobComplete"
        return count < size
