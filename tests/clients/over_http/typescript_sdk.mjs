// The TypeScript SDK's client calls orgserver over HTTP: node typescript_sdk.mjs URL, with the key in MCP_KEY
import assert from "node:assert/strict";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const say = (what, text) => console.log(`${what.padEnd(12)} ${text.length <= 150 ? text : text.slice(0, 150) + "…"}`);
const client = new Client({ name: "typescript-sdk", version: "1" });
const headers = { Authorization: `Bearer ${process.env.MCP_KEY}` };
await client.connect(new StreamableHTTPClientTransport(new URL(process.argv[2]), { requestInit: { headers } }));
const { name, version } = client.getServerVersion();
say("connected", `${name} ${version}`);
const { tools } = await client.listTools();
say("tools/list", `${tools.length} tools`);

const call = async (name, input, options) => {
  say("call", `${name} ${JSON.stringify(input)}`);
  const result = await client.callTool({ name, arguments: input }, undefined, options);
  say("  result", result.content[0].text);
  return result;
};
const refusal = await call("salesforce_list_contacts", { org: "globex" });
assert(refusal.isError && refusal.content[0].text.includes("UNKNOWN_ORG"));

// What reports progress takes a while, by order of whoever started this: an event that comes with the result was held back.
const times = [];
const onprogress = ({ progress, total, message }) => {
  times.push(performance.now());
  say("  progress", `${progress} of ${total ?? 0}: ${message ?? ""}`);
};
const change = { org: "acme", object: "Contact", action: "update", soql: "SELECT Id FROM Contact", data: { Department: "Research" } };
assert(!(await call("salesforce_change_records", change, { onprogress })).isError);
assert(times.length > 0, "no progress was reported");
const ahead = Math.round(performance.now() - times[0]);
say("", `the first progress came ${ahead} ms before the result`);
assert(ahead >= 500, "progress was held back");
await client.close();
