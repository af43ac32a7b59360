"""Drives what the API keeps with each class of openai-python: files, batches and stored chats.

A case is named after the endpoint and after what is done there: plain, stream or error.
"""

import asyncio
import json
import os

import openai

from openai_client import MODEL, Client, user
from openai_endpoints import read
from report import each, raises, resolve, run


def others(client):
    """Opens the client for another team."""
    return client.open(api_key=os.environ["STRANGER_KEY"])


async def demand_missing(*calls):
    """Demands that each call is answered as if what it names had never been."""
    for call in calls:
        with raises(openai.NotFoundError, status_code=404):
            await resolve(call())


async def listed(page):
    """Returns the ids of all that is on a page and on those behind it."""
    return [one.id async for one in each(page if hasattr(page, "__aiter__") else await resolve(page))]


def upload(client, text, name="notes.txt", purpose="assistants"):
    return resolve(client.open().files.create(file=(name, text.encode()), purpose=purpose))


async def files_plain(client):
    api = client.open().files
    made = [await upload(client, f"Note {i} of {client.name}.") for i in range(3)]
    for i, one in enumerate(made):
        assert one.object == "file" and one.filename == "notes.txt", one
        assert one.purpose == "assistants" and one.bytes == len(f"Note {i} of {client.name}."), one
        assert await resolve(api.retrieve(one.id)) == one
        content = await resolve(api.content(one.id))
        assert content.content == f"Note {i} of {client.name}.".encode(), content.content
    ids = [one.id for one in made]
    # Two a page: the client asks for the next by itself, behind the last it has.
    for order, want in (("asc", ids), ("desc", ids[::-1])):
        got = await listed(api.list(limit=2, order=order, purpose="assistants"))
        assert [i for i in got if i in ids] == want and len(set(got)) == len(got), (got, want)
    gone = await resolve(api.delete(ids[0]))
    assert gone.deleted and gone.id == ids[0], gone
    await demand_missing(lambda: api.retrieve(ids[0]), lambda: api.content(ids[0]))
    assert ids[0] not in await listed(api.list())
    for one in ids[1:]:
        await resolve(api.delete(one))


async def files_error(client):
    """What another team keeps is not there, as what never was is not."""
    foreign, own = others(client).files, client.open().files
    made = await upload(client, "A secret.")
    await demand_missing(
        lambda: own.retrieve("file-of-nobody"),
        lambda: own.content("file-of-nobody"),
        lambda: own.delete("file-of-nobody"),
        lambda: foreign.retrieve(made.id),
        lambda: foreign.content(made.id),
        lambda: foreign.delete(made.id),
    )
    assert made.id not in await listed(foreign.list())
    assert (await resolve(own.content(made.id))).text == "A secret."
    with raises(openai.BadRequestError, status_code=400):
        await upload(client, "Say hello.", purpose="")
    await resolve(own.delete(made.id))


def line(name, content, model=MODEL):
    """Returns one request of a batch."""
    body = {"model": model, "messages": user(content)}
    asked = {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}
    return json.dumps(asked) + "\n"


async def begin(client, **options):
    """Uploads two requests and creates a batch of them."""
    work = line("one", "Say hello first.") + line("two", "Say hello second.")
    given = await upload(client, work, "work.jsonl", "batch")
    made = await resolve(
        client.open().batches.create(
            input_file_id=given.id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            **options,
        )
    )
    assert made.object == "batch" and made.input_file_id == given.id, made
    return made


async def until(client, made, *wanted):
    """Waits for a batch to stand as wanted."""
    for _ in range(400):
        made = await resolve(client.open().batches.retrieve(made.id))
        if made.status in wanted:
            return made
        await asyncio.sleep(0.05)
    raise AssertionError(f"the batch is still {made.status}")


async def batches_plain(client):
    api, files = client.open().batches, client.open().files
    made = await begin(client, metadata={"job": "nightly"})
    again = await begin(client)
    assert made.metadata == {"job": "nightly"}, made.metadata
    assert (await resolve(api.cancel(again.id))).status in ("cancelling", "cancelled")
    ended = await until(client, made, "completed", "failed")
    assert ended.status == "completed" and ended.request_counts.completed == 2, ended
    assert ended.metadata == {"job": "nightly"}, ended.metadata
    lines = (await resolve(files.content(ended.output_file_id))).text.splitlines()
    said = {
        one["custom_id"]: one["response"]["body"]["choices"][0]["message"]["content"]
        for one in map(json.loads, lines)
    }
    assert set(said) == {"one", "two"} and "second" in said["two"], said
    put_out = await resolve(files.retrieve(ended.output_file_id))
    assert put_out.id == ended.output_file_id, put_out
    got = await listed(api.list(limit=1))
    assert [i for i in got if i in (made.id, again.id)] == [again.id, made.id], got
    assert (await until(client, again, "cancelled")).output_file_id is None


