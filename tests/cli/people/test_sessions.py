"""Sessions of sign-in on the command line: seen, and ended."""

import json

from orgserver.app import open_app
from orgserver.config import read_settings
from tests.cli.shells import Shell
from tests.store.signin.world import CLIENT, ISSUER, World


async def sign_in(shell: Shell) -> list[str]:
    """Two sessions of ada and one of bob; their ids."""
    async with open_app(read_settings({"home": shell.home}, {})) as app:
        world = World(app.store)
        await world.add_people("ada", "bob")
        return [await world.sign_in("1"), await world.sign_in("2"), await world.sign_in("3", "bob")]


async def test_sessions_are_listed_and_those_of_one_principal_alone(shell: Shell) -> None:
    nobody = await shell("list-sessions")
    first, second, third = await sign_in(shell)

    listed = await shell("list-sessions", "--wide")
    of_bob = json.loads((await shell("list-sessions", "--principal", "bob", "--json")).out)
    strange = await shell("list-sessions", "--principal", "carol")

    assert (nobody.code, nobody.err) == (0, "Nobody is signed in.\n")
    for words in (first, second, third, "client.example", "Client", "Ada", "Bob", "orgs:read, orgs:write"):
        assert words in listed.out
    (session,) = of_bob
    assert session.items() >= {
        "id": third, "kind": "client", "principal": "bob", "person": "Bob", "client_id": CLIENT.client_id,
        "redirect_host": "client.example", "live": True, "ended_at": None,
        "subject": {"issuer": ISSUER, "subject": "bob"},
    }.items()  # fmt: skip
    assert (strange.code, "there is no principal carol" in strange.err) == (1, True)


async def test_a_session_is_ended_by_the_beginning_of_its_id_and_seen_for_a_while(shell: Shell) -> None:
    first, second, third = await sign_in(shell)

    unasked = await shell("revoke-session", first)
    ended = await shell("revoke-session", first, "--yes")
    again = await shell("revoke-session", first, "--yes")
    of_ada = await shell("revoke-session", "--principal", "ada", "--yes")
    wrong = await shell("revoke-session", "--principal", "ada", first)
    live = json.loads((await shell("list-sessions", "--json")).out)
    every = json.loads((await shell("list-sessions", "--ended", "--json")).out)

    assert (unasked.code, "no session was ended: nobody is here to confirm it" in unasked.err) == (1, True)
    assert (ended.code, ended.out) == (0, f"{first}: ended\n")
    assert (again.code, f"there is no session {first}" in again.err) == (1, True)
    assert of_ada.out == f"{second}: ended\n"
    assert wrong.code == 2
    assert [each["id"] for each in live] == [third]
    assert {each["id"]: each["ended_why"] for each in every} == {first: "revoked", second: "revoked", third: None}
    assert "revoked" in (await shell("list-sessions", "--ended", "--wide")).out


async def test_disabling_a_principal_names_the_sessions_that_it_ended(shell: Shell) -> None:
    first, second, _ = await sign_in(shell)

    disabled = await shell("update-principal", "ada", "--disable")

    assert {f"ada: session {each} has ended" for each in (first, second)} <= set(disabled.out.splitlines())
