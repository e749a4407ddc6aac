"""Files that exports of the audit log are written to and read from, compressed where their name ends in ``.gz``."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from orgserver.model.errors import ConfigError

MAKE_ONE = "make one with: orgserver audit export --format events --output FILE"


@contextmanager
def write_text(file: BinaryIO, output: Path) -> Iterator[TextIO]:
    """Text into an open file that will be called ``output``."""
    packed: Any = gzip.GzipFile(output.stem, "wb", fileobj=file) if output.suffix == ".gz" else None
    text = io.TextIOWrapper(packed or file, "utf-8", "backslashreplace", newline="", write_through=packed is not None)
    try:
        yield text
    finally:
        text.flush()
        text.detach()
        if packed is not None:
            packed.close()


@contextmanager
def read_text(path: Path, hint: str = MAKE_ONE) -> Iterator[TextIO]:
    """The lines of an export; what is no text, or no gzip file to its end, is refused in one line, with a hint."""
    packed = path.suffix == ".gz"
    try:
        with gzip.open(path, "rt", encoding="utf-8") if packed else path.open(encoding="utf-8") as lines:
            yield lines
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is no text: it is no export of the audit log's evidence", hint=hint) from None
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise ConfigError(f"{path} is no whole gzip file: it was cut off or damaged", hint=hint) from None
