// Drives openai-node: OpenAI and AzureOpenAI.
//
// Where to go and with which key is left to the environment variables the library itself reads.

import assert from "node:assert/strict";
import OpenAI, { AzureOpenAI } from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { noting, rejects, run, waitsOnce } from "./report.mjs";

const model = "gpt-4o";
const weather = {
  type: "function",
  function: {
    name: "weather",
    description: "The weather in a city.",
    parameters: {
      type: "object",
      properties: { city: { type: "string" } },
      required: ["city"],
      additionalProperties: false,
    },
    strict: true,
  },
};
const weatherFirst = { type: "function", function: { name: "weather" } };
const City = z.object({ name: z.string(), inhabitants: z.number() });

const user = (content) => [{ role: "user", content }];

/** Describes one of the library's classes and opens it as its users do. */
function client(Kind) {
  const open = (options) => new Kind(options);
  return {
    name: Kind.name,
    azure: Kind === AzureOpenAI,
    open,
    create: (prompt, options) =>
      open().chat.completions.create({ model, messages: user(prompt), ...options }),
  };
}

/** Returns the text, the finish reason and the usage of a stream read to its end. */
async function read(stream) {
  const got = { text: "", finish: null, usage: null };
  for await (const chunk of await stream) {
    got.usage = chunk.usage ?? got.usage;
    for (const choice of chunk.choices) {
      got.finish = choice.finish_reason ?? got.finish;
      got.text += choice.delta?.content ?? "";
    }
  }
  return got;
}

