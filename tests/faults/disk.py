"""What a disk was asked to do, and what may be on it when the power goes in between.

What a sync covered is there. Of what was written after it, each sector of 512 bytes is there as it was at a moment of
its own, perhaps torn in the middle of its last write; a file's length follows what is there. A name leads where it led
at the last sync of the folder, or at any moment since. Bytes that a write did not touch are left alone: that is what
SQLite asks of a disk ("powersafe overwrite"), and what every disk of today promises.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

SECTOR = 512


@dataclass(frozen=True, slots=True)
class Made:
    """A name leads to a file: a new one, or one that has other names."""

    name: str
    file: int


@dataclass(frozen=True, slots=True)
class Unmade:
    """A name leads nowhere any more."""

    name: str


@dataclass(frozen=True, slots=True)
class Written:
    file: int
    at: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncated:
    file: int
    size: int


@dataclass(frozen=True, slots=True)
class Synced:
    """What was written to a file before a moment of the record is on the disk."""

    file: int
    before: int


@dataclass(frozen=True, slots=True)
class NamesSynced:
    """Every name made or unmade so far is on the disk."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Somebody was told that something is durable. No disk knows of it."""

    kind: str
    what: str


Change = Written | Truncated
Event = Made | Unmade | Change | Synced | NamesSynced | Acknowledged
Files = dict[str, bytes]


@dataclass(slots=True)
class _File:
    safe: bytearray = field(default_factory=bytearray)
    loose: list[tuple[int, Change]] = field(default_factory=list)
    """What no sync has covered, with its place in the record."""

    def sync(self, before: int) -> None:
        for place, change in self.loose:
            if place < before:
                _apply(self.safe, change)
        self.loose = [(place, change) for place, change in self.loose if place >= before]


class Disk:
    """A record, played from its beginning up to any moment."""

    def __init__(self, record: list[Event]) -> None:
        self._record = record
        self._played = 0
        self._files: dict[int, _File] = {}
        self._names: dict[str, list[int | None]] = {}
        """Where each name led at the last sync of the folder, and at every change since."""
        self.acknowledged: list[Acknowledged] = []

    def play(self, upto: int) -> None:
        """Do what was asked for before a moment of the record."""
        for place, event in enumerate(islice(self._record, self._played, upto), self._played):
            match event:
                case Made(name, file):
                    self._files.setdefault(file, _File())
                    self._names.setdefault(name, [None]).append(file)
                case Unmade(name):
                    self._names[name].append(None)
                case NamesSynced():
                    self._names = {name: led[-1:] for name, led in self._names.items()}
                case Synced(file, before):
                    self._files[file].sync(before)
                case Acknowledged():
                    self.acknowledged.append(event)
                case _:
                    self._files[event.file].loose.append((place, event))
        self._played = upto

    def cut(self, chance: random.Random) -> Files:
        """What is found afterwards. Often nothing that was loose is there, or all of it."""
        kind = chance.choice(("nothing", "everything", "something", "something"))
        contents: dict[int, bytes] = {}
        found: Files = {}
        for name, led in sorted(self._names.items()):
            file = chance.choice({"nothing": led[:1], "everything": led[-1:]}.get(kind, led))
            if file is None:
                continue
            if file not in contents:
                contents[file] = _found(self._files[file], kind, chance)
            found[name] = contents[file]
        return found


def _found(file: _File, kind: str, chance: random.Random) -> bytes:
    content = bytearray(file.safe)
    if kind == "nothing":
        return bytes(content)
    moments: dict[int, int] = {}
    """How many of the loose changes had been made when each sector came to the disk."""
    count = len(file.loose)
    for number, (_, change) in enumerate(file.loose):
        if kind == "everything" or (isinstance(change, Truncated) and chance.random() < 0.5):
            _apply(content, change)
            continue
        for piece in _sectors(change):
            sector = piece.at // SECTOR
            if sector not in moments:
                moments[sector] = chance.choice((0, count, chance.randint(0, count)))
            if number < moments[sector]:
                _apply(content, piece)
            elif number == moments[sector] and chance.random() < 0.5:
                _apply(content, _torn(piece, chance))
    return bytes(content)


def _sectors(change: Change) -> Iterator[Written]:
    """A write, sector by sector; a truncation that did not reach the disk is nothing."""
    if isinstance(change, Truncated):
        return
    at, end = change.at, change.at + len(change.data)
    while at < end:
        stop = min(end, (at // SECTOR + 1) * SECTOR)
        yield Written(change.file, at, change.data[at - change.at : stop - change.at])
        at = stop


def _torn(piece: Written, chance: random.Random) -> Written:
    """The beginning or the end of a write within one sector."""
    middle = chance.randrange(len(piece.data) + 1)
    if chance.random() < 0.5:
        return Written(piece.file, piece.at, piece.data[:middle])
    return Written(piece.file, piece.at + middle, piece.data[middle:])


def _apply(content: bytearray, change: Change) -> None:
    if isinstance(change, Truncated):
        del content[change.size :]
        content.extend(bytes(change.size - len(content)))
        return
    if len(content) < change.at:
        content.extend(bytes(change.at - len(content)))
    content[change.at : change.at + len(change.data)] = change.data


def acknowledged(events: Iterable[Event]) -> list[int]:
    """The moments just after somebody was told something: where a loss shows best."""
    return [place + 1 for place, event in enumerate(events) if isinstance(event, Acknowledged)]
