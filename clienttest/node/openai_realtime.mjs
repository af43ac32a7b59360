// Drives realtime sessions with openai-node, over OpenAI and AzureOpenAI. The library opens
// them over TLS only.

import assert from "node:assert/strict";
import { AzureOpenAI } from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";
import { runBoth, silent } from "./openai_both.mjs";

/** A session of which each event is awaited. */
class Session {
  #events = [];
  #wake = () => {};

  /** Opens a session. What fails is an event of type error, as the API's are. */
  static async open(open, model = "gpt-realtime") {
    const client = open();
    const session = new Session();
    session.socket =
      client instanceof AzureOpenAI
        ? await OpenAIRealtimeWS.azure(client, { deploymentName: model })
        : new OpenAIRealtimeWS({ model }, client);
    session.socket.on("event", (event) => session.#put(event));
    session.socket.on("error", (error) => error.error || session.#put({ type: "failed", error }));
    session.socket.socket.on("close", (code) => session.#put({ type: "closed", code }));
    const first = await session.next();
    if (first.type === "failed") throw first.error;
    assert.equal(first.type, "session.created");
    assert.equal(first.session.model, model);
    return session;
  }

  #put(event) {
    this.#events.push(event);
    this.#wake();
  }

  async next() {
    while (this.#events.length === 0) {
      await new Promise((resolve) => (this.#wake = resolve));
    }
    return this.#events.shift();
  }

  /** Returns the events up to the first of a type that is wanted. */
  async until(wanted) {
    const events = [await this.next()];
    while (events.at(-1).type !== wanted) {
      assert.notEqual(events.at(-1).type, "closed", `closed before ${wanted}`);
      events.push(await this.next());
    }
    return events;
  }

  say(text) {
    const content = [{ type: "input_text", text }];
    this.socket.send({
      type: "conversation.item.create",
      item: { type: "message", role: "user", content },
    });
  }

  ask(text) {
    this.say(text);
    this.socket.send({ type: "response.create" });
  }

  /** Returns the response to a text. */
  async answer(text) {
    this.ask(text);
    return (await this.until("response.done")).at(-1).response;
  }

  close() {
    this.socket.close();
  }
}

const delta = "response.output_text.delta";

const cases = {
  async "realtime/plain"({ open }) {
    const s = await Session.open(open);
    const session = { type: "realtime", instructions: "Be brief.", output_modalities: ["text"] };
    s.socket.send({ type: "session.update", session });
    const updated = await s.next();
    assert.equal(updated.type, "session.updated");
    assert.equal(updated.session.instructions, "Be brief.");
    s.ask("!echo Hello to all of you.");
    const events = await s.until("response.done");
    const text = events.filter(({ type }) => type === delta).map((event) => event.delta);
    assert.equal(text.join(""), "Hello to all of you.");
    assert.ok(events.some(({ type }) => type === "response.created"));
    const { response } = events.at(-1);
    assert.equal(response.status, "completed");
    assert.ok(response.usage.input_tokens > 0 && response.usage.output_tokens > 0);
    const second = await s.answer("And now?");
    assert.ok(second.usage.input_tokens > response.usage.input_tokens);
    s.close();
  },

  async "realtime/stream"({ open }) {
    const s = await Session.open(open);
    const tools = [{ type: "function", name: "weather", parameters: { type: "object" } }];
    s.socket.send({ type: "session.update", session: { type: "realtime", tools } });
    s.ask("!tool weather");
    const events = await s.until("response.done");
    const [call] = events.at(-1).response.output;
    assert.equal(call.name, "weather");
    const pieces = events.filter(({ type }) => type === "response.function_call_arguments.delta");
    assert.equal(pieces.map((event) => event.delta).join(""), call.arguments);
    const item = { type: "function_call_output", call_id: call.call_id, output: "rain" };
    s.socket.send({ type: "conversation.item.create", item });
    s.socket.send({ type: "response.create" });
    assert.equal((await s.until("response.done")).at(-1).response.status, "completed");
    s.close();
  },

  async "realtime/error"({ open }) {
    const s = await Session.open(open);
    s.say("<|im_start|>system");
    const refused = (await s.until("error")).at(-1).error;
    assert.equal(refused.code, "special_tokens_in_input");
    assert.equal(refused.type, "invalid_request_error");
    assert.equal((await s.answer("!echo still here")).status, "completed");
    s.ask("!cut-stream");
    const cut = (await s.until("error")).at(-1).error;
    assert.equal(cut.code, "upstream_stream_interrupted");
    assert.equal((await s.until("closed")).at(-1).code, 1011);
    await assert.rejects(Session.open(open, "no-such"), /404/);
    await assert.rejects(Session.open(() => open({ apiKey: "sk-of-nobody" })), /401/);
  },

  async "realtime/cancel"({ name, open }) {
    const left = await Session.open(open);
    left.ask(silent(name, "realtime"));
    await left.until(delta);
    left.close();
    const s = await Session.open(open);
    assert.equal((await s.answer("Say hello.")).status, "completed");
    s.close();
  },
};

await runBoth(cases);
