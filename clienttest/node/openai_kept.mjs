// Drives what the API keeps, with OpenAI and AzureOpenAI: files, batches and stored chats.
//
// A case is named after the endpoint and after what is done there: plain, stream or error.

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import OpenAI, { toFile } from "openai";
import { missing, read, runBoth } from "./openai_both.mjs";
import { rejects } from "./report.mjs";

const model = "gpt-4o";
const endpoint = "/v1/chat/completions";
const stranger = { apiKey: process.env.STRANGER_KEY };

/** Returns the ids of all that is on a page and on those behind it. */
const listed = async (page) => (await read(page)).map(({ id }) => id);

const upload = async (open, text, name = "notes.txt", purpose = "assistants") =>
  open().files.create({ file: await toFile(Buffer.from(text), name), purpose });

/** Returns one request of a batch. */
const line = (custom_id, content, named = model) => {
  const body = { model: named, messages: [{ role: "user", content }] };
  return `${JSON.stringify({ custom_id, method: "POST", url: endpoint, body })}\n`;
};

/** Uploads two requests and creates a batch of them. */
async function begin(open, options) {
  const work = line("one", "Say hello first.") + line("two", "Say hello second.");
  const { id } = await upload(open, work, "work.jsonl", "batch");
  const asked = { input_file_id: id, endpoint, completion_window: "24h", ...options };
  const made = await open().batches.create(asked);
  assert.equal(made.input_file_id, id);
  return made;
}

/** Waits for a batch to stand as wanted. */
async function until(open, { id }, wanted) {
  let made;
  for (let i = 0; i < 400; i++) {
    made = await open().batches.retrieve(id);
    if (made.status === wanted) return made;
    await pause(50);
  }
  assert.fail(`the batch is still ${made.status}`);
}

/** Asks for a chat that is stored. */
const store = (open, content, options) =>
  open().chat.completions.create({
    model,
    messages: [{ role: "user", content }],
    store: true,
    ...options,
  });

