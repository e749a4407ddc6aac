"""The homes that servers are measured with: an org that was added by the command line, its secrets sealed."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

STORES = Path(__file__).with_name("stores.py")


def environment(home: Path | str | None = None) -> dict[str, str]:
    """That of this process, without what would point a server elsewhere."""
    own = {n: v for n, v in os.environ.items() if not n.startswith("ORGSERVER_") and n != "PYTHONPATH"}
    return own | ({"ORGSERVER_HOME": str(home), "ORGSERVER_LOG_LEVEL": "warning"} if home is not None else {})


def register(home: Path | str, port: int, alias: str = "bench", python: str = sys.executable) -> None:
    """Add the org that answers at a port."""
    credential = {
        "client_id": "bench",
        "client_secret": "bench",
        "refresh_token": f"5Aep{alias}",
        "login_url": f"http://127.0.0.1:{port}",
        "instance_url": f"http://127.0.0.1:{port}",
        "trust_hosts": [f"127.0.0.1:{port}"],
    }
    _run([*script(python), "add-org", alias, "--credentials-stdin"], home, json.dumps(credential))


@dataclass(frozen=True)
class Participant:
    """One orgserver that is measured: the one of a Python environment."""

    name: str
    python: str
    source: str = field(default="", compare=False)
    """Where its code lies."""

    @classmethod
    def of(cls, name: str, python: str) -> "Participant":
        """The one that this Python imports from anywhere but the present folder."""
        show = "import orgserver, pathlib; print(pathlib.Path(orgserver.__file__).parent.parent)"
        done = subprocess.run([python, "-P", "-c", show], env=environment(), check=True, capture_output=True, text=True)
        return cls(name, python, done.stdout.strip())

    def command(self, *arguments: str) -> list[str]:
        """How its command line is called."""
        return [*script(self.python), *arguments]

    def make_home(self, home: Path, *, fast: int, slow: int) -> Path:
        """A home with the quick org and the slow one."""
        register(home, fast, "bench", self.python)
        register(home, slow, "slow", self.python)
        return home

    def fill(self, what: str, home: Path, count: int) -> str:
        """Put many rows into a home's store, by this version's own code; what that prints."""
        return _run([self.python, "-P", str(STORES), what, str(home), str(count)], home)


def script(python: str) -> list[str]:
    script = Path(python).with_name("orgserver")
    return [str(script)] if script.exists() else [python, "-P", "-m", "orgserver"]


def _run(command: list[str], home: Path | str, text: str = "") -> str:
    done = subprocess.run(
        command, check=False, input=text, env=environment(home), capture_output=True, text=True, cwd="/"
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2_000:]}")
    return done.stdout
