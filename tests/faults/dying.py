"""`orgserver serve` that kills itself at a named point of a refresh. Nothing of this is in the product.

Points: ``before-lease``, ``leased`` (and marked as sent), ``replied``, ``committing``, ``committed``.
"""

import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

from orgserver.salesforce.client import SalesforceClient
from orgserver.services.tokens.refresh_outcomes import RefreshOutcomes
from orgserver.store.orgs.refreshes import Refreshes

from . import program

POINTS = ("before-lease", "leased", "replied", "committing", "committed")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def sync(method: Callable[..., Any], *, before: bool) -> Callable[..., Any]:
    def wrapped(*args: Any, **options: Any) -> Any:
        if before:
            die()
        result = method(*args, **options)
        die()
        return result

    return wrapped


def waiting(method: Callable[..., Awaitable[Any]], *, before: bool) -> Callable[..., Awaitable[Any]]:
    async def wrapped(*args: Any, **options: Any) -> Any:
        if before:
            die()
        result = await method(*args, **options)
        die()
        return result

    return wrapped


def arm(point: str) -> None:
    match point:
        case "before-lease":
            Refreshes.begin_in = sync(Refreshes.begin_in, before=True)  # type: ignore[method-assign]
        case "leased":
            SalesforceClient.request_token = waiting(SalesforceClient.request_token, before=True)  # type: ignore[method-assign]
        case "replied":
            SalesforceClient.request_token = waiting(SalesforceClient.request_token, before=False)  # type: ignore[method-assign]
        case "committing":
            Refreshes.keep_in = sync(Refreshes.keep_in, before=False)  # type: ignore[method-assign]
        case "committed":
            RefreshOutcomes.store_answer = waiting(RefreshOutcomes.store_answer, before=False)  # type: ignore[method-assign]
        case _:
            raise SystemExit(f"there is no point {point}")


def run(arguments: Sequence[str], pipes: Mapping[int, Connection], environment: Mapping[str, str]) -> None:
    """Be such a server, forked from one that has imported the program: a point, and options of `serve`."""
    point, *options = arguments
    arm(point)
    program.run(["serve", *options], pipes, environment)
