"""Random bytes of the operating system, fetched many at a time.

Each fetch lets go of the interpreter, which wakes another thread of a busy server for nothing.
"""

import os

BLOCK = 16
_BLOCKS_A_FETCH = 256


class RandomBlocks:
    """Blocks of random bytes, each given out once, to whichever thread asks; a forked process begins anew."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        if hasattr(os, "register_at_fork"):  # not on Windows
            os.register_at_fork(after_in_child=self._blocks.clear)

    def take(self, size: int) -> bytes:
        """So many random bytes, at most a block."""
        if size > BLOCK:
            raise ValueError(f"a block has {BLOCK} bytes")
        try:
            return self._blocks.pop()[:size]  # one step for the interpreter: no two threads get the same
        except IndexError:
            fetched = os.urandom(BLOCK * _BLOCKS_A_FETCH)
            first, *others = (fetched[start : start + BLOCK] for start in range(0, len(fetched), BLOCK))
            self._blocks.extend(others)
            return first[:size]


take_random_bytes = RandomBlocks().take
"""The process's own: it only spares fetches, and nothing depends on what it holds."""
