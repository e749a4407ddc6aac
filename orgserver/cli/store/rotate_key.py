"""``orgserver rotate-key``: everything under a new master key, while servers run."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from orgserver.cli.output import Failure, print_json, report, safe
from orgserver.cli.process import app_of, operator, run, settings_of
from orgserver.services.key_rotation import Rotated


@click.command("rotate-key", epilog="Example: orgserver rotate-key --reseal")
@click.option("--reseal", is_flag=True, help="Make new data keys too: after somebody may have seen the old key.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def rotate_key(reseal: bool, as_json: bool) -> None:
    """Re-encrypt the store under a new master key. Servers go on working, and find the new key by themselves.

    A ring in a file or in the system's keyring gets its new key from this command. Where the ring comes from
    ORGSERVER_MASTER_KEY or from a program of yours, put the new key before the others there first. A rotation that
    was cut off is finished by the next one.
    """

    async def act() -> Rotated:
        async with app_of(settings_of()) as app:
            return await app.keys.rotate(operator(), reseal=reseal, progress=_progress())

    rotation = run(act())
    if as_json:
        print_json(facts_of(rotation))
    else:
        for line in lines_of(rotation):
            click.echo(safe(line))
    if rotation.unreadable:
        report(
            f"{len(rotation.unreadable)} values do not open with any key of the ring, and were left: "
            + ", ".join(rotation.unreadable[:5]),
            "put the key they need into the ring and run this again, or remove those orgs and end those logins",
        )
        raise Failure


def facts_of(rotation: Rotated) -> dict[str, Any]:
    """A rotation for machines; key ids are no secrets."""
    return {
        "key": rotation.key,
        "new_key": rotation.made,
        "resumed": rotation.resumed,
        "moved": rotation.moved,
        "resealed": rotation.resealed,
        "values_per_key": dict(rotation.usage),
        "unreadable": list(rotation.unreadable),
        "source": rotation.source,
        "seconds": round(rotation.seconds, 3),
    }


def lines_of(rotation: Rotated) -> list[str]:
    """A rotation for people, and what is left to them."""
    origin = (
        "a new key" if rotation.made else "it went on with a rotation that was cut off" if rotation.resumed else "given"
    )
    counts = f"{rotation.moved:,} values moved in {rotation.seconds:.1f} s"
    lines = [f"Everything is under key {rotation.key} now ({origin}): {counts}."]
    if rotation.resealed:
        lines.append("Every org and sign-in has a new data key, and its secrets were sealed anew with it.")
        lines.append(
            "Restart the servers: those that run still seal cursors, and mark forms at /me, with the store's key of "
            "before. The log's keys stay, or it would not verify."
        )
    return lines + _leftover(rotation.key, rotation.usage, rotation.source)


def _leftover(key: str, usage: Mapping[str, int], source: str) -> list[str]:
    old = [f"{other} ({count:,} values)" for other, count in usage.items() if other != key]
    if not old:
        return []
    once = (
        "Once `orgserver doctor` counts no value under an older key, for any store with this ring, it may be taken "
        f"out of {source}. Keep a copy of it as long as backups made before today: they open with nothing else."
    )
    return [f"Older keys: {', '.join(old)}.", once]


def _progress() -> Any:
    """Say how far it is, on a terminal."""
    if not sys.stderr.isatty():
        return lambda _done, _total: None

    def show(done: int, total: int) -> None:
        click.echo(f"\r{done:,} of {total:,}" + ("\r\033[K" if done >= total else ""), nl=False, err=True)

    return show
