"""Drives the OpenAI Agents SDK, which speaks the Responses API, over both of its clients."""

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


CASES = {
    "responses/plain": plain,
    "responses/stream": stream,
    "responses/error": error,
    "responses/cancel": cancel,
}

if __name__ == "__main__":
    set_tracing_disabled(True)
    run(
        (Client("AsyncOpenAI", openai.AsyncOpenAI), CASES),
        (Client("AsyncAzureOpenAI", openai.AsyncAzureOpenAI), CASES),
    )
