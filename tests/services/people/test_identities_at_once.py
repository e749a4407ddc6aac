"""Keys and subjects are compared with the store's version at each request: one question for all who ask at once."""

import asyncio
from types import SimpleNamespace
from typing import Any

from orgserver.app import App
from orgserver.services.people.identities import Identities
from orgserver.store.catalog_version import changed_in


class Asked:
    """A reader that has to ask, as on a server; it counts what it is asked, and how often it was read anew."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self.questions = self.readings = 0
        self.version_reader = self
        self.write = database.write

    def read_of_turn(self) -> None:
        return None

    async def ask_version(self) -> int:
        self.questions += 1
        await asyncio.sleep(0.001)
        return int(await self._database.version_reader.ask_version())

    def reading(self) -> Any:
        self.readings += 1
        return self._database.reading()


async def test_a_hundred_requests_wait_for_no_more_than_one_reading(app: App) -> None:
    asked = Asked(app.store.database)
    identities = Identities(SimpleNamespace(database=asked))  # type: ignore[arg-type]

    first = await asyncio.gather(*(identities.current() for _ in range(100)))
    same = await asyncio.gather(*(identities.current() for _ in range(100)))
    await asked.write(changed_in)
    later = await asyncio.gather(*(identities.current() for _ in range(100)))

    assert len({id(each) for each in first + same}) == 1
    assert {each.version for each in later} == {first[0].version + 1}
    assert asked.readings == 2
    assert asked.questions == 300  # each its own: the reader makes one of those that come together
