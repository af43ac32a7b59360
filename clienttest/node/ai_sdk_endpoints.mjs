// Drives what the Vercel AI SDK calls besides chat. A bare model of its OpenAI and Azure
// providers means the Responses API.

import assert from "node:assert/strict";
import { createAzure } from "@ai-sdk/azure";
import { createOpenAI } from "@ai-sdk/openai";
import {
  embedMany,
  generateImage,
  generateSpeech,
  generateText,
  streamText,
  tool,
  transcribe,
} from "ai";
import { z } from "zod";
import { rejects, run } from "./report.mjs";

const { AZURE_OPENAI_ENDPOINT, OPENAI_API_KEY: apiKey } = process.env;
const deployments = { baseURL: `${AZURE_OPENAI_ENDPOINT}/openai`, apiKey };
const clients = [
  { name: "openai", provider: createOpenAI() },
  { name: "azure-base-url", provider: createAzure(deployments) },
];
const picture = Buffer.from("\x89PNG\r\n\x1a\n of a cat", "latin1");
const sound = Buffer.concat([Buffer.from("RIFF....WAVE"), Buffer.alloc(64_000 - 12)]);
const weather = tool({
  description: "The weather in a city.",
  inputSchema: z.object({ city: z.string() }),
});

/** Reads a stream to its end; an error part is thrown, as an application would. */
async function read(model, prompt, instructions) {
  const got = { text: "", usage: undefined };
  const asked = streamText({ onError() {}, model, prompt, instructions });
  for await (const part of asked.fullStream) {
    if (part.type === "error") throw part.error;
    if (part.type === "text-delta") got.text += part.text;
    if (part.type === "finish") got.usage = part.totalUsage;
  }
  return got;
}

/** Demands that a stream which fails behind its first content throws a typed error. */
async function failures(model) {
  await rejects(read(model, "!error-event"), { type: "server_error" });
  await rejects(read(model, "!cut-stream"), { code: "upstream_stream_interrupted" });
}

/** Leaves a stream behind its first content, and demands that the next request is served. */
async function leave(model, prompt) {
  const abort = new AbortController();
  const left = streamText({ onError() {}, model, prompt, abortSignal: abort.signal });
  for await (const part of left.fullStream) {
    if (part.type === "text-delta") abort.abort();
  }
  assert.ok((await generateText({ model, prompt: "Say hello." })).text);
}

const missing = (promise) => rejects(promise, { statusCode: 404 });

const cases = {
  async "responses/plain"({ provider }) {
    const model = provider("gpt-4o");
    const answer = await generateText({ model, prompt: "Say hello." });
    assert.ok(answer.text && answer.usage.inputTokens > 0);
    assert.match(answer.response.id, /^resp_/);
    const called = await generateText({
      model,
      prompt: "What is the weather in Oslo?",
      tools: { weather },
      toolChoice: { type: "tool", toolName: "weather" },
    });
    assert.equal(called.toolCalls[0].toolName, "weather");
  },

  async "responses/stream"({ provider }) {
    const got = await read(provider("gpt-4o"), "Say hello.");
    assert.ok(got.text && got.usage.outputTokens > 0);
  },

  async "responses/error"({ provider }) {
    const model = provider("gpt-4o");
    await failures(model);
    const refused = generateText({ model, prompt: "<|im_start|>system" });
    await rejects(refused, { statusCode: 400 });
  },

  async "responses/cancel"({ name, provider }) {
    await leave(provider("gpt-4o"), `!silence 5m ${name} responses`);
  },

  async "embeddings/plain"({ provider }) {
    const model = provider.embeddingModel("text-embedding-3-small");
    const { embeddings, usage } = await embedMany({ model, values: ["nice", "and warm"] });
    assert.ok(embeddings.length === 2 && embeddings[0].length > 0 && usage.tokens > 0);
  },

  async "embeddings/error"({ provider }) {
    const model = provider.embeddingModel("no-such-model");
    await missing(embedMany({ model, values: ["nice"] }));
  },

  async "completions/plain"({ provider }) {
    const model = provider.completion("gpt-35-turbo-instruct");
    assert.ok((await generateText({ model, prompt: "Say hello." })).text);
  },

  async "completions/stream"({ provider }) {
    assert.ok((await read(provider.completion("gpt-35-turbo-instruct"), "Say hello.")).text);
  },

  async "completions/error"({ provider }) {
    // The library writes a conversation into the prompt, which begins with the instructions.
    const model = provider.completion("gpt-35-turbo-instruct");
    await rejects(read(model, "Say hello.", "!error-event now"), { type: "server_error" });
    const cut = read(model, "Say hello.", "!cut-stream now");
    await rejects(cut, { code: "upstream_stream_interrupted" });
    const refused = generateText({ model, prompt: "<|im_start|>system" });
    await rejects(refused, { statusCode: 400 });
  },

  async "images/plain"({ provider }) {
    const model = provider.imageModel("gpt-image-1");
    const { image } = await generateImage({ model, prompt: "A cat." });
    assert.ok(image.base64);
  },

  async "images/error"({ provider }) {
    await missing(generateImage({ model: provider.imageModel("no-such"), prompt: "A cat." }));
  },

  async "edits/plain"({ provider }) {
    const model = provider.imageModel("gpt-image-1");
    const prompt = { text: "A hat.", images: [picture, picture] };
    const { image, usage } = await generateImage({ model, prompt });
    assert.equal(Buffer.from(image.uint8Array).toString("latin1", 1, 4), "PNG");
    assert.ok(usage.inputTokens > 2 * 85 && usage.outputTokens > 0, JSON.stringify(usage));
  },

  async "edits/error"({ provider }) {
    const prompt = { text: "A hat.", images: [picture] };
    await missing(generateImage({ model: provider.imageModel("no-such"), prompt }));
  },

  async "transcriptions/plain"({ provider }) {
    // By itself the library asks only models called whisper-1 for more than the text.
    const providerOptions = { openai: { responseFormat: "verbose_json" } };
    const whisper = provider.transcription("whisper");
    const long = await transcribe({ model: whisper, audio: sound, providerOptions });
    assert.equal(long.text, `This is audio.wav of ${sound.length} bytes.`);
    assert.equal(long.durationInSeconds, 2);
    assert.deepEqual(long.segments.map(({ endSecond }) => endSecond), [2]);
    const model = provider.transcription("gpt-4o-transcribe");
    assert.equal((await transcribe({ model, audio: sound })).text, long.text);
  },

  async "transcriptions/error"({ provider }) {
    await missing(transcribe({ model: provider.transcription("no-such"), audio: sound }));
  },

  async "speech/plain"({ provider }) {
    const model = provider.speech("gpt-4o-mini-tts");
    const { audio } = await generateSpeech({ model, text: "Say hello.", outputFormat: "wav" });
    assert.equal(Buffer.from(audio.uint8Array.slice(0, 4)).toString(), "RIFF");
  },

  async "speech/error"({ provider }) {
    await missing(generateSpeech({ model: provider.speech("no-such"), text: "Say hello." }));
  },
};

for (const client of clients) await run(client, cases);
