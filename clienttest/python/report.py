"""Runs cases and prints what became of each, one JSON line a case.

A case is an async function of one argument, the client under test. It passes by returning.
"""

import asyncio
import contextlib
import json
import signal
import traceback
import types


def _late(*_):
    raise TimeoutError("a synchronous call did not come back")


async def _run(client, cases):
    signal.signal(signal.SIGALRM, _late)
    for name, case in cases.items():
        line = {"case": f"{client.name}/{name}", "ok": True}
        try:
            signal.alarm(70)
            await asyncio.wait_for(case(client), timeout=60)
        except Exception:
            line |= {"ok": False, "detail": traceback.format_exc(limit=-4)}
        finally:
            signal.alarm(0)
        print(json.dumps(line), flush=True)


def run(*suites):
    """Runs suites, each a client and its cases, in order."""

    async def everything():
        for client, cases in suites:
            await _run(client, cases)

    asyncio.run(everything())


@contextlib.contextmanager
def raises(kind, **want):
    """Demands that the block raises kind, and that the error's attributes are those wanted.

    What it yields has the error behind the block."""
    raised = types.SimpleNamespace()
    try:
        yield raised
    except kind as error:
        raised.error = error
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
