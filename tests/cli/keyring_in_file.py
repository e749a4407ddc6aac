"""A keyring of the keyring library's own interface, for processes: ``PYTHON_KEYRING_BACKEND=keyring_in_file.Keyring``."""

import json
import os
from pathlib import Path

from keyring.backend import KeyringBackend


class Keyring(KeyringBackend):
    priority = 5  # type: ignore[assignment]  # as the Secret Service has it

    def get_password(self, service: str, username: str) -> str | None:
        return self._entries().get(f"{service} {username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        _file().write_text(json.dumps(self._entries() | {f"{service} {username}": password}))

    def delete_password(self, service: str, username: str) -> None:
        left = {name: text for name, text in self._entries().items() if name != f"{service} {username}"}
        _file().write_text(json.dumps(left))

    def _entries(self) -> dict[str, str]:
        return json.loads(_file().read_text()) if _file().exists() else {}


def _file() -> Path:
    return Path(os.environ["KEYRING_FILE"])
