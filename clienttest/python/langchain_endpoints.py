"""Drives what LangChain for Python calls besides chat: responses and embeddings."""

import openai
from langchain_openai import AzureChatOpenAI, AzureOpenAIEmbeddings, ChatOpenAI, OpenAIEmbeddings

from langchain_client import MODEL, Client, weather
from report import raises, run

EMBEDDINGS = "text-embedding-3-small"


def responses(client):
    """Returns the chat model, told to use the Responses API."""
    return client.open(use_responses_api=True)


async def responses_plain(client):
    answer = await responses(client).ainvoke("Say hello.")
    assert answer.text and answer.id.startswith("resp_"), answer
    assert answer.usage_metadata["input_tokens"] > 0
    model = responses(client).bind_tools([weather], tool_choice="weather")
    assert model.invoke("What is the weather in Oslo?").tool_calls[0]["name"] == "weather"


async def responses_stream(client):
    text, used = "", None
    async for chunk in responses(client).astream("Say hello."):
        text += chunk.text
        used = chunk.usage_metadata or used
    assert text and used["output_tokens"] > 0


async def responses_error(client):
    for prompt, code in (
        ("!error-event", "server_error"),
        ("!cut-stream", "upstream_stream_interrupted"),
    ):
        try:
            async for _ in responses(client).astream(prompt):
                pass
        except openai.APIError as error:
            assert code in (error.code, error.type), (prompt, error.code, error.type)
        else:
            raise AssertionError(f"{prompt} raised nothing")
    with raises(openai.BadRequestError, code="special_tokens_in_input"):
        await responses(client).ainvoke("<|im_start|>system")


async def responses_cancel(client):
    model = responses(client)
    chunks = model.astream(f"!silence 5m {client.name} responses")
    async for chunk in chunks:
        if chunk.text:
            break
    await chunks.aclose()
    assert (await model.ainvoke("Say hello.")).text


EMBEDDERS = {"ChatOpenAI": OpenAIEmbeddings, "AzureChatOpenAI": AzureOpenAIEmbeddings}


async def embeddings_plain(client):
    """LangChain sends lists of tokens, which its own tokenizer made."""
    embedder = EMBEDDERS[client.name](model=EMBEDDINGS, dimensions=8)
    vectors = await embedder.aembed_documents(["nice", "and warm"])
    assert [len(vector) for vector in vectors] == [8, 8]
    assert len(embedder.embed_query("nice")) == 8


async def embeddings_error(client):
    with raises(openai.NotFoundError, status_code=404):
        await EMBEDDERS[client.name](model="no-such-model").aembed_query("nice")


CASES = {
    "responses/plain": responses_plain,
    "responses/stream": responses_stream,
    "responses/error": responses_error,
    "responses/cancel": responses_cancel,
    "embeddings/plain": embeddings_plain,
    "embeddings/error": embeddings_error,
}

if __name__ == "__main__":
    run(
        (Client("ChatOpenAI", ChatOpenAI, "model"), CASES),
        (Client("AzureChatOpenAI", AzureChatOpenAI, "azure_deployment"), CASES),
    )
