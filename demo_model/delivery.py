"""Ways to send an answer: the right one, and every way an upstream can go wrong after accepting a request."""

from collections.abc import Awaitable, Callable

from demo_model.call import EVENT_STREAM, JSON, Call
from demo_model.openai_errors import SERVER_ERROR
from demo_model.pacing import AT_ONCE, LIVE, Pace
from demo_model.wire import DONE, Completion

Delivery = Callable[[Call, Completion], Awaitable[None]]

MAX_TOKENS_A_WRITE = 256  # tokens that are due together leave together; a flood still lets others run in between
TOKENS_BEFORE_THE_FAULT = 3
HOLD_SECONDS = 3600.0
# A reset discards what the client has not read yet, so the tokens before it get this head start.
HEAD_START_SECONDS = 0.05
LOGIN_PAGE = (
    b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><h1>Welcome to the network</h1></body></html>"
)


def paced(pace: Pace) -> Delivery:
    """The whole answer as it should be, at this pace."""

    async def deliver(call: Call, completion: Completion) -> None:
        if completion.stream:
            await _stream_tokens(call, completion, pace)
            await call.end(completion.events().closing())
            return
        moments = pace(completion.steps)
        await call.wait_until(moments[-1] if moments else 0.0)
        await call.answer(completion.body())

    return deliver


UNDELAYED = paced(AT_ONCE)


async def silent(call: Call, _completion: Completion) -> None:
    """Not one byte."""
    await call.hold(HOLD_SECONDS)
    await call.reset()


async def stall(call: Call, completion: Completion) -> None:
    """A beginning, and then nothing more."""
    await _begin(call, completion)
    await call.hold(HOLD_SECONDS)
    await call.reset()


async def reset(call: Call, completion: Completion) -> None:
    """A beginning, and then the connection breaks."""
    await _begin(call, completion)
    await call.wait_until(call.elapsed() + HEAD_START_SECONDS)
    await call.reset()


async def cut(call: Call, completion: Completion) -> None:
    """A beginning, and then a clean end as if that were all."""
    await _begin(call, completion)
    await call.end()


async def error_event(call: Call, completion: Completion) -> None:
    """A beginning, and then an error inside the 200 answer."""
    if not completion.stream:
        await call.answer(SERVER_ERROR.body())
        return
    await _begin(call, completion)
    await call.end(b"data: " + SERVER_ERROR.body() + b"\n\n")


async def malformed(call: Call, completion: Completion) -> None:
    """A beginning, and then something that is not JSON."""
    await _begin(call, completion)
    await call.end(b'data: {"choices": [{"index": 0, "delta": {"content": \n\n' + DONE if completion.stream else b",,}")


async def html(call: Call, _completion: Completion) -> None:
    """A web page, as a captive portal or a wrong base URL gives."""
    await call.answer(LOGIN_PAGE, content_type=b"text/html; charset=utf-8")


async def no_choices(call: Call, completion: Completion) -> None:
    """Usage, and no choice at all."""
    none = completion.with_choices([])
    if not completion.stream:
        await call.answer(none.body())
        return
    await call.start(200, EVENT_STREAM)
    await call.end(none.events().usage() + DONE)


async def _begin(call: Call, completion: Completion) -> None:
    """The first tokens of a stream, or the first half of a body; the answer stays open."""
    if completion.stream:
        first = [choice.limited(TOKENS_BEFORE_THE_FAULT) for choice in completion.choices]
        await _stream_tokens(call, completion.with_choices(first), LIVE)
        return
    body = completion.body()
    await call.start(200, JSON)
    await call.write(body[: len(body) // 2])


async def _stream_tokens(call: Call, completion: Completion, pace: Pace) -> None:
    """The headers, the role and every token at its moment; the answer stays open."""
    events = completion.events()
    moments = pace(completion.steps)
    due = [events.opening()]
    position = 0
    await call.wait_until(moments[0] if moments else 0.0)
    await call.start(200, EVENT_STREAM, headers=[(b"cache-control", b"no-cache")])
    while position < len(moments):
        await call.wait_until(moments[position])
        now = call.elapsed()
        last = min(len(moments), position + MAX_TOKENS_A_WRITE)
        while True:
            due.append(events.tokens(position))
            position += 1
            if position == last or moments[position] > now:
                break
        await call.write(b"".join(due))
        due.clear()
    if due:
        await call.write(b"".join(due))
