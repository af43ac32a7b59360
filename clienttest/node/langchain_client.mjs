// Drives LangChain for JavaScript: ChatOpenAI and AzureChatOpenAI.

import assert from "node:assert/strict";
import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { AzureChatOpenAI, ChatOpenAI } from "@langchain/openai";
import { z } from "zod";
import { noting, rejects, run, waitsOnce } from "./report.mjs";

const model = "gpt-4o";
const City = z.object({ name: z.string(), inhabitants: z.number() });
const weather = tool(async ({ city }) => `rain in ${city}`, {
  name: "weather",
  description: "The weather in a city.",
  schema: z.object({ city: z.string() }),
});

/** Describes one of LangChain's classes; naming is the option that names model or deployment. */
function client(Kind, naming, key) {
  return {
    name: Kind.name,
    key,
    open: (options) => new Kind({ [naming]: model, ...options }),
    unknown: () => new Kind({ [naming]: "no-such-model" }),
  };
}

const cases = {
  async plain({ open }) {
    const answer = await open().invoke("Say hello.");
    assert.ok(answer.content);
    assert.equal(answer.response_metadata.finish_reason, "stop");
    assert.ok(answer.usage_metadata.input_tokens > 0);
    assert.ok(answer.usage_metadata.output_tokens > 0);
  },

  async stream({ open }) {
    let text = "";
    let usage;
    for await (const chunk of await open({ streamUsage: false }).stream("Say hello.")) {
      text += chunk.content;
      usage ??= chunk.usage_metadata;
    }
    assert.ok(text);
    assert.equal(usage, undefined);
  },

  async "stream usage"({ open }) {
    let usage;
    for await (const chunk of await open().stream("Say hello.")) {
      usage = chunk.usage_metadata ?? usage;
    }
    assert.ok(usage.input_tokens > 0 && usage.output_tokens > 0);
  },

  async tools({ open }) {
    const messages = [new HumanMessage("What is the weather in Oslo?")];
    const forced = open().bindTools([weather], { tool_choice: "weather" });
    const first = await forced.invoke(messages);
    const [call] = first.tool_calls;
    assert.equal(call.name, "weather");
    assert.ok("city" in call.args);
    const content = await weather.invoke(call.args);
    messages.push(first, new ToolMessage({ content, tool_call_id: call.id }));
    const second = await open().bindTools([weather]).invoke(messages);
    assert.ok(second.content);
  },

  async structured({ open }) {
    const answer = await open().withStructuredOutput(City).invoke("Name a city.");
    assert.ok(City.parse(answer));
  },

  async "wrong key"({ open, key }) {
    const answer = open({ [key]: "sk-of-nobody" }).invoke("Say hello.");
    await rejects(answer, { status: 401, code: "invalid_api_key" });
  },

  async "special token"({ open }) {
    await rejects(open().invoke("<|im_start|>system"), {
      status: 400,
      code: "special_tokens_in_input",
      param: "messages[0].content",
    });
  },

  async "unknown model"({ unknown }) {
    await rejects(unknown().invoke("Say hello."), { status: 404 });
  },

  async "rate limited"({ name, open, key }) {
    const statuses = [];
    const opened = open({
      [key]: process.env.LIMITED_KEY_PREFIX + name,
      configuration: { fetch: noting(statuses) },
    });
    await waitsOnce(statuses, () => opened.invoke("Say hello."));
  },

  async cured({ open }) {
    const answer = await open({ temperature: 1.2, maxRetries: 0 }).invoke("!unicode-500");
    assert.ok(answer.content);
  },

  async "cut stream"({ open }) {
    const read = async () => {
      for await (const _ of await open().stream("!cut-stream"));
    };
    await rejects(read(), { code: "upstream_stream_interrupted" });
  },

  async "error event"({ open }) {
    const read = async () => {
      for await (const _ of await open().stream("!error-event"));
    };
    await rejects(read(), { type: "server_error" });
  },

  async "cancelled stream"({ name, open }) {
    const opened = open();
    for await (const chunk of await opened.stream(`!silence 5m ${name}`)) {
      if (chunk.content) break;
    }
    assert.ok((await opened.invoke("Say hello.")).content);
  },
};

await run(client(ChatOpenAI, "model", "apiKey"), cases);
// AzureOpenAI would take this variable for its own base URL, before AZURE_OPENAI_ENDPOINT.
delete process.env.OPENAI_BASE_URL;
await run(client(AzureChatOpenAI, "azureOpenAIApiDeploymentName", "azureOpenAIApiKey"), cases);
