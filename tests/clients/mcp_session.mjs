// The TypeScript SDK's client drives `orgserver serve`: node mcp_session.mjs COMMAND BUSY ARGUMENT…
import assert from "node:assert/strict";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";

const [command, busy, ...args] = process.argv.slice(2);
const say = (what, told) => {
  const text = typeof told === "string" ? told : JSON.stringify(told);
  console.log(`${what.padEnd(12)} ${text.length <= 150 ? text : text.slice(0, 150) + "…"}`);
};

const client = new Client({ name: "typescript-sdk", version: "1" }, { capabilities: { elicitation: {} } });
client.setRequestHandler(ElicitRequestSchema, async ({ params }) => {
  say("  person", `${params.message} → yes`);
  return { action: "accept", content: {} };
});
await client.connect(new StdioClientTransport({ command, args, env: process.env, stderr: "inherit" }));
const { name, version } = client.getServerVersion();
say("connected", `${name} ${version}`);

const call = async (name, given) => {
  say("call", `${name} ${JSON.stringify(given)}`);
  const result = await client.callTool({ name, arguments: given });
  say("  result", result.structuredContent ?? result.content[0].text);
  return result;
};

const { tools } = await client.listTools();
say("tools/list", `${tools.length} tools`);
const made = await call("salesforce_create_contact", { org: "acme", data: { LastName: "Lovelace" } });
const contact = made.structuredContent.id;
const refused = await call("salesforce_get_contact", { org: "nowhere", contact_id: contact });
assert(refused.isError);
const read = await client.readResource({ uri: `salesforce://acme/Contact/${contact}` });
say("resource", read.contents[0].text);
const prompt = await client.getPrompt({ name: "find_duplicates", arguments: { org: "acme" } });
say("prompt", prompt.messages[0].content.text);
const names = await client.complete({ ref: { type: "ref/prompt", name: "compare_orgs" }, argument: { name: "org", value: "g" } });
say("completion", names.completion.values);
assert.deepEqual(names.completion.values, ["globex"]);

// This query is slow, by order of whoever started the session.
const slow = { name: "salesforce_query", arguments: { org: "acme", soql: "SELECT Id FROM Contact" } };
const patience = new AbortController();
setTimeout(() => patience.abort("no patience"), 1000);
await assert.rejects(client.callTool(slow, undefined, { signal: patience.signal }));
say("cancel", "a query was cancelled while Salesforce thought about it");
const after = await call("salesforce_list_contacts", { org: "acme", limit: 1 });
assert(!after.isError);

const found = JSON.parse(busy).find(([name]) => tools.some((tool) => tool.name === name));
if (found === undefined) {
  say("progress", "no tool of this version reports any");
} else {
  let told = 0;
  say("call", `${found[0]} ${JSON.stringify(found[1])}`);
  const onprogress = ({ progress, total, message }) => (told++, say("  progress", `${progress} of ${total ?? 0}: ${message ?? ""}`));
  assert(!(await client.callTool({ name: found[0], arguments: found[1] }, undefined, { onprogress })).isError);
  assert(told > 0);
}

const gone = await call("salesforce_delete_contact", { org: "acme", contact_id: contact });
assert(!gone.isError);
await client.close();
