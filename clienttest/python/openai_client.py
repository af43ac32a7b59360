"""Drives openai-python: OpenAI, AsyncOpenAI, AzureOpenAI and AsyncAzureOpenAI.

Where to go and with which key is left to the environment variables the library itself reads.
"""

import json
import os
from dataclasses import dataclass
from typing import Callable

import openai
from pydantic import BaseModel

from report import each, raises, resolve, run

MODEL = "gpt-4o"
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}

WEATHER_FIRST = {"type": "function", "function": {"name": "weather"}}


class City(BaseModel):
    name: str
    inhabitants: int


@dataclass
class Client:
    """One of the library's client classes, and how a program opens it."""

    name: str
    open: Callable

    def create(self, prompt, model=MODEL, **options):
        """Asks for a completion with the client as its users open it."""
        return self.ask(self.open(), prompt, model, **options)

    @staticmethod
    def ask(client, prompt, model=MODEL, **options):
        """Asks a client that is already open."""
        messages = prompt if isinstance(prompt, list) else user(prompt)
        return resolve(client.chat.completions.create(model=model, messages=messages, **options))


def user(text):
    return [{"role": "user", "content": text}]


async def read(stream):
    """Returns the text, the finish reason and the usage of a stream read to its end."""
    text, finish, usage = "", None, None
    async for chunk in each(stream):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            finish = choice.finish_reason or finish
            if choice.delta is not None:
                text += choice.delta.content or ""
    return text, finish, usage


async def plain(client):
    answer = await client.create("Say hello.")
    assert answer.choices[0].message.content
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer._request_id, "no request id"


async def usage(client):
    got = (await client.create("Say hello.")).usage
    assert got.prompt_tokens > 0 and got.completion_tokens > 0
    assert got.total_tokens == got.prompt_tokens + got.completion_tokens


async def stream(client):
    text, finish, used = await read(await client.create("Say hello.", stream=True))
    assert text and finish == "stop"
    assert used is None, f"usage that nobody asked for: {used}"


async def stream_usage(client):
    whole = (await client.create("Say hello.")).usage
    options = {"include_usage": True}
    _, _, used = await read(
        await client.create("Say hello.", stream=True, stream_options=options)
    )
    assert used is not None and used.total_tokens == whole.total_tokens, (used, whole)


async def whole_chunks(client):
    """On the OpenAI paths every chunk has an id, a choice and a delta."""
    async for chunk in each(await client.create("Say hello.", stream=True)):
        assert chunk.id and chunk.object == "chat.completion.chunk", chunk
        assert chunk.choices, f"a chunk without choices: {chunk}"
        assert all(choice.delta is not None for choice in chunk.choices), chunk


async def annotations(client):
    """On Azure's paths the annotation of the prompt arrives as Azure sent it."""
    chunks = [chunk async for chunk in each(await client.create("Say hello.", stream=True))]
    assert chunks[0].choices == [] and chunks[0].prompt_filter_results, chunks[0]


async def no_version(client):
    """The base URL may lack /v1, and may be that of Azure's own v1 surface."""
    for base in ["", "/openai/v1"]:
        opened = client.open(base_url=os.environ["AZURE_OPENAI_ENDPOINT"] + base)
        answer = await client.ask(opened, "Say hello.")
        assert answer.choices[0].message.content


async def deployment(client):
    """The deployment in the path wins over the model in the body."""
    opened = client.open(azure_deployment=MODEL)
    answer = await client.ask(opened, "Say hello.", model="no-such-model")
    assert answer.choices[0].message.content


async def base_url(client):
    """A base URL in the place of the endpoint yields paths without /openai."""
    endpoint = os.environ.pop("AZURE_OPENAI_ENDPOINT")
    try:
        opened = client.open(base_url=endpoint)
    finally:
        os.environ["AZURE_OPENAI_ENDPOINT"] = endpoint
    answer = await client.ask(opened, "Say hello.")
    assert answer.choices[0].message.content


async def respelled(client):
    """OpenAI's gpt-3.5-turbo is Azure's gpt-35-turbo."""
    answer = await client.create("Say hello.", model="gpt-3.5-turbo")
    assert answer.choices[0].message.content


async def tools(client):
    messages = user("What is the weather in Oslo?")
    first = await client.create(messages, tools=[WEATHER], tool_choice=WEATHER_FIRST)
    call = first.choices[0].message.tool_calls[0]
    assert call.function.name == "weather"
    assert "city" in json.loads(call.function.arguments)
    messages += [
        first.choices[0].message,
        {"role": "tool", "tool_call_id": call.id, "content": "rain"},
    ]
    second = await client.create(messages, tools=[WEATHER])
    assert second.choices[0].finish_reason == "stop"
    assert second.choices[0].message.content


