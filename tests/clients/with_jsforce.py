"""jsforce: a log-in in the browser, and a refresh token that rotates."""

from __future__ import annotations

from pathlib import Path

from .npm import Packages
from .running import run
from .sandbox import Served


async def jsforce(served: Served, packages: Packages, folder: Path) -> None:
    """Run the script beside this file."""
    org = served.org
    environment = {
        "PACKAGES": str(packages.folder.resolve()),
        "URL": org["url"],
        "CLIENT_ID": org["client_id"],
        "CLIENT_SECRET": org["client_secret"],
        "REFRESH_TOKEN": org["refresh_token"],
        "CALLBACK": served.callback,
        "NODE_EXTRA_CA_CERTS": served.ca_file,
        "PATH": packages.path,
        "HOME": str(folder),
    }
    ran = await run("node", str(Path(__file__).with_name("jsforce.mjs")), environment=environment)
    print(ran.stdout, end="")
    assert ran.code == 0, ran.stderr
