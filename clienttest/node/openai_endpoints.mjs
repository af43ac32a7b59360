// Drives what openai-node calls besides chat, with OpenAI and AzureOpenAI.
//
// A case is named after the endpoint and after what is done there: plain, stream, error or cancel.

import assert from "node:assert/strict";
import { failures, leave, missing, read, runBoth, silent } from "./openai_both.mjs";
import { rejects } from "./report.mjs";

const model = "gpt-4o";
const input = "Say hello.";
const weather = {
  type: "function",
  name: "weather",
  parameters: {
    type: "object",
    properties: { city: { type: "string" } },
    required: ["city"],
    additionalProperties: false,
  },
  strict: true,
};
const said = { model: "gpt-4o-mini-tts", voice: "alloy", response_format: "wav", input };

const cases = {
  async "responses/plain"({ open }) {
    const first = await open().responses.create({ model, input });
    assert.ok(first.output_text);
    assert.equal(first.status, "completed");
    assert.ok(first.usage.input_tokens > 0 && first.usage.output_tokens > 0);
    const asked = { model, input: "And now?", previous_response_id: first.id };
    const second = await open().responses.create(asked);
    assert.ok(second.output_text);
    assert.equal(second.previous_response_id, first.id);
    const { output } = await open().responses.create({
      model,
      input: [{ role: "user", content: "What is the weather in Oslo?" }],
      tools: [weather],
      tool_choice: { type: "function", name: "weather" },
    });
    assert.equal(output[0].name, "weather");
  },

  async "responses/stream"({ open }) {
    const events = await read(open().responses.create({ model, input, stream: true }));
    assert.equal(events[0].type, "response.created");
    assert.deepEqual(
      events.map((event) => event.sequence_number),
      events.map((_, i) => i),
    );
    const deltas = events.filter((event) => event.type === "response.output_text.delta");
    assert.ok(deltas.map((event) => event.delta).join(""));
    assert.equal(events.at(-1).type, "response.completed");
    assert.ok(events.at(-1).response.usage.total_tokens > 0);
  },

  async "responses/error"({ open }) {
    const api = open().responses;
    await failures((prompt) => api.create({ model, input: prompt, stream: true }));
    await rejects(api.create({ model, input: "<|im_start|>system" }), {
      status: 400,
      code: "special_tokens_in_input",
      param: "input",
    });
  },

  async "responses/cancel"({ name, open }) {
    const api = open().responses;
    const asked = { model, input: silent(name, "responses"), stream: true };
    await leave(api.create(asked), (event) => event.type === "response.output_text.delta");
    assert.ok((await api.create({ model, input })).output_text);
  },

  async "stored/plain"({ open }) {
    const api = open().responses;
    const made = await api.create({ model, input });
    assert.equal((await api.retrieve(made.id)).output_text, made.output_text);
    const items = await read(api.inputItems.list(made.id));
    assert.equal(items[0].content[0].text, input);
    await api.delete(made.id);
    await missing(api.retrieve(made.id));
    const waiting = await api.create({ model: "gpt-4o-unhurried", input, background: true });
    assert.equal((await api.cancel(waiting.id)).status, "cancelled");
  },

  async "stored/stream"({ open }) {
    const api = open().responses;
    const events = await read(api.create({ model, input, background: true, stream: true }));
    const { id } = events.at(-1).response;
    const again = await read(api.retrieve(id, { stream: true, starting_after: 1 }));
    assert.equal(again[0].sequence_number, 2);
    assert.equal(again.at(-1).type, "response.completed");
  },

  async "stored/error"({ open }) {
    const api = open().responses;
    await missing(api.retrieve("resp_of_nobody"));
    await missing(api.delete("resp_of_nobody"));
    await missing(api.cancel("resp_of_nobody"));
  },

  async "count/plain"({ open }) {
    assert.ok((await open().responses.inputTokens.count({ model, input })).input_tokens > 0);
  },

  async "count/error"({ open }) {
    await missing(open().responses.inputTokens.count({ model: "no-such", input }));
  },

  async "compact/plain"({ open }) {
    const asked = { model, input: [{ role: "user", content: input }] };
    assert.ok((await open().responses.compact(asked)).output);
  },

  async "compact/error"({ open }) {
    await missing(open().responses.compact({ model: "no-such", input }));
  },

  async "embeddings/plain"({ open }) {
    const api = open().embeddings;
    const asked = { model: "text-embedding-3-small", dimensions: 8 };
    const lists = [["a", 1], [["a", "b"], 2], [[1, 2], 1], [[[1], [2]], 2]];
    for (const [given, count] of lists) {
      const answer = await api.create({ ...asked, input: given });
      assert.deepEqual(answer.data.map(({ embedding }) => embedding.length), Array(count).fill(8));
      assert.ok(answer.usage.prompt_tokens > 0);
    }
    const raw = await api.create({ ...asked, input, encoding_format: "float" });
    assert.equal(typeof raw.data[0].embedding[0], "number");
  },

  async "embeddings/error"({ open }) {
    const asked = { model: "text-embedding-3-small", input: Array(2049).fill("a") };
    await rejects(open().embeddings.create(asked), { status: 400, param: "input" });
  },

  async "completions/plain"({ open }) {
    const asked = { model: "gpt-35-turbo-instruct", prompt: input };
    const answer = await open().completions.create(asked);
    assert.ok(answer.choices[0].text && answer.usage.total_tokens > 0);
  },

  async "completions/stream"({ open }) {
    const asked = { model: "gpt-35-turbo-instruct", prompt: input, stream: true };
    const chunks = await read(open().completions.create(asked));
    assert.ok(chunks.map((chunk) => chunk.choices[0]?.text ?? "").join(""));
  },

  async "completions/error"({ open }) {
    const api = open().completions;
    const asked = { model: "gpt-35-turbo-instruct" };
    await failures((prompt) => api.create({ ...asked, prompt, stream: true }));
    await rejects(api.create({ ...asked, prompt: "<|im_start|>system" }), {
      status: 400,
      code: "special_tokens_in_input",
      param: "prompt",
    });
  },

  async "completions/cancel"({ name, open }) {
    const api = open().completions;
    const asked = { model: "gpt-35-turbo-instruct", prompt: silent(name, "completions") };
    await leave(api.create({ ...asked, stream: true }), (chunk) => chunk.choices[0]?.text);
    assert.ok((await api.create({ ...asked, prompt: input })).choices[0].text);
  },

  async "images/plain"({ open }) {
    const answer = await open().images.generate({ model: "gpt-image-1", prompt: "A cat." });
    assert.ok(answer.data[0].b64_json && answer.usage.total_tokens > 0);
  },

  async "images/stream"({ open }) {
    const asked = { model: "gpt-image-1", prompt: "A cat.", stream: true, partial_images: 2 };
    const events = await read(open().images.generate(asked));
    const [partial, whole] = ["image_generation.partial_image", "image_generation.completed"];
    assert.deepEqual(events.map((event) => event.type), [partial, partial, whole]);
    assert.ok(events.every((event) => event.b64_json));
  },

  async "images/error"({ open }) {
    const api = open().images;
    const asked = { model: "gpt-image-1", stream: true, partial_images: 2 };
    await failures((prompt) => api.generate({ ...asked, prompt }));
    await missing(api.generate({ model: "no-such", prompt: "A cat." }));
  },

  async "images/cancel"({ name, open }) {
    const api = open().images;
    const asked = { model: "gpt-image-1", prompt: silent(name, "images"), partial_images: 2 };
    const partial = "image_generation.partial_image";
    await leave(api.generate({ ...asked, stream: true }), (event) => event.type === partial);
    assert.ok((await api.generate({ model: "gpt-image-1", prompt: "A cat." })).data[0].b64_json);
  },

  async "speech/plain"({ open }) {
    const sound = await (await open().audio.speech.create(said)).arrayBuffer();
    assert.equal(Buffer.from(sound, 0, 4).toString(), "RIFF");
  },

  async "speech/stream"({ open }) {
    let bytes = 0;
    for await (const part of (await open().audio.speech.create(said)).body) bytes += part.length;
    assert.ok(bytes > 44);
  },

  async "speech/error"({ open }) {
    await missing(open().audio.speech.create({ ...said, model: "no-such" }));
  },

  async "moderations/plain"({ open }) {
    const asked = { model: "omni-moderation-latest", input: ["nice", "I will kill it"] };
    const { results } = await open().moderations.create(asked);
    assert.deepEqual(results.map((result) => result.flagged), [false, true]);
  },

  async "moderations/error"({ open }) {
    await missing(open().moderations.create({ model: "no-such", input }));
  },
};

await runBoth(cases);
