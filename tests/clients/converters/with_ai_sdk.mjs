// Vercel's AI SDK: its MCP client and generateText, with the wire forms of three providers. No provider is reached:
// `fetch` is a function here, which keeps the request and answers with a tool call.
// node with_ai_sdk.mjs: one JSON object a line in ({provider, tool, arguments}), one a line out.
import { createInterface } from "node:readline";
import { createMCPClient } from "@ai-sdk/mcp";
import { Experimental_StdioMCPTransport } from "@ai-sdk/mcp/mcp-stdio";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, stepCountIs } from "ai";

const { command, args, env } = JSON.parse(process.env.CONVERTER_SERVER);
const client = await createMCPClient({ transport: new Experimental_StdioMCPTransport({ command, args, env }) });
const tools = await client.tools();

let sent, next;
const answering = (answer) => async (_url, { body }) => {
  sent = JSON.parse(body);
  return new Response(JSON.stringify(answer(next)), { headers: { "content-type": "application/json" } });
};
const usage = { input_tokens: 1, output_tokens: 1 };
const providers = {
  OpenAI: {
    model: createOpenAI({ apiKey: "none", fetch: answering(({ tool, text }) => ({
      id: "r", created_at: 1, model: "gpt-5", usage,
      output: [{ type: "function_call", id: "f", call_id: "c", name: tool, arguments: text }],
    })) })("gpt-5"),
    shown: () => sent.tools.map((each) => [each.name, each.parameters]),
  },
  Anthropic: {
    model: createAnthropic({ apiKey: "none", fetch: answering(({ tool, text }) => ({
      id: "m", type: "message", role: "assistant", model: "claude", stop_reason: "tool_use", usage,
      content: [{ type: "tool_use", id: "t", name: tool, input: JSON.parse(text) }],
    })) })("claude-sonnet-4-5"),
    shown: () => sent.tools.map((each) => [each.name, each.input_schema]),
  },
  Google: {
    model: createGoogleGenerativeAI({ apiKey: "none", fetch: answering(({ tool, text }) => ({
      candidates: [{ finishReason: "STOP", content: { role: "model", parts: [{ functionCall: { name: tool, args: JSON.parse(text) } }] } }],
    })) })("gemini-2.5-pro"),
    shown: () => sent.tools.flatMap((each) => each.functionDeclarations).map((each) => [each.name, each.parametersJsonSchema]),
  },
};

const said = (part) => {
  if (part.type === "tool-error") return String(part.error);
  const output = part.output;
  return output?.content?.[0]?.text ?? JSON.stringify(output);
};

for await (const line of createInterface({ input: process.stdin })) {
  const { provider, tool, arguments: meant } = JSON.parse(line);
  next = { tool, text: JSON.stringify(meant) };
  const { model, shown } = providers[provider];
  const ran = await generateText({ model, tools, prompt: "do it", stopWhen: stepCountIs(1), maxRetries: 0 });
  const part = ran.content.find((each) => each.type === "tool-result" || each.type === "tool-error");
  console.log("@" + JSON.stringify({ answer: part ? said(part) : "no tool was run", shown: Object.fromEntries(shown()) }));
}
await client.close();
