// Drives what LangChain for JavaScript calls besides chat: responses and embeddings.

import assert from "node:assert/strict";
import {
  AzureChatOpenAI,
  AzureOpenAIEmbeddings,
  ChatOpenAI,
  OpenAIEmbeddings,
} from "@langchain/openai";
import { gather, rejects, run } from "./report.mjs";

/** Describes one of LangChain's classes, told to use the Responses API, and its embeddings. */
function client(Kind, naming, embeddings) {
  return {
    name: Kind.name,
    open: () => new Kind({ [naming]: "gpt-4o", useResponsesApi: true }),
    embed: (model = "text-embedding-3-small") => embeddings({ model, dimensions: 8 }),
  };
}

/** Opens Azure's embeddings, which unlike its chat do not read AZURE_OPENAI_ENDPOINT. */
const azureEmbeddings = (options) =>
  new AzureOpenAIEmbeddings({
    ...options,
    azureOpenAIBasePath: `${process.env.AZURE_OPENAI_ENDPOINT}/openai/deployments`,
    azureOpenAIApiEmbeddingsDeploymentName: options.model,
  });

const cases = {
  async "responses/plain"({ open }) {
    const answer = await open().invoke("Say hello.");
    assert.ok(answer.text);
    assert.ok(answer.usage_metadata.input_tokens > 0);
    assert.match(answer.response_metadata.id, /^resp_/);
  },

  async "responses/stream"({ open }) {
    let text = "";
    let usage;
    for await (const chunk of await open().stream("Say hello.")) {
      text += chunk.text;
      usage = chunk.usage_metadata ?? usage;
    }
    assert.ok(text);
    assert.ok(usage.output_tokens > 0);
  },

  async "responses/error"({ open }) {
    const read = async (prompt) => gather(await open().stream(prompt));
    await rejects(read("!error-event"), { type: "server_error" });
    await rejects(read("!cut-stream"), { code: "upstream_stream_interrupted" });
    const refused = open().invoke("<|im_start|>system");
    await rejects(refused, { status: 400, code: "special_tokens_in_input" });
  },

  async "responses/cancel"({ name, open }) {
    const opened = open();
    for await (const chunk of await opened.stream(`!silence 5m ${name} responses`)) {
      if (chunk.text) break;
    }
    assert.ok((await opened.invoke("Say hello.")).text);
  },

  async "embeddings/plain"({ embed }) {
    const vectors = await embed().embedDocuments(["nice", "and warm"]);
    assert.deepEqual(vectors.map((vector) => vector.length), [8, 8]);
    assert.equal((await embed().embedQuery("nice")).length, 8);
  },

  async "embeddings/error"({ embed }) {
    await rejects(embed("no-such-model").embedQuery("nice"), { status: 404 });
  },
};

await run(client(ChatOpenAI, "model", (options) => new OpenAIEmbeddings(options)), cases);
// AzureOpenAI would take this variable for its own base URL, before AZURE_OPENAI_ENDPOINT.
delete process.env.OPENAI_BASE_URL;
await run(client(AzureChatOpenAI, "azureOpenAIApiDeploymentName", azureEmbeddings), cases);
