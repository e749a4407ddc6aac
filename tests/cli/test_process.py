"""Ctrl-C cancels a command between two steps of its event loop, never in the middle of one; threads share a heap."""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import subprocess
import sys
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


HEAPS = """
import ctypes, sys, threading
from orgserver.cli.process import share_one_heap

if "one" in sys.argv:
    share_one_heap()
thread = threading.Thread(target=lambda: [bytes(3_000) for _ in range(1_000)])
thread.start()
thread.join()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.malloc_info(0, libc.fdopen(1, b"w"))
libc.fflush(None)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="its heaps are glibc's")
def test_threads_allocate_from_one_heap() -> None:
    heaps = [
        subprocess.run([sys.executable, "-c", HEAPS, *words], capture_output=True, text=True, check=True).stdout
        for words in ([], ["one"])
    ]

    assert [text.count("<heap nr=") for text in heaps] == [2, 1]
