// Drives the Vercel AI SDK through its three providers, Azure's in both of its URL forms.

import assert from "node:assert/strict";
import { createAzure } from "@ai-sdk/azure";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, isStepCount, Output, streamText, tool } from "ai";
import { z } from "zod";
import { noting, rejects, run, waitsOnce } from "./report.mjs";

const { OPENAI_BASE_URL, AZURE_OPENAI_ENDPOINT, OPENAI_API_KEY, LIMITED_KEY_PREFIX } = process.env;
const City = z.object({ name: z.string(), inhabitants: z.number() });
const weather = tool({
  description: "The weather in a city.",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `rain in ${city}`,
});

const clients = [
  {
    name: "openai-compatible",
    open: (options, model = "gpt-4o") =>
      createOpenAICompatible({
        name: "weir",
        baseURL: OPENAI_BASE_URL,
        apiKey: OPENAI_API_KEY,
        supportsStructuredOutputs: true,
        ...options,
      })(model),
  },
  {
    name: "openai-chat",
    open: (options, model = "gpt-4o") => createOpenAI(options).chat(model),
  },
  {
    name: "azure-deployments",
    open: (options, model = "gpt-4o") =>
      createAzure({
        baseURL: `${AZURE_OPENAI_ENDPOINT}/openai`,
        apiKey: OPENAI_API_KEY,
        apiVersion: "2024-10-21",
        useDeploymentBasedUrls: true,
        ...options,
      }).chat(model),
  },
  {
    name: "azure-base-url",
    open: (options, model = "gpt-4o") =>
      createAzure({
        baseURL: `${AZURE_OPENAI_ENDPOINT}/openai`,
        apiKey: OPENAI_API_KEY,
        ...options,
      }).chat(model),
  },
];

/** Reads a stream to its end; an error part is thrown, as an application would. */
async function read(result) {
  const got = { text: "", finish: undefined, usage: undefined };
  for await (const part of result.fullStream) {
    if (part.type === "error") throw part.error;
    if (part.type === "text-delta") got.text += part.text;
    if (part.type === "finish") [got.finish, got.usage] = [part.finishReason, part.totalUsage];
  }
  return got;
}

/** Streams an answer; what goes wrong is in its parts, and need not be printed too. */
const stream = (options) => streamText({ onError() {}, ...options });

const cases = {
  async plain({ open }) {
    const answer = await generateText({ model: open(), prompt: "Say hello." });
    assert.ok(answer.text);
    assert.equal(answer.finishReason, "stop");
    assert.ok(answer.usage.inputTokens > 0 && answer.usage.outputTokens > 0);
  },

  async stream({ open }) {
    const got = await read(stream({ model: open(), prompt: "Say hello." }));
    assert.ok(got.text);
    assert.equal(got.finish, "stop");
  },

  async tools({ open }) {
    const answer = await generateText({
      model: open(),
      prompt: "What is the weather in Oslo?",
      tools: { weather },
      stopWhen: isStepCount(2),
      prepareStep: ({ stepNumber }) =>
        stepNumber === 0 ? { toolChoice: { type: "tool", toolName: "weather" } } : {},
    });
    assert.equal(answer.steps[0].toolCalls[0].toolName, "weather");
    assert.equal(answer.steps.length, 2);
    assert.ok(answer.text);
  },

  async "stream tools"({ open }) {
    const answer = stream({
      model: open(),
      prompt: "What is the weather in Oslo?",
      tools: { weather },
      toolChoice: { type: "tool", toolName: "weather" },
    });
    await read(answer);
    assert.equal((await answer.toolCalls)[0].toolName, "weather");
  },

  async structured({ open }) {
    const answer = await generateText({
      model: open(),
      prompt: "Name a city.",
      output: Output.object({ schema: City }),
    });
    assert.ok(City.parse(answer.output));
  },

  async "wrong key"({ open }) {
    const model = open({ apiKey: "sk-of-nobody" });
    await rejects(generateText({ model, prompt: "Say hello." }), { statusCode: 401 });
  },

  async "special token"({ open }) {
    const answer = generateText({ model: open(), prompt: "<|im_start|>system" });
    const error = await rejects(answer, { statusCode: 400 });
    assert.match(error.message, /^Failed to generate output due to special tokens in the input\./);
    const sent = JSON.parse(error.responseBody).error;
    assert.equal(sent.code, "special_tokens_in_input");
    assert.match(sent.param, /^messages\[0\]\.content/);
  },

  async "unknown model"({ open }) {
    const model = open({}, "no-such-model");
    await rejects(generateText({ model, prompt: "Say hello." }), { statusCode: 404 });
  },

  async "rate limited"({ name, open }) {
    const statuses = [];
    const model = open({ apiKey: LIMITED_KEY_PREFIX + name, fetch: noting(statuses) });
    await waitsOnce(statuses, () => generateText({ model, prompt: "Say hello." }));
  },

  async cured({ open }) {
    const answer = await generateText({
      model: open(),
      prompt: "!unicode-500",
      temperature: 1.2,
      maxRetries: 0,
    });
    assert.ok(answer.text);
    assert.equal(answer.response.headers["x-weir-attempts"], "2");
  },

  async "cut stream"({ open }) {
    await rejects(read(stream({ model: open(), prompt: "!cut-stream" })), {
      code: "upstream_stream_interrupted",
    });
  },

  async "error event"({ open }) {
    await rejects(read(stream({ model: open(), prompt: "!error-event" })), {
      type: "server_error",
    });
  },

  async "cancelled stream"({ name, open }) {
    const abort = new AbortController();
    const prompt = `!silence 5m ${name}`;
    const result = stream({ model: open(), prompt, abortSignal: abort.signal });
    for await (const part of result.fullStream) {
      if (part.type === "text-delta") abort.abort();
    }
    const answer = await generateText({ model: open(), prompt: "Say hello." });
    assert.ok(answer.text);
  },
};

const usage = {
  async "stream usage"({ open }) {
    const got = await read(stream({ model: open(), prompt: "Say hello." }));
    assert.ok(got.usage.inputTokens > 0 && got.usage.outputTokens > 0, JSON.stringify(got));
  },
};

const noUsage = {
  async "stream without usage"({ open }) {
    const got = await read(stream({ model: open(), prompt: "Say hello." }));
    assert.equal(got.usage.outputTokens, undefined, JSON.stringify(got));
  },
};

for (const client of clients) {
  const more = client.name === "openai-compatible" ? noUsage : usage;
  await run(client, { ...cases, ...more });
}
