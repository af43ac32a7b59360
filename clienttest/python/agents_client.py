"""Drives the OpenAI Agents SDK, which speaks the Responses API, over both of its clients.

Its voice agents open realtime sessions where they are told to, with a key in either header.
"""

import contextlib
import os
from dataclasses import dataclass
from typing import Callable

import openai
from agents import (
    Agent,
    ModelSettings,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from agents.realtime import RealtimeAgent, RealtimeRunner
from websockets.exceptions import InvalidStatus

from report import raises, run


@function_tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


@dataclass
class Client:
    """An agent over one of the library's client classes."""

    name: str
    kind: Callable
    session: dict  # where its sessions are opened, and with which key

    def agent(self, model="gpt-4o", **options):
        """Returns an agent as its users make it."""
        opened = OpenAIResponsesModel(model=model, openai_client=self.kind())
        return Agent(name="Clerk", instructions="Be brief.", model=opened, **options)


async def plain(client):
    """A conversation of two turns, in the first of which a tool is called."""
    agent = client.agent(
        tools=[weather], model_settings=ModelSettings(tool_choice="weather")
    )
    first = await Runner.run(agent, "What is the weather in Oslo?")
    assert first.final_output and first.context_wrapper.usage.requests == 2
    assert first.context_wrapper.usage.total_tokens > 0
    kinds = [item.type for item in first.new_items]
    assert kinds == ["tool_call_item", "tool_call_output_item", "message_output_item"], kinds
    second = await Runner.run(
        client.agent(), "And in Rome?", previous_response_id=first.last_response_id
    )
    assert second.final_output


async def read(result):
    """Returns the text of a run read to its end."""
    return "".join(
        [
            event.data.delta
            async for event in result.stream_events()
            if event.type == "raw_response_event"
            and event.data.type == "response.output_text.delta"
        ]
    )


async def stream(client):
    result = Runner.run_streamed(client.agent(), "Say hello.")
    assert await read(result) == result.final_output != ""


async def error(client):
    for prompt, code in (
        ("!error-event", "server_error"),
        ("!cut-stream", "upstream_stream_interrupted"),
    ):
        try:
            await read(Runner.run_streamed(client.agent(), prompt))
        except openai.APIError as got:
            assert code in (got.code, got.type), (prompt, got.code, got.type)
        else:
            raise AssertionError(f"{prompt} raised nothing")
    with raises(openai.BadRequestError, code="special_tokens_in_input"):
        await Runner.run(client.agent(), "<|im_start|>system")


async def cancel(client):
    result = Runner.run_streamed(client.agent(), f"!silence 5m {client.name} responses")
    async for event in result.stream_events():
        if event.type == "raw_response_event" and event.data.type.endswith("text.delta"):
            result.cancel()
    assert (await Runner.run(client.agent(), "Say hello.")).final_output


@contextlib.asynccontextmanager
async def voice(client, **options):
    """Opens a session of a voice agent, which here answers in text."""
    agent = RealtimeAgent(name="Clerk", instructions="Be brief.", tools=[weather])
    settings = {"model_name": "gpt-realtime", "modalities": ["text"], "turn_detection": None}
    runner = RealtimeRunner(agent, config={"model_settings": settings, "tracing_disabled": True})
    async with await runner.run(model_config=client.session | options) as session:
        yield session


async def raw(session):
    """Yields the events of the API itself, and what ends the session."""
    async for event in session:
        if event.type == "error":
            raise AssertionError(event.error)
        if event.type == "raw_model_event" and event.data.type == "raw_server_event":
            yield event.data.data


async def respond(session, prompt):
    """Returns the response to a text, and what was said of it on the way."""
    await session.send_message(prompt)
    text = ""
    async for event in raw(session):
        if event["type"] == "response.output_text.delta":
            text += event["delta"]
        if event["type"] == "response.done":
            return event["response"], text


async def realtime_plain(client):
    """A conversation of two turns; in the second a tool is called, and its result answered."""
    async with voice(client) as session:
        first, text = await respond(session, "!echo Hello to all of you.")
        assert text == "Hello to all of you." and first["usage"]["total_tokens"] > 0, first
        called, _ = await respond(session, "!tool weather")
        assert called["output"][0]["name"] == "weather", called
        async for event in raw(session):
            if event["type"] == "response.done":
                assert event["response"]["status"] == "completed", event
                break


async def realtime_error(client):
    async with voice(client) as session:
        try:
            await respond(session, "<|im_start|>system")
        except AssertionError as got:
            assert "special_tokens_in_input" in repr(got.args), got
        else:
            raise AssertionError("nothing was refused")
    with raises(InvalidStatus) as got:
        async with voice(client, url=client.session["url"].replace("gpt-realtime", "no-such")):
            pass
    assert got.error.response.status_code == 404, got.error


async def realtime_cancel(client):
    """The client leaves in the middle of a response; the next session is served."""
    async with voice(client) as session:
        await session.send_message(f"!silence 5m {client.name} realtime")
        async for event in raw(session):
            if event["type"] == "response.output_text.delta":
                break
    async with voice(client) as session:
        assert (await respond(session, "Say hello."))[0]["status"] == "completed"


CASES = {
    "responses/plain": plain,
    "responses/stream": stream,
    "responses/error": error,
    "responses/cancel": cancel,
    "realtime/plain": realtime_plain,
    "realtime/error": realtime_error,
    "realtime/cancel": realtime_cancel,
}

if __name__ == "__main__":
    set_tracing_disabled(True)
    plain_url = os.environ["OPENAI_BASE_URL"].replace("http", "ws", 1)
    classic_url = os.environ["AZURE_OPENAI_ENDPOINT"].replace("http", "ws", 1)
    version = os.environ["OPENAI_API_VERSION"]
    key = {"api-key": os.environ["AZURE_OPENAI_API_KEY"]}
    query = f"api-version={version}&deployment=gpt-realtime"
    run(
        (
            Client(
                "AsyncOpenAI",
                openai.AsyncOpenAI,
                {"url": f"{plain_url}/realtime?model=gpt-realtime"},
            ),
            CASES,
        ),
        (
            Client(
                "AsyncAzureOpenAI",
                openai.AsyncAzureOpenAI,
                {"url": f"{classic_url}/openai/realtime?{query}", "headers": key},
            ),
            CASES,
        ),
    )
