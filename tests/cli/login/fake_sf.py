"""A pretend ``sf`` command: a program that is found first on the PATH and prints what the real one was seen to print."""

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCRIPT = """#!%s
import json, os, subprocess, sys, time
here = os.path.dirname(os.path.abspath(__file__))
with open(here + "/calls.jsonl", "a") as calls:
    calls.write(json.dumps({"argv": sys.argv[1:], "environment": dict(os.environ)}) + "\\n")
with open(here + "/answers.json") as file:
    answers = json.load(file)
name = " ".join(sys.argv[1:])
if os.environ.get("SF_TEMP_SHOW_SECRETS") and "shown: " + name in answers:
    name = "shown: " + name
answer = answers.get(name, answers["otherwise"])
if answer.get("hang"):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    with open(here + "/child", "w") as file:
        file.write(str(child.pid))
    if answer["hang"] == "child":
        sys.exit(0)
    time.sleep(60)
mine, met = here + "/running-" + str(os.getpid()), 0
open(mine, "w").close()
end = time.monotonic() + answers.get("linger", 0)  # for as long as another that runs beside would need to come
while time.monotonic() < end and not met:
    met = sum(name.startswith("running-") for name in os.listdir(here)) - 1
os.remove(mine)
if met:
    open(here + "/met", "w").close()
sys.stderr.write(answer.get("err", ""))
sys.stdout.write(answer["out"])
sys.exit(answer["code"])
"""
REDACTED = "[REDACTED] Use 'sf org auth show-sfdx-auth-url' to view"
NOT_A_COMMAND = {
    "code": 127,
    "out": "",
    "err": " \u203a   Warning: org auth show-sfdx-auth-url is not a sf command.\n"
    " \u203a   Error: Run sf help org for a list of available commands.\n",
}


@dataclass
class FakeSf:
    folder: Path
    answers: dict[str, Any] = field(default_factory=dict)
    known: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.program.write_text(SCRIPT % sys.executable)
        self.program.chmod(0o755)
        self.answer("otherwise", NOT_A_COMMAND)

    @property
    def program(self) -> Path:
        return self.folder / "sf"

    @property
    def path(self) -> str:
        return f"{self.folder}{os.pathsep}{os.environ['PATH']}"

    @property
    def calls(self) -> list[dict[str, Any]]:
        file = self.folder / "calls.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def met(self) -> bool:
        """Whether two of them ran at once, which is noticed when they linger."""
        return (self.folder / "met").exists()

    def answer(self, command: str, answer: Any) -> None:
        self.answers[command] = answer
        (self.folder / "answers.json").write_text(json.dumps(self.answers))

    def says(self, command: str, result: object, *, code: int = 0) -> None:
        told = {"status": code, "result": result, "warnings": ["This command exposes an SFDX Auth URL."]}
        self.answer(f"{command} --json", {"code": code, "out": json.dumps(told, indent=2)})

    def fails(self, command: str, name: str, *, code: int = 1) -> None:
        told = {"name": name, "message": "CANARY of a message", "stack": "CANARY of a stack", "status": code}
        self.answer(f"{command} --json", {"code": code, "out": json.dumps(told)})

    def shows(self, name: str, url: str) -> None:
        self.says(f"org auth show-sfdx-auth-url --target-org={name}", {"sfdxAuthUrl": url})

    def knows(self, username: str, url: str | None, *, alias: str = "", method: str = "web", **more: Any) -> None:
        """An org that is logged in to; more: ``orgId``, ``instanceUrl`` and what else its list has."""
        told = {"configs": [], "username": username, "isScratchOrg": False, "isExpired": "unknown", "alias": alias}
        self.known.append(told | {"accessToken": REDACTED, "oauthMethod": method} | more)
        self.says("org list auth", self.known)
        for name in (username, alias):
            if url is not None:
                self.shows(name, url)
            else:
                self.fails(f"org auth show-sfdx-auth-url --target-org={name}", "NoRefreshTokenError")
