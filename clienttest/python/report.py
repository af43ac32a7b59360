"""Runs cases and prints what became of each, one JSON line a case.

A case is an async function of one argument, the client under test. It passes by returning.
"""

import asyncio
import contextlib
import json
import traceback


async def _run(client, cases):
    for name, case in cases.items():
        line = {"case": f"{client.name}/{name}", "ok": True}
        try:
            await asyncio.wait_for(case(client), timeout=60)
        except Exception:
            line |= {"ok": False, "detail": traceback.format_exc(limit=-4)}
        print(json.dumps(line), flush=True)


def run(*suites):
    """Runs suites, each a client and its cases, in order."""

    async def everything():
        for client, cases in suites:
            await _run(client, cases)

    asyncio.run(everything())


@contextlib.contextmanager
def raises(kind, **want):
    """Demands that the block raises kind, and that the error's attributes are those wanted."""
    try:
        yield
    except kind as error:
        for name, value in want.items():
            got = getattr(error, name)
            assert got == value, f"{type(error).__name__}.{name} is {got!r}, not {value!r}: {error}"
        return
    raise AssertionError(f"nothing raised, want {kind.__name__}")


async def resolve(value):
    """Returns what an asynchronous client promises, or what a synchronous one returned."""
    return await value if asyncio.iscoroutine(value) else value


async def each(stream):
    """Yields the chunks of a stream of either kind."""
    if hasattr(stream, "__aiter__"):
        async for chunk in stream:
            yield chunk
    else:
        for chunk in stream:
            yield chunk
