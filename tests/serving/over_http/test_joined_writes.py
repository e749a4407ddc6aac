"""An answer's head and body are written together, and nothing that was written is lost when a connection closes."""

import asyncio
from typing import Any

from orgserver.serving.http.connections.joined_writes import JoinedWrites


class Transport:
    """Remembers what is written at once."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.writelines([data])

    def writelines(self, parts: list[bytes]) -> None:
        assert not self.is_closed
        self.writes.append(b"".join(parts))

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


def open_writes() -> tuple[Transport, JoinedWrites]:
    transport: Any = Transport()
    return transport, JoinedWrites(transport, asyncio.get_running_loop())


async def test_what_comes_in_one_turn_is_written_at_once_and_by_its_end() -> None:
    transport, writes = open_writes()
    writes.write(b"head")
    writes.write(b"body")
    assert transport.writes == []
    await asyncio.sleep(0)
    writes.write(b"event")
    await asyncio.sleep(0)

    assert transport.writes == [b"headbody", b"event"]


async def test_a_whole_answer_and_a_close_do_not_wait_for_the_turn_to_end() -> None:
    transport, writes = open_writes()
    writes.write(b"head")
    writes.write(b"body")
    writes.flush()
    assert transport.writes == [b"headbody"]
    writes.write(b"last")
    writes.close()
    await asyncio.sleep(0)

    assert transport.writes == [b"headbody", b"last"]
    assert writes.is_closing()


async def test_what_is_whole_is_written_at_once_behind_what_has_come() -> None:
    transport, writes = open_writes()
    writes.write(b"continue")
    writes.write_now(b"answer")
    writes.write_now(b"next")
    assert transport.writes == [b"continueanswer", b"next"]
    transport.close()
    writes.write_now(b"late")
    await asyncio.sleep(0)

    assert transport.writes == [b"continueanswer", b"next"]
