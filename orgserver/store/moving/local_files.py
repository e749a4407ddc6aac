"""What lies beside a database, taken along to where the new one has it: answers that wait, and checkpoints."""

from __future__ import annotations

from pathlib import Path

from orgserver.model.errors import StoreError
from orgserver.private_files import write_whole
from orgserver.store.files import prepare_folder

_TAKEN = (".rescue-*", ".checkpoints")


def copy_files(source: Path, target: Path) -> int:
    """Copy them under their new names, durably and as often as need be: how many there are. The old ones stay."""
    copied = 0
    try:
        prepare_folder(target.parent)
        for pattern in _TAKEN:
            for path in sorted(source.parent.glob(f"{source.name}{pattern}")):
                ending = path.name.removeprefix(source.name)
                write_whole(target.with_name(f"{target.name}{ending}"), path.read_bytes(), replace=True)
                copied += 1
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise StoreError(
            f"what lies beside the store could not be copied to {target.parent}: {reason}",
            hint="check the folder and its disk, and run this again",
        ) from None
    return copied