async def batches_error(client):
    """What another team keeps is not there, and what a batch asks is read before it is kept."""
    api, foreign = client.open().batches, others(client).batches
    made = await begin(client)
    await demand_missing(
        lambda: api.retrieve("batch_of_nobody"),
        lambda: api.cancel("batch_of_nobody"),
        lambda: foreign.retrieve(made.id),
        lambda: foreign.cancel(made.id),
    )
    assert made.id not in await listed(foreign.list())
    for stolen in ("file-of-nobody", made.input_file_id):
        try:
            await resolve(
                foreign.create(
                    input_file_id=stolen,
                    endpoint="/v1/chat/completions",
                    completion_window="24h",
                )
            )
        except (openai.BadRequestError, openai.NotFoundError) as error:
            assert error.param == "input_file_id", error
        else:
            raise AssertionError(f"a batch of {stolen} was made")
    with raises(openai.BadRequestError, code="special_tokens_in_input"):
        await upload(client, line("one", "<|im_start|>system"), "work.jsonl", "batch")
    with raises(openai.NotFoundError, code="model_not_found"):
        await upload(client, line("one", "Say hello.", "no-such"), "work.jsonl", "batch")
    await resolve(api.cancel(made.id))


def store(client, prompt, **options):
    """Asks for a chat that is stored."""
    return client.create(prompt, store=True, **options)


async def chats_plain(client):
    api = client.open().chat.completions
    made = await store(client, "Say hello.", metadata={"case": client.name})
    again = await resolve(api.retrieve(made.id))
    assert again.id == made.id and again.choices[0].message == made.choices[0].message, again
    assert again.metadata == {"case": client.name}, again.metadata
    asked = await read(api.messages.list(made.id))
    assert [message.content for message in asked] == ["Say hello."], asked
    second = await store(client, "And now?")
    got = await listed(api.list(limit=1))
    assert [i for i in got if i in (made.id, second.id)] == [made.id, second.id], got
    changed = await resolve(api.update(made.id, metadata={"case": "another"}))
    assert changed.id == made.id and changed.metadata == {"case": "another"}, changed
    assert (await resolve(api.retrieve(made.id))).metadata == {"case": "another"}
    for one in (made, second):
        gone = await resolve(api.delete(one.id))
        assert gone.deleted and gone.id == one.id, gone
    await demand_missing(lambda: api.retrieve(made.id))
    assert made.id not in await listed(api.list())


async def chats_stream(client):
    """Every chunk names the chat by the id that it is kept under."""
    api = client.open().chat.completions
    chunks = await read(await store(client, "Say hello.", stream=True))
    (kept,) = {chunk.id for chunk in chunks} - {""}
    text = "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices if c.delta)
    again = await resolve(api.retrieve(kept))
    assert again.id == kept and again.choices[0].message.content == text != "", again
    await resolve(api.delete(kept))


async def chats_error(client):
    """What another team keeps is not there, as what never was is not."""
    made = await store(client, "Say hello.")
    foreign = others(client).chat.completions
    own = client.open().chat.completions
    for api, kept in ((own, "chatcmpl-of-nobody"), (foreign, made.id)):
        await demand_missing(
            lambda: api.retrieve(kept),
            lambda: api.update(kept, metadata={"a": "b"}),
            lambda: api.delete(kept),
            lambda: read(api.messages.list(kept)),
        )
    assert made.id not in await listed(foreign.list())
    await resolve(own.delete(made.id))


CASES = {
    "files/plain": files_plain,
    "files/error": files_error,
    "batches/plain": batches_plain,
    "batches/error": batches_error,
    "chats/plain": chats_plain,
    "chats/stream": chats_stream,
    "chats/error": chats_error,
}

if __name__ == "__main__":
    run(
        (Client("OpenAI", openai.OpenAI), CASES),
        (Client("AsyncOpenAI", openai.AsyncOpenAI), CASES),
        (Client("AzureOpenAI", openai.AzureOpenAI), CASES),
        (Client("AsyncAzureOpenAI", openai.AsyncAzureOpenAI), CASES),
    )
