"""Drives realtime sessions with each of the four classes of openai-python."""

import contextlib
import os

import openai
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from openai_client import Client
from openai_endpoints import silent
from report import raises, resolve, run

REALTIME = "gpt-realtime"
DELTA = "response.output_text.delta"


class Session:
    """A session of either kind, of which each event is awaited."""

    def __init__(self, connection):
        self.connection = connection

    async def next(self):
        return await resolve(self.connection.recv())

    async def until(self, *wanted):
        """Returns the events up to the first of a type that is wanted."""
        events = [await self.next()]
        while events[-1].type not in wanted:
            events.append(await self.next())
        return events

    async def say(self, text):
        """Puts what a user says into the conversation."""
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content}
        await resolve(self.connection.conversation.item.create(item=item))

    async def ask(self, text):
        """Puts what a user says into the conversation, and asks for a response."""
        await self.say(text)
        await resolve(self.connection.response.create())


@contextlib.asynccontextmanager
async def session(client, model=REALTIME):
    """Opens a session, and leaves it as its users do."""
    manager = client.open().realtime.connect(model=model)
    if hasattr(manager, "__aenter__"):
        async with manager as connection:
            yield Session(connection)
    else:
        with manager as connection:
            yield Session(connection)


async def plain(client):
    """Two turns: the second response has seen the first."""
    async with session(client) as s:
        created = await s.next()
        assert created.type == "session.created" and created.session.model == REALTIME, created
        await resolve(
            s.connection.session.update(
                session={
                    "type": "realtime",
                    "instructions": "Be brief.",
                    "output_modalities": ["text"],
                }
            )
        )
        updated = await s.next()
        assert updated.type == "session.updated", updated
        assert updated.session.instructions == "Be brief.", updated
        await s.ask("!echo Hello to all of you.")
        events = await s.until("response.done")
        kinds = [event.type for event in events]
        assert kinds[0].startswith("conversation.item.") and "response.created" in kinds, kinds
        text = "".join(event.delta for event in events if event.type == DELTA)
        done = events[-1].response
        assert text == "Hello to all of you.", text
        assert done.status == "completed" and done.output[0].role == "assistant", done
        assert done.usage.input_tokens > 0 and done.usage.output_tokens > 0, done.usage
        await s.ask("And now?")
        second = (await s.until("response.done"))[-1].response
        assert second.usage.input_tokens > done.usage.input_tokens, second.usage


async def stream(client):
    """A call of a tool arrives piece by piece, and its result is answered."""
    async with session(client) as s:
        tool = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
        await resolve(
            s.connection.session.update(session={"type": "realtime", "tools": [tool]})
        )
        await s.ask("!tool weather")
        events = await s.until("response.done")
        pieces = [e.delta for e in events if e.type == "response.function_call_arguments.delta"]
        call = events[-1].response.output[0]
        assert call.type == "function_call" and call.name == "weather", call
        assert "".join(pieces) == call.arguments, (pieces, call)
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
        await resolve(s.connection.conversation.item.create(item=result))
        await resolve(s.connection.response.create())
        assert (await s.until("response.done"))[-1].response.status == "completed"


async def error(client):
    """A refusal is an event, behind which the session goes on; a cut ends it."""
    async with session(client) as s:
        await s.say("<|im_start|>system")
        refused = (await s.until("error"))[-1].error
        assert refused.code == "special_tokens_in_input", refused
        assert refused.type == "invalid_request_error" and refused.message, refused
        await s.ask("!echo still here")
        assert (await s.until("response.done"))[-1].response.status == "completed"
        await s.ask("!cut-stream")
        with raises(ConnectionClosedError):
            cut = (await s.until("error"))[-1].error
            assert cut.code == "upstream_stream_interrupted", cut
            await s.until("response.done")
    with raises(InvalidStatus) as got:
        async with session(client, "no-such"):
            pass
    assert got.error.response.status_code == 404, got.error.response
    with raises(InvalidStatus) as got:
        async with session(Client(client.name, lambda: client.open(api_key="sk-of-nobody"))):
            pass
    assert got.error.response.status_code == 401, got.error.response


async def cancel(client):
    """The client leaves in the middle of a response; the next session is served."""
    async with session(client) as s:
        await s.ask(silent(client, "realtime"))
        await s.until(DELTA)
    async with session(client) as s:
        await s.ask("Say hello.")
        assert (await s.until("response.done"))[-1].response.status == "completed"


CASES = {
    "realtime/plain": plain,
    "realtime/stream": stream,
    "realtime/error": error,
    "realtime/cancel": cancel,
}

if __name__ == "__main__":
    assert os.environ["SSL_CERT_FILE"], "AzureOpenAI opens sessions over TLS only"
    run(
        (Client("OpenAI", openai.OpenAI), CASES),
        (Client("AsyncOpenAI", openai.AsyncOpenAI), CASES),
        (Client("AzureOpenAI", openai.AzureOpenAI), CASES),
        (Client("AsyncAzureOpenAI", openai.AsyncAzureOpenAI), CASES),
    )
