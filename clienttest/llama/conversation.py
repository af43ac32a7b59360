"""Talks through the gateway with OpenAI's client, prints what was said, and demands that it arrived as it must.

Its arguments are the server's name and the file of the gateway's log.
"""

import json
import sys
import time

import openai

DEPLOYMENT = "llama/smollm2"

# What the servers differ in: whether streams tell their usage to those who ask, and with which status a client hears
# that the server has no room for a stream's prompt. llama-cpp-python's ignores stream_options, and ends such a stream
# with status 200 and no event at all, which the gateway must not take for an answer.
STREAM_USAGE = {"llama-server": True, "llama_cpp": False}
STREAM_REFUSED = {"llama-server": 400, "llama_cpp": 502}
SYSTEM = {"role": "system", "content": "You are a helpful assistant. Answer in one or two sentences."}
TURNS = [
    "What is the capital of France?",
    "What river runs through it?",
    "Write one sentence that names both the city and the river.",
]

client = openai.OpenAI(timeout=120, max_retries=0)


def ask(messages, **options):
    """Sends messages, and returns the answer's headers with the answer, or the stream of it."""
    options = {"temperature": 0.2, "seed": 7, "max_tokens": 60} | options
    raw = client.chat.completions.with_raw_response.create(model="chat", messages=messages, **options)
    return raw.headers, raw.parse()


def say(who, text):
    print(f"{who:>9}: {text.strip()}", flush=True)


def check(true, what):
    if not true:
        raise AssertionError(what)


def check_headers(headers):
    check(headers.get("x-weir-deployment") == DEPLOYMENT, f"x-weir-deployment is {headers.get('x-weir-deployment')!r}")
    check(headers.get("x-weir-attempts") == "1", f"x-weir-attempts is {headers.get('x-weir-attempts')!r}")
    check(headers.get("x-request-id"), "no x-request-id")


def streamed_turn(messages):
    """Reads a stream to its end and returns what was said."""
    headers, stream = ask(messages, stream=True)
    check_headers(headers)
    began, times, text, finish, ids = time.monotonic(), [], "", [], set()
    for chunk in stream:
        ids.add(chunk.id)
        check(chunk.object == "chat.completion.chunk", f"a chunk is {chunk.object!r}")
        for choice in chunk.choices:
            check(not finish or not choice.delta.content, "text behind the finish reason")
            finish += [choice.finish_reason] if choice.finish_reason else []
            if choice.delta.content:
                text += choice.delta.content
                times.append(time.monotonic() - began)
    check(len(times) > 1, f"{len(times)} chunks have text")
    check(times[-1] - times[0] > 0.001 * len(times), f"all {len(times)} chunks arrived at once")
    check(finish in (["stop"], ["length"]), f"the finish reasons are {finish}")
    check(len(ids) == 1, f"the chunks have ids {ids}")
    return text, f"{len(times)} chunks from {times[0]:.2f} s to {times[-1]:.2f} s, {finish[0]}"


def conversation():
    """Several turns, each a stream, each with all that was said before."""
    messages = [SYSTEM]
    for turn in TURNS:
        messages.append({"role": "user", "content": turn})
        text, facts = streamed_turn(messages)
        messages.append({"role": "assistant", "content": text})
        say("user", turn)
        say("assistant", text)
        say("", f"[{facts}]")
    check("Paris" in messages[2]["content"], "the capital of France is not Paris")


def plain():
    """An answer in one piece, with its usage."""
    headers, answer = ask([SYSTEM, {"role": "user", "content": "Say hello."}])
    check_headers(headers)
    choice, used = answer.choices[0], answer.usage
    check(choice.message.role == "assistant" and choice.message.content, "no text")
    check(choice.finish_reason in ("stop", "length"), f"the finish reason is {choice.finish_reason!r}")
    check(used.prompt_tokens > 0 and used.completion_tokens > 0, f"the usage is {used}")
    check(used.total_tokens == used.prompt_tokens + used.completion_tokens, f"the usage is {used}")
    say("user", "Say hello.")
    say("assistant", choice.message.content)
    say("", f"[in one piece, {used.prompt_tokens} + {used.completion_tokens} tokens, {choice.finish_reason}]")


