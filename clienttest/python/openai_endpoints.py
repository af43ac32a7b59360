"""Drives what openai-python calls besides chat, with each of its four classes.

A case is named after the endpoint and after what is done there: plain, stream, error or cancel.
"""

import openai

from openai_client import Client, MODEL
from report import each, raises, resolve, run

UNHURRIED = "gpt-4o-unhurried"
EMBEDDINGS = "text-embedding-3-small"
COMPLETIONS = "gpt-35-turbo-instruct"
IMAGES = "gpt-image-1"
SPEECH = "gpt-4o-mini-tts"
MODERATIONS = "omni-moderation-latest"
WEATHER = {
    "type": "function",
    "name": "weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
FAILURES = {"!error-event": "server_error", "!cut-stream": "upstream_stream_interrupted"}


def silent(client, endpoint):
    """Returns the prompt of a stream that falls silent behind its first content."""
    return f"!silence 5m {client.name} {endpoint}"


async def read(stream):
    """Returns the events of a stream read to its end."""
    return [event async for event in each(await resolve(stream))]


async def demand_failures(stream_of):
    """Demands that a stream which fails behind its first content raises a typed error."""
    for prompt, code in FAILURES.items():
        try:
            await read(stream_of(prompt))
        except openai.APIError as error:
            assert code in (error.code, error.type), (prompt, error.code, error.type)
        else:
            raise AssertionError(f"{prompt} raised nothing")


async def demand_left(stream, content, again):
    """Leaves a stream behind its first content, and demands that the next request is served."""
    opened = await resolve(stream)
    async for event in each(opened):
        if content(event):
            break
    await resolve(opened.close())
    assert await resolve(again())


async def responses_plain(client):
    api = client.open().responses
    first = await resolve(api.create(model=MODEL, input="Say hello."))
    assert first.output_text and first.status == "completed" and first.error is None
    assert first.usage.input_tokens > 0 and first.usage.output_tokens > 0
    second = await resolve(
        api.create(model=MODEL, input="And now?", previous_response_id=first.id)
    )
    assert second.output_text and second.previous_response_id == first.id
    called = await resolve(
        api.create(
            model=MODEL,
            input=[{"role": "user", "content": "What is the weather in Oslo?"}],
            tools=[WEATHER],
            tool_choice={"type": "function", "name": "weather"},
        )
    )
    assert called.output[0].type == "function_call" and called.output[0].name == "weather"


async def responses_stream(client):
    asked = client.open().responses.create(model=MODEL, input="Say hello.", stream=True)
    events = await read(asked)
    assert events[0].type == "response.created" and events[-1].type == "response.completed"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert text and text == events[-1].response.output_text
    assert events[-1].response.usage.total_tokens > 0


async def responses_error(client):
    api = client.open().responses
    await demand_failures(lambda prompt: api.create(model=MODEL, input=prompt, stream=True))
    with raises(openai.BadRequestError, code="special_tokens_in_input", param="input"):
        await resolve(api.create(model=MODEL, input="<|im_start|>system"))


async def responses_cancel(client):
    api = client.open().responses
    await demand_left(
        api.create(model=MODEL, input=silent(client, "responses"), stream=True),
        lambda event: event.type == "response.output_text.delta",
        lambda: api.create(model=MODEL, input="Say hello."),
    )


async def stored_plain(client):
    api = client.open().responses
    made = await resolve(api.create(model=MODEL, input="Say hello."))
    assert (await resolve(api.retrieve(made.id))).output_text == made.output_text
    items = [item async for item in each(await resolve(api.input_items.list(made.id)))]
    assert items[0].content[0].text == "Say hello."
    await resolve(api.delete(made.id))
    with raises(openai.NotFoundError, status_code=404):
        await resolve(api.retrieve(made.id))
    waiting = await resolve(api.create(model=UNHURRIED, input="Say hello.", background=True))
    assert (await resolve(api.cancel(waiting.id))).status == "cancelled"


async def stored_stream(client):
    api = client.open().responses
    events = await read(
        api.create(model=MODEL, input="Say hello.", background=True, stream=True)
    )
    made = events[-1].response
    again = await read(api.retrieve(made.id, stream=True, starting_after=1))
    assert again[0].sequence_number == 2 and again[-1].type == "response.completed"
    assert again[-1].response.output_text == made.output_text


async def stored_error(client):
    api = client.open().responses
    for call in (api.retrieve, api.delete, api.cancel):
        with raises(openai.NotFoundError, status_code=404):
            await resolve(call("resp_of_nobody"))


async def count_plain(client):
    asked = client.open().responses.input_tokens.count(model=MODEL, input="Say hello.")
    assert (await resolve(asked)).input_tokens > 0


async def count_error(client):
    with raises(openai.NotFoundError, status_code=404):
        await resolve(client.open().responses.input_tokens.count(model="no-such", input="Hi."))


async def compact_plain(client):
    api = client.open().responses
    asked = api.compact(model=MODEL, input=[{"role": "user", "content": "Say hello."}])
    assert (await resolve(asked)).output


async def compact_error(client):
    with raises(openai.NotFoundError, status_code=404):
        await resolve(client.open().responses.compact(model="no-such", input="Hi."))


async def embeddings_plain(client):
    api = client.open().embeddings
    for given, count in (("a", 1), (["a", "b"], 2), ([1, 2], 1), ([[1], [2]], 2)):
        answer = await resolve(api.create(model=EMBEDDINGS, input=given, dimensions=8))
        assert [len(vector.embedding) for vector in answer.data] == [8] * count, given
        assert answer.usage.prompt_tokens > 0
    raw = await resolve(api.create(model=EMBEDDINGS, input="a", encoding_format="float"))
    assert isinstance(raw.data[0].embedding[0], float)


async def embeddings_error(client):
    api = client.open().embeddings
    with raises(openai.BadRequestError, param="input"):
        await resolve(api.create(model=EMBEDDINGS, input=["a"] * 2049))


async def completions_plain(client):
    answer = await resolve(
        client.open().completions.create(model=COMPLETIONS, prompt="Say hello.")
    )
    assert answer.choices[0].text and answer.usage.total_tokens > 0


async def completions_stream(client):
    api = client.open().completions
    chunks = await read(api.create(model=COMPLETIONS, prompt="Say hello.", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices)


async def completions_error(client):
    api = client.open().completions
    await demand_failures(lambda text: api.create(model=COMPLETIONS, prompt=text, stream=True))
    with raises(openai.BadRequestError, code="special_tokens_in_input", param="prompt"):
        await resolve(api.create(model=COMPLETIONS, prompt="<|im_start|>system"))


async def completions_cancel(client):
    api = client.open().completions
    await demand_left(
        api.create(model=COMPLETIONS, prompt=silent(client, "completions"), stream=True),
        lambda chunk: chunk.choices and chunk.choices[0].text,
        lambda: api.create(model=COMPLETIONS, prompt="Say hello."),
    )


async def images_plain(client):
    answer = await resolve(client.open().images.generate(model=IMAGES, prompt="A cat."))
    assert answer.data[0].b64_json and answer.usage.total_tokens > 0


def pictures(client, prompt):
    """Asks for a picture, and for how far it has come."""
    return client.open().images.generate(
        model=IMAGES, prompt=prompt, stream=True, partial_images=2
    )


async def images_stream(client):
    events = await read(pictures(client, "A cat."))
    partial, whole = "image_generation.partial_image", "image_generation.completed"
    assert [event.type for event in events] == [partial, partial, whole]
    assert all(event.b64_json for event in events)


async def images_error(client):
    await demand_failures(lambda prompt: pictures(client, prompt))
    with raises(openai.NotFoundError, status_code=404):
        await resolve(client.open().images.generate(model="no-such", prompt="A cat."))


async def images_cancel(client):
    await demand_left(
        pictures(client, silent(client, "images")),
        lambda event: event.type == "image_generation.partial_image",
        lambda: client.open().images.generate(model=IMAGES, prompt="A cat."),
    )


SAID = {"model": SPEECH, "voice": "alloy", "response_format": "wav", "input": "Say hello."}


async def speech_plain(client):
    answer = await resolve(client.open().audio.speech.create(**SAID))
    assert answer.content.startswith(b"RIFF")


async def speech_stream(client):
    """The sound is read as it comes."""
    asked = client.open().audio.speech.with_streaming_response.create(**SAID)
    if hasattr(asked, "__aenter__"):
        async with asked as answer:
            parts = [part async for part in answer.iter_bytes(1024)]
    else:
        with asked as answer:
            parts = list(answer.iter_bytes(1024))
    assert len(parts) > 1 and parts[0].startswith(b"RIFF")


async def speech_error(client):
    with raises(openai.NotFoundError, status_code=404):
        await resolve(client.open().audio.speech.create(**SAID | {"model": "no-such"}))


async def moderations_plain(client):
    api = client.open().moderations
    answer = await resolve(api.create(model=MODERATIONS, input=["nice", "I will kill it"]))
    assert [result.flagged for result in answer.results] == [False, True]


async def moderations_error(client):
    with raises(openai.NotFoundError, status_code=404):
        await resolve(client.open().moderations.create(model="no-such", input="nice"))


CASES = {
    "responses/plain": responses_plain,
    "responses/stream": responses_stream,
    "responses/error": responses_error,
    "responses/cancel": responses_cancel,
    "stored/plain": stored_plain,
    "stored/stream": stored_stream,
    "stored/error": stored_error,
    "count/plain": count_plain,
    "count/error": count_error,
    "compact/plain": compact_plain,
    "compact/error": compact_error,
    "embeddings/plain": embeddings_plain,
    "embeddings/error": embeddings_error,
    "completions/plain": completions_plain,
    "completions/stream": completions_stream,
    "completions/error": completions_error,
    "completions/cancel": completions_cancel,
    "images/plain": images_plain,
    "images/stream": images_stream,
    "images/error": images_error,
    "images/cancel": images_cancel,
    "speech/plain": speech_plain,
    "speech/stream": speech_stream,
    "speech/error": speech_error,
    "moderations/plain": moderations_plain,
    "moderations/error": moderations_error,
}

if __name__ == "__main__":
    run(
        (Client("OpenAI", openai.OpenAI), CASES),
        (Client("AsyncOpenAI", openai.AsyncOpenAI), CASES),
        (Client("AzureOpenAI", openai.AzureOpenAI), CASES),
        (Client("AsyncAzureOpenAI", openai.AsyncAzureOpenAI), CASES),
    )
