"""``orgserver sandbox``: what its options give to each of its orgs."""

import asyncio
import json
import time
from pathlib import Path

import httpx
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from orgserver.model.names import to_18
from tests.cli.shells import SECONDS, Shell

KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
PUBLIC = serialization.PublicFormat.SubjectPublicKeyInfo


async def test_two_sandboxes_may_have_other_orgs_and_take_signed_assertions(shell: Shell, tmp_path: Path) -> None:
    key_file = tmp_path / "key.pub.pem"
    key_file.write_bytes(KEY.public_key().public_bytes(serialization.Encoding.PEM, PUBLIC))
    options = ("--orgs", "1", "--first-org", "4", "--jwt-public-key", str(key_file))
    process = await shell.start("sandbox", *options)
    assert process.stdout is not None
    async with asyncio.timeout(SECONDS):
        printed = b""
        while not printed.endswith(b"\n}\n"):
            printed += await process.stdout.readline()
        (org,) = json.loads(printed)["orgs"]
        claims = {"iss": org["client_id"], "sub": org["username"], "aud": org["url"], "exp": int(time.time()) + 180}
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": jwt.encode(claims, KEY, algorithm="RS256"),
        }
        async with httpx.AsyncClient(base_url=org["url"]) as web:
            reply = await web.post("/services/oauth2/token", data=form)
        process.terminate()
        await process.communicate()

    assert (org["alias"], org["org_id"]) == ("umbrella", to_18("00DSb0003000001"))
    assert reply.status_code == 200, reply.text
    assert reply.json()["id"].startswith(f"{org['url']}/id/{org['org_id']}/")


async def test_a_public_key_that_is_none_is_refused(shell: Shell, tmp_path: Path) -> None:
    key_file = tmp_path / "key.pub.pem"
    key_file.write_text("no key")

    refused = await shell("sandbox", "--jwt-public-key", str(key_file))

    assert (refused.code, refused.out) == (1, "")
    assert "no RSA public key" in refused.err