const cases = {
  async plain({ create }) {
    const answer = await create("Say hello.");
    assert.ok(answer.choices[0].message.content);
    assert.equal(answer.choices[0].finish_reason, "stop");
    assert.ok(answer._request_id, "no request id");
  },

  async usage({ create }) {
    const { usage } = await create("Say hello.");
    assert.ok(usage.prompt_tokens > 0 && usage.completion_tokens > 0);
    assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
  },

  async stream({ create }) {
    const got = await read(create("Say hello.", { stream: true }));
    assert.ok(got.text);
    assert.equal(got.finish, "stop");
    assert.equal(got.usage, null, "usage that nobody asked for");
  },

  async "stream usage"({ create }) {
    const whole = (await create("Say hello.")).usage;
    const options = { stream: true, stream_options: { include_usage: true } };
    const { usage } = await read(create("Say hello.", options));
    assert.equal(usage.prompt_tokens, whole.prompt_tokens);
    assert.equal(usage.completion_tokens, whole.completion_tokens);
  },

  async "respelled model"({ create }) {
    const answer = await create("Say hello.", { model: "gpt-3.5-turbo" });
    assert.ok(answer.choices[0].message.content);
  },

  async tools({ open }) {
    const messages = user("What is the weather in Oslo?");
    const tools = [weather];
    const asked = { model, messages, tools, tool_choice: weatherFirst };
    const first = (await open().chat.completions.create(asked)).choices[0].message;
    const call = first.tool_calls[0];
    assert.equal(call.function.name, "weather");
    assert.ok("city" in JSON.parse(call.function.arguments));
    messages.push(first, { role: "tool", tool_call_id: call.id, content: "rain" });
    const second = await open().chat.completions.create({ model, messages, tools });
    assert.ok(second.choices[0].message.content);
    assert.equal(second.choices[0].finish_reason, "stop");
  },

  async "stream tools"({ open }) {
    const messages = user("What is the weather in Oslo?");
    const asked = { model, messages, tools: [weather], tool_choice: weatherFirst };
    const final = await open().chat.completions.stream(asked).finalChatCompletion();
    const call = final.choices[0].message.tool_calls[0];
    assert.equal(call.function.name, "weather");
    assert.ok("city" in JSON.parse(call.function.arguments));
  },

  async structured({ open }) {
    const answer = await open().chat.completions.parse({
      model,
      messages: user("Name a city."),
      response_format: zodResponseFormat(City, "city"),
    });
    assert.ok(City.parse(answer.choices[0].message.parsed));
  },

  async models({ open }) {
    const ids = [];
    for await (const listed of open().models.list()) ids.push(listed.id);
    assert.ok(ids.includes(model), `${ids}`);
    assert.equal((await open().models.retrieve(model)).id, model);
  },

  async "wrong key"({ open }) {
    const asked = { model, messages: user("Say hello.") };
    const answer = open({ apiKey: "sk-of-nobody" }).chat.completions.create(asked);
    const error = await rejects(answer, { status: 401, code: "invalid_api_key" });
    assert.ok(error instanceof OpenAI.AuthenticationError);
  },

  async "special token"({ create }) {
    const error = await rejects(create("<|im_start|>system"), {
      status: 400,
      code: "special_tokens_in_input",
      param: "messages[0].content",
      type: "invalid_request_error",
    });
    assert.ok(error instanceof OpenAI.BadRequestError);
  },

  async "unknown model"({ create, azure }) {
    await rejects(create("Say hello.", { model: "no-such-model" }), {
      status: 404,
      code: azure ? "DeploymentNotFound" : "model_not_found",
    });
  },

  async "rate limited"({ name, open }) {
    const statuses = [];
    const opened = open({
      apiKey: process.env.LIMITED_KEY_PREFIX + name,
      fetch: noting(statuses),
    });
    const asked = { model, messages: user("Say hello.") };
    await waitsOnce(statuses, () => opened.chat.completions.create(asked));
  },

  async cured({ open }) {
    const asked = { model, messages: user("!unicode-500"), temperature: 1.2 };
    const { data, response } = await open({ maxRetries: 0 })
      .chat.completions.create(asked)
      .withResponse();
    assert.ok(data.choices[0].message.content);
    assert.equal(response.headers.get("x-weir-attempts"), "2");
  },

  async "cured stream"({ create }) {
    const got = await read(create("!unicode-500", { stream: true }));
    assert.ok(got.text);
    assert.equal(got.finish, "stop");
  },

  async "cut stream"({ create }) {
    const answer = read(create("!cut-stream", { stream: true }));
    await rejects(answer, { code: "upstream_stream_interrupted" });
  },

  async "error event"({ create }) {
    const error = await rejects(read(create("!error-event", { stream: true })), {
      type: "server_error",
    });
    assert.ok(error instanceof OpenAI.APIError, error.stack);
  },

  async "cancelled stream"({ name, open }) {
    const opened = open();
    const asked = { model, messages: user(`!silence 5m ${name}`), stream: true };
    for await (const chunk of await opened.chat.completions.create(asked)) {
      if (chunk.choices[0]?.delta?.content) break;
    }
    const next = { model, messages: user("Say hello.") };
    assert.ok((await opened.chat.completions.create(next)).choices[0].message.content);
  },
};

const openai = {
  async "whole chunks"({ create }) {
    for await (const chunk of await create("Say hello.", { stream: true })) {
      assert.ok(chunk.id && chunk.choices.length > 0, JSON.stringify(chunk));
      assert.ok(chunk.choices.every((choice) => choice.delta), JSON.stringify(chunk));
    }
  },

  async "no version"({ open }) {
    for (const base of ["", "/openai/v1"]) {
      const opened = open({ baseURL: process.env.AZURE_OPENAI_ENDPOINT + base });
      const asked = { model, messages: user("Say hello.") };
      assert.ok((await opened.chat.completions.create(asked)).choices[0].message.content);
    }
  },
};

const azure = {
  async annotations({ create }) {
    for await (const chunk of await create("Say hello.", { stream: true })) {
      assert.deepEqual(chunk.choices, []);
      assert.ok(chunk.prompt_filter_results);
      break;
    }
  },

  async deployment({ open }) {
    const asked = { model: "no-such-model", messages: user("Say hello.") };
    const answer = await open({ deployment: model }).chat.completions.create(asked);
    assert.ok(answer.choices[0].message.content);
  },
};

await run(client(OpenAI), { ...cases, ...openai });
// AzureOpenAI would take this variable for its own base URL, before AZURE_OPENAI_ENDPOINT.
delete process.env.OPENAI_BASE_URL;
await run(client(AzureOpenAI), { ...cases, ...azure });
