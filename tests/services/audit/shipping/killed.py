"""A process that writes entries and ships them until it is killed: ``python -m … HOME PLACE``."""

import asyncio
import sys

from orgserver.app import open_app
from orgserver.config import read_settings
from tests.services.audit.shipping.logs import CALLER, write


async def main(home: str, place: str) -> None:
    async with open_app(read_settings({"home": home})) as app:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            await write(app.store, 1)
            await app.shipper(place).ship(CALLER)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
