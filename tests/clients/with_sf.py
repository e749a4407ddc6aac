"""The sf command: log-ins by auth URL, by assertion and in the browser; what it shows, and what it asks."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from .npm import Packages
from .running import run
from .sandbox import Served

_CONTACTS = "SELECT Id, LastName, Account.Name FROM Contact ORDER BY LastName"


@dataclass(frozen=True, slots=True)
class Home:
    """A home folder in which sf keeps its orgs."""

    served: Served
    packages: Packages
    folder: Path

    async def sf(self, *arguments: str) -> Any:
        """The result of a command."""
        command = ("sf", *arguments, "--json")
        print(f"$ {' '.join(command).replace(str(self.folder), '~')}", flush=True)
        ran = await run(*command, environment=self.environment())
        told = json.loads(ran.stdout or "{}")
        assert ran.code == 0, told.get("message", ran.stderr)
        return told["result"]

    def environment(self) -> dict[str, str]:
        """What keeps sf to this folder and this machine."""
        return {
            "HOME": str(self.folder),
            "PATH": self.packages.path,
            "NODE_EXTRA_CA_CERTS": self.served.ca_file,
            "BROWSER": str(self.folder / "browser"),
            "SF_USE_GENERIC_UNIX_KEYCHAIN": "true",
            "SF_DISABLE_TELEMETRY": "true",
            "SF_DISABLE_LOG_FILE": "true",
            "SF_DOMAIN_RETRY": "0",
            "SF_DISABLE_DNS_CHECK": "true",
            "SF_AUTOUPDATE_DISABLE": "true",
            "SF_SKIP_NEW_VERSION_CHECK": "true",
        }


async def sf(served: Served, packages: Packages, folder: Path) -> None:
    """Log in, work, let the session end, work on."""
    home = Home(served, packages, folder)
    await _by_auth_url(home)
    await _work(home)
    await _by_assertion(home)
    await _by_browser(home)


async def _by_auth_url(home: Home) -> None:
    file = home.folder / "auth-url"
    file.write_text(home.served.auth_url)
    told = await home.sf("org", "login", "sfdx-url", "--sfdx-url-file", str(file), "--alias", "acme")
    print(f"   {told['username']} in {told['name']}, API {told['instanceApiVersion']}")
    told = await home.sf("org", "display", "--target-org", "acme")
    assert told["connectedStatus"] == "Connected", told
    print(f"   {told['connectedStatus']}, access token {told['accessToken']}")


async def _work(home: Home) -> None:
    told = await home.sf("data", "query", "--target-org", "acme", "--query", _CONTACTS)
    print(f"   {told['totalSize']} records: {', '.join(each['LastName'] for each in told['records'])}")
    values = "LastName='Byron' Title='Poet'"
    made = await home.sf("data", "create", "record", "--target-org", "acme", "--sobject", "Contact", "--values", values)
    record = ("--target-org", "acme", "--sobject", "Contact", "--record-id", made["id"])
    print(f"   {(await home.sf('data', 'get', 'record', *record))['Title']}")
    await home.sf("data", "delete", "record", *record)
    await home.served.control.post("/sandbox/expire")
    print("-- every session ends; sf refreshes and keeps the rotated token:")
    for _ in range(2):
        told = await home.sf("data", "query", "--target-org", "acme", "--query", "SELECT Name FROM Organization")
        print(f"   {told['records'][0]['Name']}")
        await home.served.control.post("/sandbox/expire")
    (login, *_others) = (await home.served.control.get("/sandbox/tokens")).json()
    assert (login["generation"], login["revoked"]) == (3, False), login


async def _by_assertion(home: Home) -> None:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    await home.served.control.post("/sandbox/knobs", json={"jwt_public_key": public.decode(), "connected_app": True})
    file = home.folder / "app.key"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    org = home.served.org
    told = await home.sf(
        "org", "login", "jwt", "--client-id", org["client_id"], "--jwt-key-file", str(file),
        "--username", org["username"], "--instance-url", org["url"], "--alias", "by-jwt",
    )  # fmt: skip
    print(f"   {told['username']} in {told['name']}")
    await _query(home, "by-jwt")


async def _by_browser(home: Home) -> None:
    """sf opens the browser that BROWSER names; this one follows redirects and shows nothing.

    It works in the background, since sf listens only when the command that opened the browser has ended; and it tries
    again when it was too early and got no answer.
    """
    curl = shutil.which("curl")
    assert curl is not None, "curl is wanted as a browser"
    browser = home.folder / "browser"
    again = "--max-time 10 --retry 5 --retry-all-errors"
    browser.write_text(f'#!/bin/sh\n{curl} -sL {again} --cacert "$NODE_EXTRA_CA_CERTS" -o /dev/null "$1" &\n')
    browser.chmod(0o700)
    told = await home.sf("org", "login", "web", "--instance-url", home.served.org["url"], "--alias", "by-web")
    print(f"   {told['username']} in {told['name']}, app {told['clientId']}")
    await _query(home, "by-web")


async def _query(home: Home, alias: str) -> None:
    told = await home.sf("data", "query", "--target-org", alias, "--query", _CONTACTS)
    print(f"   {told['totalSize']} records")