const cases = {
  async "files/plain"({ name, open }) {
    const api = open().files;
    const ids = [];
    for (const i of [0, 1, 2]) {
      const text = `Note ${i} of ${name}.`;
      const made = await upload(open, text);
      assert.equal(made.filename, "notes.txt");
      assert.equal(made.purpose, "assistants");
      assert.equal(made.bytes, text.length);
      assert.deepEqual(await api.retrieve(made.id), made);
      assert.equal(await (await api.content(made.id)).text(), text);
      ids.push(made.id);
    }
    // Two a page: the client asks for the next by itself, behind the last it has.
    for (const [order, want] of [["asc", ids], ["desc", ids.toReversed()]]) {
      const got = await listed(api.list({ limit: 2, order, purpose: "assistants" }));
      assert.deepEqual(got.filter((id) => ids.includes(id)), want);
      assert.equal(new Set(got).size, got.length);
    }
    const { id, deleted } = await api.delete(ids[0]);
    assert.ok(deleted && id === ids[0]);
    await missing(api.retrieve(ids[0]));
    await missing(api.content(ids[0]));
    assert.ok(!(await listed(api.list())).includes(ids[0]));
    for (const rest of ids.slice(1)) await api.delete(rest);
  },

  async "files/error"({ open }) {
    const [own, foreign] = [open().files, open(stranger).files];
    const { id } = await upload(open, "A secret.");
    for (const [api, of] of [[own, "file-of-nobody"], [foreign, id]]) {
      await missing(api.retrieve(of));
      await missing(api.content(of));
      await missing(api.delete(of));
    }
    assert.ok(!(await listed(foreign.list())).includes(id));
    assert.equal(await (await own.content(id)).text(), "A secret.");
    await rejects(upload(open, "Say hello.", "notes.txt", ""), { status: 400 });
    await own.delete(id);
  },

  async "batches/plain"({ open }) {
    const { batches, files } = open();
    const made = await begin(open, { metadata: { job: "nightly" } });
    const again = await begin(open);
    assert.deepEqual(made.metadata, { job: "nightly" });
    assert.match((await batches.cancel(again.id)).status, /^cancell/);
    const ended = await until(open, made, "completed");
    assert.equal(ended.request_counts.completed, 2);
    assert.deepEqual(ended.metadata, { job: "nightly" });
    const lines = (await (await files.content(ended.output_file_id)).text()).trim().split("\n");
    const said = lines.map((text) => JSON.parse(text));
    assert.deepEqual(said.map(({ custom_id }) => custom_id), ["one", "two"]);
    assert.match(said[1].response.body.choices[0].message.content, /second/);
    assert.equal((await files.retrieve(ended.output_file_id)).id, ended.output_file_id);
    const got = await listed(batches.list({ limit: 1 }));
    const ours = [again.id, made.id];
    assert.deepEqual(got.filter((id) => ours.includes(id)), ours);
    assert.ok(!(await until(open, again, "cancelled")).output_file_id);
  },

  async "batches/error"({ open }) {
    const [own, foreign] = [open().batches, open(stranger).batches];
    const made = await begin(open);
    for (const [api, of] of [[own, "batch_of_nobody"], [foreign, made.id]]) {
      await missing(api.retrieve(of));
      await missing(api.cancel(of));
    }
    assert.ok(!(await listed(foreign.list())).includes(made.id));
    for (const input_file_id of ["file-of-nobody", made.input_file_id]) {
      const stolen = foreign.create({ input_file_id, endpoint, completion_window: "24h" });
      const error = await rejects(stolen, { param: "input_file_id" });
      assert.ok(error instanceof OpenAI.BadRequestError || error.status === 404, error.stack);
    }
    const special = upload(open, line("one", "<|im_start|>system"), "work.jsonl", "batch");
    await rejects(special, { status: 400, code: "special_tokens_in_input" });
    const unknown = upload(open, line("one", "Say hello.", "no-such"), "work.jsonl", "batch");
    await rejects(unknown, { status: 404, code: "model_not_found" });
    await own.cancel(made.id);
  },

  async "chats/plain"({ name, open }) {
    const api = open().chat.completions;
    const made = await store(open, "Say hello.", { metadata: { case: name } });
    const again = await api.retrieve(made.id);
    assert.equal(again.id, made.id);
    assert.deepEqual(again.choices[0].message, made.choices[0].message);
    assert.deepEqual(again.metadata, { case: name });
    const asked = await read(api.messages.list(made.id));
    assert.deepEqual(asked.map(({ content }) => content), ["Say hello."]);
    const second = await store(open, "And now?");
    const ids = [made.id, second.id];
    const got = await listed(api.list({ limit: 1 }));
    assert.deepEqual(got.filter((id) => ids.includes(id)), ids);
    const changed = await api.update(made.id, { metadata: { case: "another" } });
    assert.equal(changed.id, made.id);
    assert.deepEqual((await api.retrieve(made.id)).metadata, { case: "another" });
    for (const id of ids) assert.ok((await api.delete(id)).deleted);
    await missing(api.retrieve(made.id));
    assert.ok(!(await listed(api.list())).includes(made.id));
  },

  async "chats/stream"({ open }) {
    const api = open().chat.completions;
    const chunks = await read(store(open, "Say hello.", { stream: true }));
    const named = new Set(chunks.map(({ id }) => id).filter(Boolean));
    assert.equal(named.size, 1);
    const [kept] = named;
    const text = chunks.map(({ choices }) => choices[0]?.delta?.content ?? "").join("");
    const again = await api.retrieve(kept);
    assert.equal(again.id, kept);
    assert.equal(again.choices[0].message.content, text);
    await api.delete(kept);
  },

  async "chats/error"({ open }) {
    const { id } = await store(open, "Say hello.");
    const [own, foreign] = [open().chat.completions, open(stranger).chat.completions];
    for (const [api, of] of [[own, "chatcmpl-of-nobody"], [foreign, id]]) {
      await missing(api.retrieve(of));
      await missing(api.update(of, { metadata: { a: "b" } }));
      await missing(api.delete(of));
      await missing(read(api.messages.list(of)));
    }
    assert.ok(!(await listed(foreign.list())).includes(id));
    await own.delete(id);
  },
};

await runBoth(cases);
