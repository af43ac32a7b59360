"""Drives the forms of openai-python with each of its four classes: what sends pictures and sound.

A case is named after the endpoint and after what is done there: plain, stream, error or cancel.
"""

import base64

import openai

from openai_client import Client
from openai_endpoints import IMAGES, demand_failures, demand_left, read, silent
from report import raises, resolve, run

TRANSCRIBE = "gpt-4o-transcribe"
WHISPER = "whisper"
PICTURE = ("cat.png", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "image/png")
SECONDS = 2
SOUND = ("hello.wav", b"RIFF" + bytes(32_000 * SECONDS - 4), "audio/wav")
SAID = f"This is hello.wav of {len(SOUND[1])} bytes."


def edit(client, prompt, **options):
    """Asks for a picture to be changed."""
    return client.open().images.edit(model=IMAGES, image=PICTURE, prompt=prompt, **options)


def edited(client, prompt):
    """Asks for a picture to be changed, and for how far it has come."""
    return edit(client, prompt, stream=True, partial_images=2)


async def edits_plain(client):
    one = await resolve(edit(client, "A hat.", size="1024x1024"))
    assert base64.b64decode(one.data[0].b64_json).startswith(b"\x89PNG")
    assert one.usage.input_tokens_details.image_tokens == 85, one.usage
    two = await resolve(
        client.open().images.edit(
            model=IMAGES, image=[PICTURE, PICTURE], mask=PICTURE, prompt="Two hats.", n=2
        )
    )
    assert len(two.data) == 2 and two.usage.input_tokens_details.image_tokens == 170, two.usage
    assert two.usage.total_tokens == two.usage.input_tokens + two.usage.output_tokens


async def edits_stream(client):
    events = await read(edited(client, "A hat."))
    partial, whole = "image_edit.partial_image", "image_edit.completed"
    assert [event.type for event in events] == [partial, partial, whole]
    assert all(event.b64_json for event in events) and events[-1].usage.total_tokens > 0


async def edits_error(client):
    await demand_failures(lambda prompt: edited(client, prompt))
    with raises(openai.NotFoundError, status_code=404):
        await resolve(
            client.open().images.edit(model="no-such", image=PICTURE, prompt="A hat.")
        )
    with raises(openai.BadRequestError, status_code=400, param="prompt"):
        await resolve(edit(client, ""))


async def edits_cancel(client):
    await demand_left(
        edited(client, silent(client, "edits")),
        lambda event: event.type == "image_edit.partial_image",
        lambda: edit(client, "A hat."),
    )


def transcribe(client, model=TRANSCRIBE, **options):
    """Asks what is said in a sound."""
    return client.open().audio.transcriptions.create(model=model, file=SOUND, **options)


async def transcriptions_plain(client):
    """Each format arrives as its own type, and what is text arrives as it was sent."""
    newer = await resolve(transcribe(client))
    assert newer.text == SAID and newer.usage.type == "tokens", newer
    assert newer.usage.input_token_details.audio_tokens == 10 * SECONDS, newer.usage
    older = await resolve(transcribe(client, WHISPER, language="en", temperature=0.2))
    assert older.text == SAID and older.usage.type == "duration", older
    assert older.usage.seconds == SECONDS, older.usage
    long = await resolve(
        transcribe(
            client, WHISPER, response_format="verbose_json", timestamp_granularities=["segment"]
        )
    )
    assert long.text == SAID and float(long.duration) == SECONDS, long
    assert [segment.end for segment in long.segments] == [SECONDS], long.segments
    assert await resolve(transcribe(client, WHISPER, response_format="text")) == SAID + "\n"
    captions = await resolve(transcribe(client, WHISPER, response_format="srt"))
    assert captions == f"1\n00:00:00,000 --> 00:00:02,000\n{SAID}\n\n", captions
    tracks = await resolve(transcribe(client, WHISPER, response_format="vtt"))
    assert tracks == f"WEBVTT\n\n00:00:00.000 --> 00:00:02.000\n{SAID}\n\n", tracks


async def transcriptions_stream(client):
    events = await read(transcribe(client, stream=True))
    deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
    assert "".join(deltas) == SAID and len(deltas) > 1, deltas
    assert events[-1].type == "transcript.text.done" and events[-1].text == SAID
    assert events[-1].usage.input_tokens > 0, events[-1]


async def transcriptions_error(client):
    await demand_failures(lambda prompt: transcribe(client, prompt=prompt, stream=True))
    with raises(openai.NotFoundError, status_code=404):
        await resolve(transcribe(client, "no-such"))
    with raises(openai.BadRequestError, status_code=400, param="response_format"):
        await resolve(transcribe(client, response_format="srt"))


async def transcriptions_cancel(client):
    await demand_left(
        transcribe(client, prompt=silent(client, "transcriptions"), stream=True),
        lambda event: event.type == "transcript.text.delta",
        lambda: transcribe(client),
    )


def translate(client, model=WHISPER, **options):
    """Asks what is said in a sound, in English."""
    return client.open().audio.translations.create(model=model, file=SOUND, **options)


async def translations_plain(client):
    assert (await resolve(translate(client))).text == SAID
    assert (await resolve(translate(client, response_format="text"))) == SAID + "\n"
    long = await resolve(translate(client, response_format="verbose_json"))
    assert long.text == SAID and float(long.duration) == SECONDS, long


async def translations_error(client):
    with raises(openai.NotFoundError, status_code=404):
        await resolve(translate(client, "no-such"))
    with raises(openai.BadRequestError, status_code=400, param="file"):
        await resolve(
            client.open().audio.translations.create(model=WHISPER, file=("empty.wav", b""))
        )


CASES = {
    "edits/plain": edits_plain,
    "edits/stream": edits_stream,
    "edits/error": edits_error,
    "edits/cancel": edits_cancel,
    "transcriptions/plain": transcriptions_plain,
    "transcriptions/stream": transcriptions_stream,
    "transcriptions/error": transcriptions_error,
    "transcriptions/cancel": transcriptions_cancel,
    "translations/plain": translations_plain,
    "translations/error": translations_error,
}

if __name__ == "__main__":
    run(
        (Client("OpenAI", openai.OpenAI), CASES),
        (Client("AsyncOpenAI", openai.AsyncOpenAI), CASES),
        (Client("AzureOpenAI", openai.AzureOpenAI), CASES),
        (Client("AsyncAzureOpenAI", openai.AsyncAzureOpenAI), CASES),
    )
