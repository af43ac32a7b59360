// Drives the forms of openai-node, with OpenAI and AzureOpenAI: what sends pictures and sound.
//
// A case is named after the endpoint and after what is done there: plain, stream, error or cancel.

import assert from "node:assert/strict";
import { toFile } from "openai";
import { failures, leave, missing, read, runBoth, silent } from "./openai_both.mjs";
import { rejects } from "./report.mjs";

const picture = () => toFile(Buffer.from("\x89PNG\r\n\x1a\n of a cat", "latin1"), "cat.png", { type: "image/png" });
const seconds = 2;
const bytes = 32_000 * seconds;
const sound = () => toFile(Buffer.alloc(bytes, 1), "hello.wav", { type: "audio/wav" });
const said = `This is hello.wav of ${bytes} bytes.`;

/** Asks for a picture to be changed. */
const edit = async (open, asked) =>
  open().images.edit({ model: "gpt-image-1", image: await picture(), prompt: "A hat.", ...asked });

/** Asks for a picture to be changed, and for how far it has come. */
const edited = (open, prompt) => edit(open, { prompt, stream: true, partial_images: 2 });

/** Asks what is said in a sound. */
const transcribe = async (open, asked) =>
  open().audio.transcriptions.create({ model: "gpt-4o-transcribe", file: await sound(), ...asked });

/** Asks what is said in a sound, in English. */
const translate = async (open, asked) =>
  open().audio.translations.create({ model: "whisper", file: await sound(), ...asked });

const cases = {
  async "edits/plain"({ open }) {
    const one = await edit(open, { size: "1024x1024" });
    assert.equal(Buffer.from(one.data[0].b64_json, "base64").toString("latin1", 1, 4), "PNG");
    assert.equal(one.usage.input_tokens_details.image_tokens, 85);
    const image = [await picture(), await picture()];
    const two = await edit(open, { image, mask: await picture(), n: 2 });
    assert.equal(two.data.length, 2);
    assert.equal(two.usage.input_tokens_details.image_tokens, 170);
    assert.equal(two.usage.total_tokens, two.usage.input_tokens + two.usage.output_tokens);
  },

  async "edits/stream"({ open }) {
    const events = await read(edited(open, "A hat."));
    const [partial, whole] = ["image_edit.partial_image", "image_edit.completed"];
    assert.deepEqual(events.map((event) => event.type), [partial, partial, whole]);
    assert.ok(events.every((event) => event.b64_json));
    assert.ok(events.at(-1).usage.total_tokens > 0);
  },

  async "edits/error"({ open }) {
    await failures((prompt) => edited(open, prompt));
    await missing(edit(open, { model: "no-such" }));
    await rejects(edit(open, { prompt: "" }), { status: 400, param: "prompt" });
  },

  async "edits/cancel"({ name, open }) {
    const partial = "image_edit.partial_image";
    await leave(edited(open, silent(name, "edits")), (event) => event.type === partial);
    assert.ok((await edit(open, {})).data[0].b64_json);
  },

  async "transcriptions/plain"({ open }) {
    const newer = await transcribe(open, {});
    assert.equal(newer.text, said);
    assert.equal(newer.usage.input_token_details.audio_tokens, 10 * seconds);
    const older = await transcribe(open, { model: "whisper", language: "en", temperature: 0.2 });
    assert.equal(older.text, said);
    assert.deepEqual(older.usage, { type: "duration", seconds });
    const whisper = (response_format) => transcribe(open, { model: "whisper", response_format });
    const long = await whisper("verbose_json");
    assert.equal(long.text, said);
    assert.equal(long.duration, seconds);
    assert.deepEqual(long.segments.map(({ end }) => end), [seconds]);
    assert.equal(await whisper("text"), `${said}\n`);
    assert.equal(await whisper("srt"), `1\n00:00:00,000 --> 00:00:02,000\n${said}\n\n`);
    assert.equal(await whisper("vtt"), `WEBVTT\n\n00:00:00.000 --> 00:00:02.000\n${said}\n\n`);
  },

  async "transcriptions/stream"({ open }) {
    const events = await read(transcribe(open, { stream: true }));
    const deltas = events.filter(({ type }) => type === "transcript.text.delta");
    assert.ok(deltas.length > 1);
    assert.equal(deltas.map(({ delta }) => delta).join(""), said);
    assert.equal(events.at(-1).type, "transcript.text.done");
    assert.equal(events.at(-1).text, said);
    assert.ok(events.at(-1).usage.input_tokens > 0);
  },

  async "transcriptions/error"({ open }) {
    await failures((prompt) => transcribe(open, { prompt, stream: true }));
    await missing(transcribe(open, { model: "no-such" }));
    const refused = transcribe(open, { response_format: "srt" });
    await rejects(refused, { status: 400, param: "response_format" });
  },

  async "transcriptions/cancel"({ name, open }) {
    const asked = { prompt: silent(name, "transcriptions"), stream: true };
    await leave(transcribe(open, asked), ({ type }) => type === "transcript.text.delta");
    assert.equal((await transcribe(open, {})).text, said);
  },

  async "translations/plain"({ open }) {
    assert.equal((await translate(open, {})).text, said);
    assert.equal(await translate(open, { response_format: "text" }), `${said}\n`);
    const long = await translate(open, { response_format: "verbose_json" });
    assert.equal(long.text, said);
    assert.equal(long.duration, seconds);
  },

  async "translations/error"({ open }) {
    await missing(translate(open, { model: "no-such" }));
    const file = await toFile(Buffer.alloc(0), "empty.wav");
    await rejects(translate(open, { file }), { status: 400, param: "file" });
  },
};

await runBoth(cases);
