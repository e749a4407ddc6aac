"""Lines that are written to a pipe together, and those that are still to be written at its end."""

import asyncio
import os
from collections.abc import Iterator

import pytest

from orgserver.serving import descriptors


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    os.set_blocking(ends[0], False)
    yield ends
    for each in ends:
        os.close(each)


async def test_what_comes_in_one_turn_of_the_event_loop_is_written_in_its_order_and_at_once(
    pipe: tuple[int, int],
) -> None:
    reading, writing = pipe
    async with descriptors._writing(writing) as sink:
        await sink.write(b"one\n")
        await sink.write(b"two\n")
        with pytest.raises(BlockingIOError):
            os.read(reading, 100)
        await asyncio.sleep(0)
        assert os.read(reading, 100) == b"one\ntwo\n"


async def test_what_was_not_written_yet_is_written_at_the_end(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    async with descriptors._writing(writing) as sink:
        await sink.write(b"last\n")

    assert os.read(reading, 100) == b"last\n"
