"""Reads a large JSON text in short steps: while one lasts, nothing else in this process can run.

A reader in C holds the interpreter for as long as the text that it is given. So it is given what stands side by side in
a list or an object, up to 32 KiB at a time. What is larger is opened here, and its parts are read in the same way.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from orgserver.salesforce.protocol.json_values import MAX_DEPTH, TooCostly, TooDeep, read_value
from orgserver.salesforce.protocol.large_containers import LargeContainers, Rest

STEP = 32 * 1024
"""Bytes of a step."""
_MOST_BRACKETS, _SHORTEST_STEP = 2_000, 4 * 1024
"""Lists and objects that are looked for in one step, which is shorter where there are many."""
_SCANS, _MORE_SCANS = 8, 2 * MAX_DEPTH
"""How often a text may be gone through, on average, to find its parts: honest ones need two to five. And steps more."""
_LONGEST_WIDE = 8 * 1024 * 1024
"""Characters of one text that is not all ASCII: to put a longer one together would be a long step itself."""
_BRACKETS = re.compile(rb"[\[\]{}]")
_BLANKS = re.compile(rb"[ \t\r\n]*")
_LETTERS = re.compile(rb'[^"\\]*(?:\\(?:u.{4}|[^u])[^"\\]*)*', re.DOTALL)
"""Of a text, up to its end or that of the step; an escape is not cut."""
_SCALAR = re.compile(rb"[-+.0-9A-Za-z]*")
_CONTINUES, _CONTINUATION = 0xC0, 0x80
"""A byte that continues a character of UTF-8, by its first two bits."""


class _Part(NamedTuple):
    """What can be read at once."""

    end: int
    """Where its text ends."""
    closes: bool
    """Whether the end of what it is in comes next, and not another part."""


class _Container:
    """A list or an object that is being read, and the name that its next value has there."""

    __slots__ = ("_large", "begin", "end", "must_go_on", "name", "values")

    def __init__(self, begin: bytes, containers: LargeContainers) -> None:
        self.begin = begin
        self.end = b"]" if begin == b"[" else b"}"
        self.values: Any = [] if begin == b"[" else {}
        self._large = containers.add(self.values)
        self.name: Any = None
        self.must_go_on = False
        """Whether a comma was the last that came."""

    def put(self, value: Any) -> None:
        if self.begin == b"[":
            self.values.append(value)
        else:
            self.values[self.name] = value
        self._large.end_step()

    def put_all(self, values: Any) -> None:
        if self.begin == b"[":
            self.values += values
        else:
            self.values.update(values)
        self._large.end_step()


class LargeReader:
    """Reads one text."""

    def __init__(
        self,
        content: bytes,
        rest: Rest | None = None,
        step: int = STEP,
        containers: LargeContainers | None = None,
    ) -> None:
        """``containers`` has what is larger than a step, for whoever gives it back."""
        self._containers = containers if containers is not None else LargeContainers()
        self._content = content
        self._rest = rest
        self._step = step
        self._position = 0
        self._scanned = 0
        self._open = [_Container(b"[", LargeContainers())]
        """What is being read, in a list that has the value of the whole text."""

    def read(self) -> Any:
        """The value; ValueError where the text is no JSON, TooDeep among them."""
        self._skip_blanks()
        self._read_value()
        while len(self._open) > 1:
            self._read_part()
            self._pause()
        self._skip_blanks()
        if self._position < len(self._content):
            raise _invalid()
        return self._open[0].values[0]

    def _read_part(self) -> None:
        """Read what can be read at once of the innermost list or object, or open what is too large for that."""
        window = self._next_window()
        self._scanned += len(window)
        if self._scanned > _SCANS * len(self._content) + _MORE_SCANS * self._step:
            raise TooDeep
        part = _find_part(window, MAX_DEPTH + 1 - len(self._open))
        if part is None:
            self._read_large()
            return
        inner = self._open[-1]
        values = read_value(inner.begin + window[: part.end] + inner.end)
        if not values and (inner.must_go_on or not part.closes):
            raise _invalid()
        inner.put_all(values)
        self._position += part.end + 1
        inner.must_go_on = not part.closes
        if part.closes:
            if window[part.end : part.end + 1] != inner.end:
                raise _invalid()
            self._close()

    def _next_window(self) -> bytes:
        window = self._content[self._position : self._position + self._step]
        while len(window) > _SHORTEST_STEP and window.count(b"[") + window.count(b"{") > _MOST_BRACKETS:
            window = window[: len(window) // 2]
        return window

    def _close(self) -> None:
        """Go on with what the innermost list or object is in."""
        inner = self._open.pop()
        self._open[-1].put(inner.values)
        self._pass_comma()

    def _read_large(self) -> None:
        """Begin to read what is larger than a step."""
        if self._skip_blanks():
            return
        inner = self._open[-1]
        if inner.begin == b"{":
            inner.name = self._read_text()
            self._skip_blanks()
            self._pass_sign(b":")
            self._skip_blanks()
        self._read_value()

    def _read_value(self) -> None:
        sign = self._sign()
        if sign in (b"[", b"{"):
            if len(self._open) > MAX_DEPTH:
                raise TooDeep
            self._position += 1
            self._open.append(_Container(sign, self._containers))
            return
        if sign == b'"':
            value = self._read_text()
        else:
            match = self._match(_SCALAR)
            value = read_value(match)
        self._open[-1].put(value)
        self._pass_comma()

    def _pass_comma(self) -> None:
        """Go on behind a value: to the next one, or to the end of what it is in."""
        inner = self._open[-1]
        inner.must_go_on = False
        if len(self._open) == 1:
            return
        self._skip_blanks()
        if self._sign() != inner.end:
            self._pass_sign(b",")
            inner.must_go_on = True

    def _read_text(self) -> str:
        self._pass_sign(b'"')
        parts: list[str] = []
        while True:
            begin = self._position
            letters = self._match(_LETTERS)
            if self._sign() == b'"':
                self._position += 1
                return _join([*parts, read_value(b'"' + letters + b'"')])
            while self._position > begin and _is_inside_character(self._content, self._position):
                self._position -= 1
            if self._position == begin:
                raise _invalid()
            parts.append(read_value(b'"' + self._content[begin : self._position] + b'"'))
            self._pause()

    def _match(self, pattern: re.Pattern[bytes]) -> bytes:
        """Pass what a pattern takes, up to a step."""
        match = pattern.match(self._content, self._position, self._position + self._step)
        assert match is not None  # noqa: S101  # each takes nothing, too
        self._position = match.end()
        return match[0]

    def _skip_blanks(self) -> bool:
        """Pass blanks; whether there were any."""
        begin = self._position
        while len(self._match(_BLANKS)) == self._step:
            self._pause()
        return self._position > begin

    def _sign(self) -> bytes:
        return self._content[self._position : self._position + 1]

    def _pass_sign(self, sign: bytes) -> None:
        if self._sign() != sign:
            raise _invalid()
        self._position += 1

    def _pause(self) -> None:
        if self._rest is not None:
            self._rest()


def _find_part(window: bytes, most: int) -> _Part | None:
    """What can be read at once, from the beginning of a part of a list or an object; None where its first is too large.

    Nothing is judged but where texts, lists and objects begin and end: whoever reads the part finds what is wrong.
    TooDeep where more lists and objects than ``most`` are inside of each other.
    """
    texts = window.replace(b"\\\\", b"..").replace(b'\\"', b"..").split(b'"')
    outside = b'"'.join(texts[::2])
    """A sign for each text."""
    depth = begin = 0
    flat: list[tuple[int, int]] = []
    """Where no list or object is open, from and to."""
    for bracket in _BRACKETS.finditer(outside):
        place = bracket.start()
        if outside[place] in b"[{":
            if not depth:
                flat.append((begin, place))
            depth += 1
            if depth > most:
                raise TooDeep
        elif depth:
            depth -= 1
            begin = place + 1
        else:
            return _Part(_place_in_window(texts, outside, place), closes=True)
    if not depth:
        flat.append((begin, len(outside)))
    for begin, end in reversed(flat):
        comma = outside.rfind(b",", begin, end)
        if comma >= 0:
            return _Part(_place_in_window(texts, outside, comma), closes=False)
    return None


def _place_in_window(texts: list[bytes], outside: bytes, place: int) -> int:
    passed = outside.count(b'"', 0, place)
    return place + passed + sum(map(len, texts[1 : 2 * passed : 2]))


def _is_inside_character(content: bytes, place: int) -> bool:
    return place < len(content) and content[place] & _CONTINUES == _CONTINUATION


def _join(parts: list[str]) -> str:
    """Put the parts of a text together; two halves of a surrogate pair, if a step ended between them, are one."""
    if sum(map(len, parts)) > _LONGEST_WIDE and not all(map(str.isascii, parts)):
        raise TooCostly("one of its texts is too long")
    for number in range(len(parts) - 1):
        pair = parts[number][-1:] + parts[number + 1][:1]
        if "\ud800" <= pair[:1] <= "\udbff" and "\udc00" <= pair[1:] <= "\udfff":
            parts[number] = parts[number][:-1] + pair.encode("utf-16", "surrogatepass").decode("utf-16")
            parts[number + 1] = parts[number + 1][1:]
    return "".join(parts)


def _invalid() -> ValueError:
    return ValueError("it is not valid JSON")