async def stream_tools(client):
    name, arguments = "", ""
    asked = await client.create(
        "What is the weather in Oslo?", tools=[WEATHER], tool_choice=WEATHER_FIRST, stream=True
    )
    async for chunk in each(asked):
        for choice in chunk.choices:
            for call in (choice.delta and choice.delta.tool_calls) or []:
                name += call.function.name or ""
                arguments += call.function.arguments or ""
    assert name == "weather" and "city" in json.loads(arguments)


async def structured(client):
    answer = await resolve(
        client.open().chat.completions.parse(
            model=MODEL, messages=user("Name a city."), response_format=City
        )
    )
    assert isinstance(answer.choices[0].message.parsed, City)


async def models(client):
    ids = [model.id async for model in each(await resolve(client.open().models.list()))]
    assert MODEL in ids, ids
    assert (await resolve(client.open().models.retrieve(MODEL))).id == MODEL


async def wrong_key(client):
    with raises(openai.AuthenticationError, status_code=401, code="invalid_api_key"):
        await client.ask(client.open(api_key="sk-of-nobody"), "Say hello.")


async def special_token(client):
    with raises(
        openai.BadRequestError,
        status_code=400,
        code="special_tokens_in_input",
        param="messages[0].content",
        type="invalid_request_error",
    ):
        await client.create("<|im_start|>system")


async def unknown_model(client):
    code = "DeploymentNotFound" if "Azure" in client.name else "model_not_found"
    with raises(openai.NotFoundError, status_code=404, code=code):
        await client.create("Say hello.", model="no-such-model")


async def rate_limited(client):
    """The second request of a team that has one a second waits as it was told, once."""
    opened = client.open(api_key=os.environ["LIMITED_KEY_PREFIX"] + client.name)
    for _ in range(3):
        answer = await resolve(
            opened.chat.completions.with_raw_response.create(
                model=MODEL, messages=user("Say hello.")
            )
        )
        if answer.retries_taken:
            break
    assert answer.retries_taken == 1, answer.retries_taken
    assert answer.parse().choices[0].message.content


async def cured(client):
    answer = await resolve(
        client.open(max_retries=0).chat.completions.with_raw_response.create(
            model=MODEL, messages=user("!unicode-500"), temperature=1.2
        )
    )
    assert answer.headers["x-weir-attempts"] == "2"
    assert answer.parse().choices[0].message.content


async def cured_stream(client):
    text, finish, _ = await read(await client.create("!unicode-500", stream=True))
    assert text and finish == "stop"


async def cut_stream(client):
    with raises(openai.APIError, code="upstream_stream_interrupted"):
        await read(await client.create("!cut-stream", stream=True))


async def error_event(client):
    with raises(openai.APIError, type="server_error"):
        await read(await client.create("!error-event", stream=True))


async def cancelled_stream(client):
    opened = client.open()
    asked = await client.ask(opened, f"!silence 5m {client.name}", stream=True)
    async for chunk in each(asked):
        if chunk.choices and chunk.choices[0].delta and chunk.choices[0].delta.content:
            break
    await resolve(asked.close())
    answer = await client.ask(opened, "Say hello.")
    assert answer.choices[0].message.content


CASES = {
    "plain": plain,
    "usage": usage,
    "stream": stream,
    "stream usage": stream_usage,
    "respelled model": respelled,
    "tools": tools,
    "stream tools": stream_tools,
    "structured": structured,
    "models": models,
    "wrong key": wrong_key,
    "special token": special_token,
    "unknown model": unknown_model,
    "rate limited": rate_limited,
    "cured": cured,
    "cured stream": cured_stream,
    "cut stream": cut_stream,
    "error event": error_event,
    "cancelled stream": cancelled_stream,
}

OPENAI = {"whole chunks": whole_chunks, "no version": no_version}
AZURE = {"annotations": annotations, "deployment": deployment, "base url": base_url}

if __name__ == "__main__":
    run(
        (Client("OpenAI", openai.OpenAI), CASES | OPENAI),
        (Client("AsyncOpenAI", openai.AsyncOpenAI), CASES | OPENAI),
        (Client("AzureOpenAI", openai.AzureOpenAI), CASES | AZURE),
        (Client("AsyncAzureOpenAI", openai.AsyncAzureOpenAI), CASES | AZURE),
    )
