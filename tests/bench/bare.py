"""The least that a server of contacts can be: the SDK's ``MCPServer`` and a plain httpx GET, no audit log, no secrets."""

import os
from typing import Any

import httpx
from mcp.server import MCPServer

server = MCPServer("bare")
client = httpx.AsyncClient(trust_env=False)


@server.tool()
async def contacts(org: str) -> dict[str, Any]:
    """List ten contacts."""
    url = os.environ["BENCH_UPSTREAM"] + "/services/data/v68.0/query"
    reply = await client.get(
        url, params={"q": "SELECT Id, Name, Email FROM Contact LIMIT 10"}, headers={"Authorization": "Bearer x"}
    )
    body = reply.json()
    return {"org": org, "records": body["records"], "total_size": body["totalSize"]}


if __name__ == "__main__":
    server.run("stdio")
