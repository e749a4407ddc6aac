"""The clients that can be connected: the file each reads its MCP servers from, and the form of an entry there.

Sources: the clients' own documentation, and for Claude Code, Gemini and Codex what their commands write themselves
(``python -m tests.clients.configured`` compares).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_CLAUDE_HOME, _CODEX_HOME, _GEMINI_HOME = "CLAUDE_CONFIG_DIR", "CODEX_HOME", "GEMINI_CLI_HOME"


@dataclass(frozen=True, slots=True)
class Machine:
    """What decides where files are."""

    platform: str
    home: Path
    environ: Mapping[str, str]

    @classmethod
    def this(cls) -> Machine:
        """The one this runs on."""
        return cls(sys.platform, Path.home(), os.environ)

    def folder(self, variable: str, otherwise: Path) -> Path:
        """The folder that a variable names, if its path is absolute."""
        folder = Path(self.environ.get(variable, ""))
        return folder if folder.is_absolute() else otherwise

    def client_home(self, variable: str, otherwise: Path) -> Path:
        """The folder that a variable of a client names; clients take a relative one from where they are started."""
        folder = self.environ.get(variable)
        return Path(folder).absolute() if folder else otherwise

    @property
    def programs(self) -> Path:
        """Where desktop programs keep their own folders (Electron's ``appData``)."""
        if self.platform == "win32":
            return self.folder("APPDATA", self.home / "AppData" / "Roaming")
        if self.platform == "darwin":
            return self.home / "Library" / "Application Support"
        return self.folder("XDG_CONFIG_HOME", self.home / ".config")


def _claude_code(machine: Machine) -> Path:
    """Where the file of its older versions is still there, it reads that and no other."""
    older = machine.client_home(_CLAUDE_HOME, machine.home / ".claude") / ".config.json"
    return older if older.exists() else machine.client_home(_CLAUDE_HOME, machine.home) / ".claude.json"


def _claude_desktop(machine: Machine) -> Path:
    """On Windows the newer builds are packages, which are shown another folder as their own."""
    folder = machine.programs / "Claude"
    if machine.platform == "win32":
        local = machine.folder("LOCALAPPDATA", machine.home / "AppData" / "Local")
        packaged = [*local.glob("Claude-Data/claude_*"), *local.glob("Packages/Claude_*/LocalCache/Roaming/Claude")]
        folder = next((each for each in packaged if each.is_dir()), folder)
    return folder / "claude_desktop_config.json"


def _codex(machine: Machine) -> Path:
    return machine.client_home(_CODEX_HOME, machine.home / ".codex") / "config.toml"


def _gemini(machine: Machine) -> Path:
    return machine.client_home(_GEMINI_HOME, machine.home) / ".gemini" / "settings.json"


def _cursor(machine: Machine) -> Path:
    return machine.home / ".cursor" / "mcp.json"


def _vscode(machine: Machine) -> Path:
    return machine.programs / "Code" / "User" / "mcp.json"


def _windsurf(machine: Machine) -> Path:
    return machine.home / ".codeium" / "windsurf" / "mcp_config.json"


@dataclass(frozen=True, slots=True)
class Program:
    """One client."""

    name: str
    title: str
    user_file: Callable[[Machine], Path]
    project_file: str | None
    """Below the folder of a project; None where the client has no such file."""
    after: str
    """What a person does then."""
    servers: str = "mcpServers"
    """The key under which the servers stand."""
    form: Literal["json", "toml"] = "json"
    names_transport: bool = False
    """Whether an entry names its transport."""
    after_project: str | None = None
    home_variable: str | None = None
    """The environment variable that moves the folder of its files."""
    folders: str | None = None
    """The key under which the same file has servers of single folders, which win there over those of the person."""

    @property
    def switch(self) -> str:
        """The key by which a person switches an entry off."""
        return "enabled" if self.form == "toml" else "disabled"

    @property
    def switched_on(self) -> bool:
        """What that key says of an entry that is used."""
        return self.form == "toml"

    @property
    def expands(self) -> bool:
        """Whether a ``$`` in an entry means a variable."""
        return self.form == "json"


PROGRAMS = {
    program.name: program
    for program in (
        Program(
            "claude-code", "Claude Code", _claude_code, ".mcp.json", "Start a new session, or see: claude mcp list",
            names_transport=True,
            after_project="Start Claude Code in this folder; it asks once whether to trust the file.",
            folders="projects", home_variable=_CLAUDE_HOME,
        ),
        Program(
            "claude-desktop", "Claude Desktop", _claude_desktop, None, "Quit Claude Desktop wholly and start it again.",
        ),
        Program(
            "codex", "Codex", _codex, ".codex/config.toml", "Start a new session, or see: codex mcp list",
            servers="mcp_servers", form="toml", home_variable=_CODEX_HOME,
            after_project="Start Codex in this folder; it reads the file only where the folder is trusted.",
        ),
        Program(
            "gemini", "Gemini", _gemini, ".gemini/settings.json",
            "Start a new session; Gemini starts MCP servers only in folders that it trusts. See: gemini mcp list",
            home_variable=_GEMINI_HOME,
        ),
        Program(
            "cursor", "Cursor", _cursor, ".cursor/mcp.json",
            "Cursor shows it under Settings, Tools & MCP; enable it there.", names_transport=True,
        ),
        Program(
            "vscode", "VS Code", _vscode, ".vscode/mcp.json",
            "VS Code asks once whether to trust it; see: MCP: List Servers in the command palette.",
            servers="servers", names_transport=True,
        ),
        Program(
            "windsurf", "Windsurf", _windsurf, None, "Refresh the list of MCP servers in Cascade, or restart Windsurf.",
        ),
    )
}  # fmt: skip