def wire():
    """The stream as it stands on the wire: events of one line, the last of them [DONE]."""
    with client.chat.completions.with_streaming_response.create(
        model="chat", messages=[{"role": "user", "content": "Count to three."}], max_tokens=20, stream=True
    ) as response:
        check(response.headers["content-type"].startswith("text/event-stream"), "it is no event stream")
        lines = [line for line in response.iter_lines() if line and not line.startswith(":")]
    check(all(line.startswith("data: ") for line in lines), f"the lines are {lines}")
    check(lines[-1] == "data: [DONE]", f"the last line is {lines[-1]!r}")
    check(lines.count("data: [DONE]") == 1, "[DONE] more than once")
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    check(all(chunk["choices"] for chunk in chunks), "a chunk without a choice that nobody asked for")
    say("", f"[{len(chunks)} events and {lines[-1]!r}]")


def cancelled():
    """A stream that is left after its third chunk, behind which the next request is served."""
    _, stream = ask([{"role": "user", "content": "Write a long story about a weir."}], stream=True, max_tokens=800)
    for count, _ in enumerate(stream, 1):
        if count == 3:
            break
    stream.close()
    began = time.monotonic()
    headers, answer = ask([{"role": "user", "content": "Say yes."}], max_tokens=8)
    check_headers(headers)
    check(answer.choices[0].message.content, "no text behind a stream that was left")
    took = time.monotonic() - began
    check(took < 20, f"the next answer took {took:.1f} s")
    say("", f"[a stream was left after {count} chunks; the next answer took {took:.2f} s]")


def stream_usage(server):
    """A stream tells its usage, where the server does, in one last chunk without choices."""
    _, stream = ask([{"role": "user", "content": "Say hello."}], stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    used = [chunk.usage for chunk in chunks if chunk.usage]
    check(len(used) == STREAM_USAGE[server], f"the usage is {used}")
    for usage in used:
        check(chunks[-1].usage is usage and not chunks[-1].choices, f"the last chunk is {chunks[-1]}")
        check(usage.total_tokens == usage.prompt_tokens + usage.completion_tokens > 0, f"the usage is {usage}")
        say("", f"[a stream told its usage: {usage.prompt_tokens} + {usage.completion_tokens} tokens]")


def refused(server):
    """What the server refuses is an error to the client too, never an empty answer, and hurts nobody."""
    for stream, status in ((False, 400), (True, STREAM_REFUSED[server])):
        try:
            ask([{"role": "user", "content": "weir " * 3000}], stream=stream)
        except openai.APIStatusError as error:
            check(error.status_code == status, f"refused with {error.status_code}, not {status}: {error}")
            check(error.body and error.body.get("message"), f"the body of the error is {error.body!r}")
            kind = "a stream" if stream else "a request"
            say("", f"[{kind} that the server has no room for: {error.status_code} {error.body['message'][:100]!r}]")
        else:
            raise AssertionError("the server took more than it has room for")
    _, answer = ask([{"role": "user", "content": "Say yes."}], max_tokens=4)
    check(answer.choices[0].message.content, "no text behind what was refused")


def accounted(server, log):
    """The gateway's log has the tokens of every request, counted where the server told none."""
    wanted, deadline = {"ok": 8, "client_gone": 1, "client_error": 1}, time.monotonic() + 30
    while True:
        with open(log, encoding="utf-8") as f:
            lines = [json.loads(line) for line in f if line.startswith("{")]
        requests = [line for line in lines if line["msg"] == "request" and line["model"] == "chat"]
        seen = [line["outcome"] for line in requests]
        if all(seen.count(outcome) >= count for outcome, count in wanted.items()):
            break
        check(time.monotonic() < deadline, f"the log has {seen}")
        time.sleep(0.2)
    for line in requests:
        if line["outcome"] in ("ok", "client_gone"):
            check(line["deployment"] == DEPLOYMENT, f"the log has {line}")
            check(line["input_tokens"] > 0 and line["output_tokens"] > 0, f"no tokens in {line}")
            told = line["outcome"] == "ok" and (STREAM_USAGE[server] or not line["stream"])
            check(line.get("counted", False) != told, f"told and counted at once, or neither: {line}")
    total = [sum(line.get(key, 0) for line in requests) for key in ("input_tokens", "output_tokens")]
    counted = sum(line.get("counted", False) for line in requests)
    say("", f"[{len(requests)} requests in the log: {total[0]} + {total[1]} tokens, {counted} requests counted by the gateway]")


def main(server, log):
    print(f"--- {server}")
    conversation()
    plain()
    stream_usage(server)
    wire()
    cancelled()
    refused(server)
    accounted(server, log)
    print(f"llama: all is as it must be with {server}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
