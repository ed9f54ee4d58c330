// The clients of test_formats.py that live in Node: every case of one client, a line of JSON for each.
import { createOpenAI } from "@ai-sdk/openai";
import { generateObject, generateText, jsonSchema, streamText, tool } from "ai";
import OpenAI from "openai";

const { GATEWAY_URL: baseURL, GATEWAY_KEY: apiKey } = process.env;
const [client, given] = process.argv.slice(2);
const { say, call, city, person, models } = JSON.parse(given);

function openai() {
  const api = new OpenAI({ baseURL, apiKey, maxRetries: 0 }).chat.completions;
  const weather = { type: "function", function: { name: "get_weather", parameters: city } };
  const user = (content) => [{ role: "user", content }];
  return {
    chat: async (model) => (await api.create({ model, messages: user(say) })).choices[0].message.content,
    stream: async (model) => {
      let text = "";
      for await (const chunk of await api.create({ model, messages: user(say), stream: true })) {
        text += chunk.choices[0]?.delta?.content ?? "";
      }
      return text;
    },
    tools: async (model) => {
      const messages = user(call);
      const first = (await api.create({ model, messages, tools: [weather] })).choices[0].message;
      const [asked] = first.tool_calls;
      messages.push(first, { role: "tool", tool_call_id: asked.id, content: "18 C" });
      const last = (await api.create({ model, messages, tools: [weather] })).choices[0].message.content;
      return [asked.function.name, JSON.parse(asked.function.arguments), last];
    },
    schema: async (model) => {
      const form = { type: "json_schema", json_schema: { name: "person", strict: true, schema: person } };
      const reply = await api.create({ model, messages: user("Who?"), response_format: form });
      return JSON.parse(reply.choices[0].message.content);
    },
  };
}

function sdk(pick) {
  const provider = createOpenAI({ baseURL, apiKey });
  const of = (model) => ({ model: pick(provider, model), maxRetries: 0 });
  return {
    chat: async (model) => (await generateText({ ...of(model), prompt: say })).text,
    stream: async (model) => {
      let text = "";
      for await (const part of streamText({ ...of(model), prompt: say }).textStream) text += part;
      return text;
    },
    tools: async (model) => {
      const tools = { get_weather: tool({ description: "The weather", inputSchema: jsonSchema(city) }) };
      const messages = [{ role: "user", content: call }];
      const first = await generateText({ ...of(model), messages, tools });
      const [asked] = first.toolCalls;
      const output = { type: "text", value: "18 C" };
      const result = { type: "tool-result", toolCallId: asked.toolCallId, toolName: asked.toolName, output };
      messages.push(...first.response.messages, { role: "tool", content: [result] });
      const last = await generateText({ ...of(model), messages, tools });
      return [asked.toolName, asked.input, last.text];
    },
    schema: async (model) => {
      return (await generateObject({ ...of(model), prompt: "Who?", schema: jsonSchema(person) })).object;
    },
  };
}

const clients = {
  openai,
  "ai-sdk-chat": () => sdk((provider, model) => provider.chat(model)),
  "ai-sdk-responses": () => sdk((provider, model) => provider.responses(model)),
};

const cases = clients[client]();
for (const model of models) {
  for (const [kind, run] of Object.entries(cases)) {
    let line = { model, kind };
    try {
      line.seen = await run(model);
    } catch (error) {
      line.error = `${error}`;
    }
    console.log(JSON.stringify(line));
  }
}
