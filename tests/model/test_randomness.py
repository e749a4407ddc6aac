"""Random bytes that are fetched many at a time are still given out once."""

import os
import threading

import pytest

from orgserver.model.randomness import BLOCK, RandomBlocks


def test_no_two_threads_get_the_same_bytes() -> None:
    blocks = RandomBlocks()
    taken: list[bytes] = []

    def take() -> None:
        taken.extend(blocks.take(12) for _ in range(5_000))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(taken)) == 20_000
    assert {len(block) for block in taken} == {12}


def test_a_forked_process_begins_anew() -> None:
    blocks = RandomBlocks()
    blocks.take(1)
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writing, blocks.take(BLOCK))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, BLOCK) != blocks.take(BLOCK)
    os.close(reading)
    os.close(writing)


def test_more_than_a_block_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        RandomBlocks().take(BLOCK + 1)
