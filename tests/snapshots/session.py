"""A session at the command line with two sandbox orgs, and an agent's calls in the midst of it, as pages of text."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.server import Sandbox

from .calls import agent, make_calls
from .shell import Shell

COMMANDS = Path(__file__).parent / "commands" / "session"
CALLS = Path(__file__).with_name("calls")
_AGENT = ("salesforce_", "mcp-")


async def texts() -> tuple[dict[str, str], dict[str, str]]:
    """What the session prints, and what the tools answer, each by the names of their files."""
    while True:
        day = datetime.now(UTC).date()
        pages = await _session()
        if datetime.now(UTC).date() == day:  # around midnight, reports have one day more
            break
    calls = {name: text for name, text in pages.items() if name.startswith(_AGENT)}
    return {name: text for name, text in pages.items() if name not in calls}, calls


async def answers_past_sdk() -> dict[str, str]:
    """What the tools answer where the calls go past the MCP SDK, by the names of their files."""
    with tempfile.TemporaryDirectory(prefix="orgserver-snapshots-") as name:
        async with Sandbox.start(2) as sandbox:
            shell = Shell(Path(name), sandbox.orgs)
            await _add_orgs(shell, *sandbox.orgs)
            async with agent(shell, past_sdk=True) as its:
                await make_calls(its)
            return {name: text for name, text in shell.pages().items() if name.startswith(_AGENT)}


async def _session() -> dict[str, str]:
    with tempfile.TemporaryDirectory(prefix="orgserver-snapshots-") as name:
        async with Sandbox.start(2) as sandbox:
            shell = Shell(Path(name), sandbox.orgs)
            acme, globex = sandbox.orgs
            await _add_orgs(shell, acme, globex)
            await _refuse(shell)
            await _export_evidence(shell)
            async with agent(shell) as its:
                await make_calls(its)
            await _look_at_orgs(shell)
            await _read_audit_log(shell)
            await _undo(shell)
            await _connect(shell)
            await _keep_store(shell)
            await _retain(shell)
            await _look_after_people(shell)
            await _update_orgs(shell, acme)
            await _import(shell, globex)
            return shell.pages()


async def _add_orgs(shell: Shell, acme: SandboxOrg, globex: SandboxOrg) -> None:
    page = "add-org"
    await shell.run(page, "list-orgs")
    await shell.run(page, "audit list")
    credential = json.dumps(acme.credentials())
    await shell.run(page, "add-org acme --credentials-stdin --keep-values --tag eu", credential)
    await shell.run(page, "add-org acme --credentials-stdin", credential)
    await shell.run(page, "add-org Bad --credentials-stdin", credential)
    await shell.run(page, "add-org other --credentials-stdin", "{not json")
    await shell.run(page, "add-org other --credentials-stdin", "[]")
    await shell.run(page, "add-org other --credentials-stdin", '{"client_id": "3MVG9", "nonsense": 1}')
    await shell.run(page, "add-org other --credentials-stdin", credential)
    await shell.run(page, "add-org other --env-file {folder}/none.env")
    await shell.run(page, "add-org other --login-url https://evil.example --client-id 3MVG9")
    line = "add-org globex --auth client-credentials --login-url http://{globex} --trust-host {globex}"
    line += " --client-id {globex_client} --confirm-deletes --json"
    await shell.run(page, line, ORGSERVER_CLIENT_SECRET="wrong-on-purpose")
    await shell.run(page, line, ORGSERVER_CLIENT_SECRET=globex.client_secret)


async def _refuse(shell: Shell) -> None:
    page = "refused"
    for line in (
        "", "nope", "lst-orgs", "show-org", "show-org acne", "check-org acne", "update-org acne --read-only",
        "update-org acme", "update-org acme --nope", "remove-org acne --yes", "open acne", "open acme 12",
        "approve 7KQM-2XHD", "approve nonsense", "approvals setup", "audit show 01", "audit show nonsense",
        "audit list --since yesterday", "audit list --outcome nope", "audit list --record-id x",
        "audit export --format events --org acme", "audit export --output {folder}/none/x.jsonl",
        "audit undo", "audit undo 01a20d8b-0000-7000-8000-000000000000 --dry-run", "audit verify {folder}/none.jsonl",
        "audit prune --before 400d", "audit erase", "restore {folder}/none.db", "connect nope",
        "connect codex --org acne --print", "connect codex --toolset nope --print", "serve --toolset nope",
        "serve --org acne", "serve --http 8080", "import-orgs", "import-orgs --csv {folder}/none.csv",
        "sandbox --orgs 0",
    ):  # fmt: skip
        await shell.run(page, line)
    await shell.run(page, "list-orgs", ORGSERVER_LOG_LEVEL="loud")
    await shell.run(page, "list-orgs", ORGSERVER_MASTER_KEY="c2hvcnQ=")
    await shell.run(page, "list-orgs", ORGSERVER_NONSENSE="1")


async def _export_evidence(shell: Shell) -> None:
    """While the log is short."""
    page = "evidence"
    await shell.run(page, "audit export --format events")
    await shell.run(page, "audit export --format events --output {folder}/evidence.jsonl")
    key = await shell.run(page, "audit public-key")
    (shell.folder / "key.txt").write_text(key.stdout)
    await shell.run(page, "audit public-key --json")
    await shell.run(page, "audit verify {folder}/evidence.jsonl --public-key {folder}/key.txt")
    await shell.run(page, "audit verify {folder}/evidence.jsonl --public-key {folder}/key.txt --json")
    evidence = shell.folder / "evidence.jsonl"
    evidence.write_text(evidence.read_text().replace("local:operator", "local:somebody"))
    await shell.run(page, "audit verify {folder}/evidence.jsonl --public-key {folder}/key.txt")


async def _look_at_orgs(shell: Shell) -> None:
    page = "orgs"
    for line in (
        "list-orgs", "list-orgs --json", "list-orgs --match glob", "list-orgs --problems", "show-org acme",
        "show-org globex --json", "check-org", "check-org acme --json", "check-org acme --try-token --yes",
        "refresh-idle", "refresh-idle --json", "open acme", "open globex 003Sb0001000001", "approvals",
        "approvals --json", "help show-org", "--version",
    ):  # fmt: skip
        await shell.run(page, line)


async def _read_audit_log(shell: Shell) -> None:
    (entry,) = await shell.data("audit list --action update --object Contact --limit 1")
    shell.values["update"] = entry["id"]
    page = "audit"
    for line in (
        "audit list", "audit list --org acme --outcome rejected", "audit list --until 1999-01-01", "audit tail -n 3",
        "audit tail -n 2 --json", "audit show {update}", "audit show {update} --json", "audit verify",
        "audit verify --json", "audit verify --since-checkpoint",
        "audit verify --checkpoint {folder}/home/orgserver.db.checkpoints", "audit report", "audit report --json",
        "audit report --html {folder}/report.html", "audit export --format csv --org globex",
        "audit export --format ocsf --org globex --outcome rejected", "audit export --format ocsf --action delete",
        "audit export --output {folder}/whole.jsonl", "audit export --output {folder}/whole.jsonl",
        "audit export --format csv --output {folder}/whole.csv.gz --org acme",
    ):  # fmt: skip
        await shell.run(page, line)
    await shell.run("audit-of-calls", "audit list --json --limit 200 --principal local:agent")


async def _undo(shell: Shell) -> None:
    page = "undo"
    for line in (
        "audit undo {update} --dry-run", "audit undo {update} --dry-run --json", "audit undo {update}",
        "audit undo --since 1h --principal local:agent --org acme --dry-run", "audit undo {update} --yes",
        "audit undo {update} --yes",
    ):  # fmt: skip
        await shell.run(page, line)


async def _connect(shell: Shell) -> None:
    page = "connect"
    for line in (
        "connect codex --print", "connect codex", "connect codex --org acme --read-only --yes", "connect codex --yes",
        "connect claude-code --print --toolset contacts,query --exclude-tool salesforce_query", "disconnect codex --print",
        "disconnect codex --yes", "disconnect codex --yes", "connect windsurf --project --print",
    ):  # fmt: skip
        await shell.run(page, line)


async def _look_after_people(shell: Shell) -> None:
    page = "people"
    for line in (
        "list-principals", "list-groups", "add-group emea --grant tag:eu:read",
        "add-principal ada --grant acme:read,write --group emea --row-limit 50 --key-until 2099-12-31",
        "add-principal bot --kind service --no-key --json", "add-principal Ada", "add-group ops --member emea",
        "update-principal ada --grant acme:read --until 2099-12-31 --new-key", "update-principal ada --no-row-limit",
        "update-principal bot --role auditor --subject https://id.example 42 --disable",
        "update-group emea --member bot --grant x*:write", "update-group emea --claim Emea", "update-group emea --json",
        "show-principal ada", "show-principal bot --json", "show-principal adda", "list-principals", "list-groups",
        "list-groups --json", "remove-group emea", "remove-group emea --yes", "remove-principal ada --yes",
        "remove-principal bot --yes",
    ):  # fmt: skip
        await shell.run(page, line)


async def _keep_store(shell: Shell) -> None:
    page = "store"
    for line in (
        "migrate", "doctor --offline", "doctor --json", "backup {folder}/store.backup", "backup {folder}/store.backup",
        "backup {folder}/other.backup --json", "restore {folder}/store.backup", "rotate-key", "rotate-key --json",
        "rotate-key --reseal",
    ):  # fmt: skip
        await shell.run(page, line)
    other = shell.folder / "restored"
    await shell.run("restored", "restore {folder}/store.backup", ORGSERVER_HOME=str(other))
    other.mkdir(mode=0o700, exist_ok=True)
    (other / "master.key").write_bytes((shell.home / "master.key").read_bytes())
    (other / "master.key").chmod(0o600)
    for line in ("restore {folder}/store.backup --json", "list-orgs", "check-org acme", "audit verify"):
        await shell.run("restored", line, ORGSERVER_HOME=str(other))


async def _retain(shell: Shell) -> None:
    page = "retention"
    for line in (
        "audit hold case-17 --org acme", "audit hold case-17 --org acme", "audit hold --list",
        "audit hold --list --json", "audit hold case-17 --release --json", "audit hold case-17 --release",
        "audit prune --before 400d --discard", "audit erase --org acme", "audit erase --org acme --yes",
    ):  # fmt: skip
        await shell.run(page, line)
    (shell.home / "config.toml").write_text('unattended = "allow"\n')
    for line in ("audit erase --org acme --yes --json", "audit prune --before 1d --discard --yes --json"):
        await shell.run(page, line)


async def _update_orgs(shell: Shell, acme: SandboxOrg) -> None:
    page = "update-org"
    for line in (
        "update-org acme --rename acme-eu --read-only", "update-org acme-eu --rename globex",
        "update-org acme-eu --tag north --tag pilot --json", "update-org acme-eu --no-tags", "list-orgs",
        "update-org acme-eu --disable", "check-org acme-eu", "update-org acme-eu --enable --no-read-only",
        "update-org acme-eu --auth refresh-token --credentials-stdin", "remove-org acme-eu",
    ):  # fmt: skip
        await shell.run(page, line, json.dumps(acme.credentials()) if "stdin" in line else "")
    (shell.home / "config.toml").unlink()
    for line in (
        "update-org globex --no-confirm-deletes", "update-org globex --read-only", "remove-org globex --yes",
        "remove-org acme-eu --yes", "list-orgs", "audit list --limit 8",
    ):  # fmt: skip
        await shell.run(page, line)


async def _import(shell: Shell, globex: SandboxOrg) -> None:
    page = "import-orgs"
    file = shell.folder / "clients.csv"
    host = globex.url.partition("//")[2]
    good = f"globex-us,{globex.client_id},{globex.client_secret},{globex.refresh_token},{globex.url},{host},us"
    head = "alias,client_id,client_secret,refresh_token,login_url,trust_host,tag"
    file.write_text(f"{head}\n{good}\nBad Alias,3MVG9,x,y,https://evil.example,,\n")
    file.chmod(0o600)
    for line in (
        "import-orgs --csv {folder}/clients.csv", "import-orgs --csv {folder}/clients.csv --yes",
        "import-orgs --csv {folder}/clients.csv --yes --json", "import-orgs --from-sf-cli --yes", "list-orgs",
        "audit verify",
    ):  # fmt: skip
        await shell.run(page, line, PATH="")
