"""A new file for what a command writes: it appears whole or not at all, and never in place of another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from orgserver.model.errors import OperatorError
from orgserver.private_files import create, publish, staging_path


def refuse_existing(output: Path, what: str) -> None:
    """OperatorError where there is a file already."""
    if output.exists():
        raise OperatorError(f"{output} exists", hint=f"choose another name; {what} never replaces a file")


@contextmanager
def new_file(output: Path, what: str) -> Iterator[BinaryIO]:
    """A file that has its name once everything is in it."""
    refuse_existing(output, what)
    staging = staging_path(output)
    try:
        with create(staging) as file:
            yield file
        publish(staging, output)
    except FileExistsError:
        raise OperatorError(f"{output} exists", hint="choose another name") from None
    except OSError as error:
        raise OperatorError(f"{output} cannot be written: {error.strerror or type(error).__name__}") from None
    finally:
        staging.unlink(missing_ok=True)
