// Runs cases with both classes of openai-node, and demands what cases of many endpoints demand.

import assert from "node:assert/strict";
import OpenAI, { AzureOpenAI } from "openai";
import { gather, rejects, run } from "./report.mjs";

const client = (Kind) => ({ name: Kind.name, open: (options) => new Kind(options) });

/** Runs every case with OpenAI and with AzureOpenAI. */
export async function runBoth(cases) {
  await run(client(OpenAI), cases);
  // AzureOpenAI would take this variable for its own base URL, before AZURE_OPENAI_ENDPOINT.
  delete process.env.OPENAI_BASE_URL;
  await run(client(AzureOpenAI), cases);
}

/** Returns the prompt of a stream that falls silent behind its first content. */
export const silent = (name, endpoint) => `!silence 5m ${name} ${endpoint}`;

/** Returns the events of a stream read to its end. */
export const read = async (stream) => gather(await stream);

/** Demands that a stream which fails behind its first content throws a typed error. */
export async function failures(streamOf) {
  const error = await rejects(read(streamOf("!error-event")), { type: "server_error" });
  assert.ok(error instanceof OpenAI.APIError, error.stack);
  await rejects(read(streamOf("!cut-stream")), { code: "upstream_stream_interrupted" });
}

/** Leaves a stream behind its first content. */
export async function leave(stream, content) {
  for await (const event of await stream) {
    if (content(event)) break;
  }
}

/** Demands that a call is answered as if what it names had never been. */
export async function missing(call) {
  const error = await rejects(call, { status: 404 });
  assert.ok(error instanceof OpenAI.NotFoundError, error.stack);
}
