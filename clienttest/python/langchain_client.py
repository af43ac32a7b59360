"""Drives LangChain for Python: ChatOpenAI and AzureChatOpenAI, invoked and awaited."""

import os
from dataclasses import dataclass
from typing import Callable

import openai
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import AzureChatOpenAI, ChatOpenAI
from pydantic import BaseModel

from report import raises, run

MODEL = "gpt-4o"


class City(BaseModel):
    """A city."""

    name: str
    inhabitants: int


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


@dataclass
class Client:
    """One of LangChain's model classes, and how a program opens it."""

    name: str
    kind: Callable
    model: str  # the parameter that names the model or the deployment

    def open(self, model=MODEL, **options):
        """Returns the model as its users open it."""
        return self.kind(**{self.model: model}, **options)


async def plain(client):
    answer = await client.open().ainvoke("Say hello.")
    assert answer.content == client.open().invoke("Say hello.").content != ""
    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.usage_metadata["input_tokens"] > 0
    assert answer.usage_metadata["output_tokens"] > 0


async def stream(client):
    text, used = "", None
    for chunk in client.open(stream_usage=False).stream("Say hello."):
        text += chunk.content
        used = chunk.usage_metadata or used
    assert text and used is None, (text, used)


async def stream_usage(client):
    used = None
    async for chunk in client.open(stream_usage=True).astream("Say hello."):
        used = chunk.usage_metadata or used
    assert used and used["input_tokens"] > 0 and used["output_tokens"] > 0


async def tools(client):
    messages = [HumanMessage("What is the weather in Oslo?")]
    first = await client.open().bind_tools([weather], tool_choice="weather").ainvoke(messages)
    call = first.tool_calls[0]
    assert call["name"] == "weather" and "city" in call["args"], call
    result = ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"])
    second = await client.open().bind_tools([weather]).ainvoke([*messages, first, result])
    assert second.content and not second.tool_calls


async def structured(client):
    model = client.open().with_structured_output(City)
    assert isinstance(await model.ainvoke("Name a city."), City)


async def wrong_key(client):
    with raises(openai.AuthenticationError, status_code=401, code="invalid_api_key"):
        await client.open(api_key="sk-of-nobody").ainvoke("Say hello.")


async def special_token(client):
    with raises(
        openai.BadRequestError, code="special_tokens_in_input", param="messages[0].content"
    ):
        await client.open().ainvoke("<|im_start|>system")


async def unknown_model(client):
    with raises(openai.NotFoundError, status_code=404):
        await client.open(model="no-such-model").ainvoke("Say hello.")


async def rate_limited(client):
    """The second request of a team that has one a second waits as it was told, once."""
    seen = []

    async def see(response):
        seen.append(response.status_code)

    model = client.open(
        api_key=os.environ["LIMITED_KEY_PREFIX"] + client.name,
        http_async_client=openai.DefaultAsyncHttpxClient(event_hooks={"response": [see]}),
    )
    for _ in range(3):
        assert (await model.ainvoke("Say hello.")).content
        if 429 in seen:
            break
    assert seen[-2:] == [429, 200] and seen.count(429) == 1, seen


async def cured(client):
    answer = await client.open(
        temperature=1.2, max_retries=0, include_response_headers=True
    ).ainvoke("!unicode-500")
    assert answer.content
    assert answer.response_metadata["headers"]["x-weir-attempts"] == "2"


async def cut_stream(client):
    with raises(openai.APIError, code="upstream_stream_interrupted"):
        async for _ in client.open().astream("!cut-stream"):
            pass


async def error_event(client):
    with raises(openai.APIError, type="server_error"):
        async for _ in client.open().astream("!error-event"):
            pass


async def cancelled_stream(client):
    model = client.open()
    chunks = model.astream(f"!silence 5m {client.name}")
    async for chunk in chunks:
        if chunk.content:
            break
    await chunks.aclose()
    assert (await model.ainvoke("Say hello.")).content


CASES = {
    "plain": plain,
    "stream": stream,
    "stream usage": stream_usage,
    "tools": tools,
    "structured": structured,
    "wrong key": wrong_key,
    "special token": special_token,
    "unknown model": unknown_model,
    "rate limited": rate_limited,
    "cured": cured,
    "cut stream": cut_stream,
    "error event": error_event,
    "cancelled stream": cancelled_stream,
}

if __name__ == "__main__":
    run(
        (Client("ChatOpenAI", ChatOpenAI, "model"), CASES),
        (Client("AzureChatOpenAI", AzureChatOpenAI, "azure_deployment"), CASES),
    )
