"""Drives Semantic Kernel: its services of chat, embeddings and sound, over both kinds of endpoint."""

import os
import tempfile
from dataclasses import dataclass
from typing import Annotated, Callable

from openai import AsyncAzureOpenAI
from semantic_kernel import Kernel
from semantic_kernel.connectors.ai.function_choice_behavior import FunctionChoiceBehavior
from semantic_kernel.connectors.ai.open_ai import (
    AzureAudioToText,
    AzureChatCompletion,
    AzureTextEmbedding,
    OpenAIAudioToText,
    OpenAIChatCompletion,
    OpenAIChatPromptExecutionSettings,
    OpenAITextEmbedding,
)
from semantic_kernel.contents import AudioContent, ChatHistory
from semantic_kernel.exceptions import ServiceResponseException
from semantic_kernel.functions import kernel_function

from report import raises, run


class Weather:
    """A plugin of one function."""

    @kernel_function(description="The weather in a city.")
    def weather(self, city: Annotated[str, "The city."]) -> str:
        return f"rain in {city}"


@dataclass
class Client:
    """The services of one kind of endpoint, configured by the environment as their users do."""

    name: str
    chat: Callable
    embedding: Callable
    hearing: Callable

    async def ask(self, prompt, **options):
        """Returns the answer to one question."""
        settings = OpenAIChatPromptExecutionSettings(**options)
        return await self.chat().get_chat_message_content(history(prompt), settings)

    async def read(self, prompt):
        """Returns the text of a streamed answer read to its end."""
        settings = OpenAIChatPromptExecutionSettings()
        parts = self.chat().get_streaming_chat_message_content(history(prompt), settings)
        return "".join([str(part) async for part in parts])


def history(prompt):
    """Returns a conversation that begins with the prompt."""
    chat = ChatHistory(system_message="Be brief.")
    chat.add_user_message(prompt)
    return chat


async def plain(client):
    answer = await client.ask("Say hello.")
    assert str(answer) and answer.metadata["usage"].prompt_tokens > 0


async def tools(client):
    """A plugin's function is called by the model, and the answer comes behind its result."""
    kernel = Kernel()
    kernel.add_plugin(Weather(), plugin_name="city")
    settings = OpenAIChatPromptExecutionSettings(
        function_choice_behavior=FunctionChoiceBehavior.Auto(maximum_auto_invoke_attempts=1)
    )
    chat = history("!tool city-weather")
    answer = await client.chat().get_chat_message_content(chat, settings, kernel=kernel)
    assert answer is not None
    roles = [message.role.value for message in chat.messages]
    assert "tool" in roles, roles


async def stream(client):
    assert await client.read("Say hello.")


async def error(client):
    with raises(ServiceResponseException):
        await client.ask("<|im_start|>system")
    for prompt in ("!error-event", "!cut-stream"):
        try:
            await client.read(prompt)
        except Exception as got:
            assert type(got).__name__ in ("APIError", "RemoteProtocolError", "ServiceResponseException"), got
        else:
            raise AssertionError(f"{prompt} raised nothing")


async def cancel(client):
    settings = OpenAIChatPromptExecutionSettings()
    parts = client.chat().get_streaming_chat_message_content(
        history(f"!silence 5m {client.name} chat"), settings
    )
    async for part in parts:
        if str(part):
            break
    await parts.aclose()
    assert str(await client.ask("Say hello."))


async def embeddings(client):
    vectors = await client.embedding().generate_embeddings(["one", "two"])
    assert len(vectors) == 2 and len(vectors[0]) > 0


async def embeddings_error(client):
    with raises(ServiceResponseException):
        await client.embedding(missing=True).generate_embeddings(["one"])


async def hear(service):
    """Returns what the service hears in a file of two seconds, and how many bytes that has."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        size = file.write(b"RIFF" + bytes(64_000 - 4))
        file.flush()
        heard = await service.get_text_contents(AudioContent(uri=file.name))
        return heard[0], f"This is {os.path.basename(file.name)} of {size} bytes."


async def transcriptions(client):
    heard, said = await hear(client.hearing("gpt-4o-transcribe"))
    assert heard.text == said and heard.inner_content.usage.total_tokens > 0, heard
    heard, said = await hear(client.hearing("whisper"))
    assert heard.text == said and heard.inner_content.usage.seconds == 2, heard


async def transcriptions_error(client):
    with raises(ServiceResponseException):
        await hear(client.hearing("nobody"))


# Of itself the library takes no Azure endpoint without a certificate, also where it is
# given a client and does not need one. The client is told of it alone.
ENDPOINT = os.environ.pop("AZURE_OPENAI_ENDPOINT")


def azure_client():
    return AsyncAzureOpenAI(azure_endpoint=ENDPOINT)


def azure_chat():
    return AzureChatCompletion(deployment_name="gpt-4o", async_client=azure_client())


def azure_embedding(missing=False):
    name = "nobody" if missing else "text-embedding-3-small"
    return AzureTextEmbedding(deployment_name=name, async_client=azure_client())


def azure_hearing(name):
    return AzureAudioToText(deployment_name=name, async_client=azure_client())


def openai_embedding(missing=False):
    return OpenAITextEmbedding(ai_model_id="nobody" if missing else "text-embedding-3-small")


def openai_chat():
    return OpenAIChatCompletion(ai_model_id="gpt-4o")


def openai_hearing(name):
    return OpenAIAudioToText(ai_model_id=name)


CASES = {
    "chat/plain": plain,
    "tools": tools,
    "chat/stream": stream,
    "chat/error": error,
    "chat/cancel": cancel,
    "embeddings/plain": embeddings,
    "embeddings/error": embeddings_error,
    "transcriptions/plain": transcriptions,
    "transcriptions/error": transcriptions_error,
}

if __name__ == "__main__":
    run(
        (Client("OpenAIChatCompletion", openai_chat, openai_embedding, openai_hearing), CASES),
        (Client("AzureChatCompletion", azure_chat, azure_embedding, azure_hearing), CASES),
    )
