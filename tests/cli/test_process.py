"""Ctrl-C cancels a command between two steps of its event loop, never in the middle of one."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from orgserver.cli.process import run


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


def test_a_future_that_is_being_settled_is_not_cancelled_under_the_hands_of_its_callback() -> None:
    seen: list[bool] = []

    async def action() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def settle() -> None:
            assert not future.done()
            os.kill(os.getpid(), signal.SIGINT)
            seen.append(future.done())

        asyncio.get_running_loop().call_soon(settle)
        await future

    with pytest.raises(KeyboardInterrupt):
        run(action())

    assert seen == [False]


def test_the_action_leaves_things_in_order() -> None:
    left: list[str] = []

    async def action() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            left.append("in order")

    with pytest.raises(KeyboardInterrupt):
        run(action())

    assert left == ["in order"]


def test_a_second_one_interrupts_what_holds_up_the_loop() -> None:
    async def action() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError

    with pytest.raises(KeyboardInterrupt):
        run(action())


def test_without_it_the_action_answers_or_fails_as_it_does() -> None:
    async def answer() -> int:
        return 7

    async def cancelled() -> None:
        raise asyncio.CancelledError

    assert run(answer()) == 7
    with pytest.raises(asyncio.CancelledError):
        run(cancelled())


def test_a_shell_that_ignores_ctrl_c_is_heeded() -> None:
    async def action() -> str:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0)
        return "whole"

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert run(action()) == "whole"
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
