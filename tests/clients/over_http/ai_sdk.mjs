// Vercel's AI SDK calls orgserver over HTTP: node ai_sdk.mjs URL, with the key in MCP_KEY
import assert from "node:assert/strict";
import { createMCPClient } from "@ai-sdk/mcp";

const say = (what, text) => console.log(`${what.padEnd(12)} ${text.length <= 150 ? text : text.slice(0, 150) + "…"}`);
const client = await createMCPClient({
  transport: { type: "http", url: process.argv[2], headers: { Authorization: `Bearer ${process.env.MCP_KEY}` } },
});
try {
  const tools = await client.tools();
  say("tools", `${Object.keys(tools).length}`);
  const call = async (name, input) => {
    say("call", `${name} ${JSON.stringify(input)}`);
    const result = await tools[name].execute(input, { toolCallId: "1", messages: [] });
    say("  result", result.content[0].text);
    return result;
  };
  const contact = await call("salesforce_create_contact", { org: "acme", data: { LastName: "Lovelace" } });
  assert(!contact.isError);
  const contacts = await call("salesforce_list_contacts", { org: "acme", limit: 1 });
  assert.equal(JSON.parse(contacts.content[0].text).records.length, 1);
  const refusal = await call("salesforce_list_contacts", { org: "globex" });
  assert(refusal.isError && refusal.content[0].text.includes("UNKNOWN_ORG"));
} finally {
  await client.close();
}
