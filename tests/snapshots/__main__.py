"""Renew the files that say how each tool is listed: ``python -m tests.snapshots``."""

from __future__ import annotations

from .listed_tools import FOLDER, texts


def renew() -> None:
    """Write each tool's file anew, and remove those of tools that are gone."""
    FOLDER.mkdir(exist_ok=True)
    files = texts()
    for path in FOLDER.glob("*.json"):
        if path.name not in files:
            path.unlink()
            print(f"removed {path.name}")
    for name, text in files.items():
        path = FOLDER / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            print(f"wrote {name}")


if __name__ == "__main__":
    renew()
