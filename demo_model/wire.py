"""Chat completions as OpenAI spells them: one JSON body, or server-sent events built from ready-made bytes."""

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

DONE = b"data: [DONE]\n\n"

# A token is about a word with the white space before it. Long runs without spaces are cut, so that scripts that
# do not use spaces stream too. Joined together, tokens give back the very text.
_TOKEN = re.compile(r"\s*\S{1,16}|\s+")
_quoted = json.JSONEncoder().encode  # ASCII only, so that even lone surrogates survive


def split_tokens(text: str) -> list[str]:
    return _TOKEN.findall(text)


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer: its tokens, and how it ends (None: it never says)."""

    tokens: Sequence[str]
    finish_reason: str | None

    def limited(self, most: int | None, *, finish_reason: str | None = "length") -> "Choice":
        """The same answer cut after `most` tokens, if it is longer."""
        if most is None or len(self.tokens) <= most:
            return self
        return Choice(self.tokens[:most], finish_reason)


@dataclass(frozen=True, slots=True)
class Completion:
    """All choices of one request, and how to write them."""

    number: int
    model: str
    choices: Sequence[Choice]
    prompt_tokens: int
    stream: bool
    include_usage: bool

    def with_choices(self, choices: Sequence[Choice]) -> "Completion":
        return replace(self, choices=choices)

    @property
    def steps(self) -> int:
        """How many tokens the longest choice has."""
        return max((len(choice.tokens) for choice in self.choices), default=0)

    def usage(self) -> dict[str, int]:
        said = sum(len(choice.tokens) for choice in self.choices)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": said,
            "total_tokens": self.prompt_tokens + said,
        }

    def body(self) -> bytes:
        """The answer to a request that does not stream."""
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": "".join(choice.tokens), "refusal": None},
                "logprobs": None,
                "finish_reason": choice.finish_reason,
            }
            for index, choice in enumerate(self.choices)
        ]
        head = _head(self, "chat.completion")
        return f'{head}"choices":{_quoted(choices)},"usage":{_quoted(self.usage())}}}'.encode()

    def events(self) -> "EventWriter":
        return EventWriter(self)


class EventWriter:
    """The server-sent events of one completion. All but the token itself is built once."""

    def __init__(self, completion: Completion) -> None:
        self._completion = completion
        self._head = f"data: {_head(completion, 'chat.completion.chunk')}"
        self._tail = ',"usage":null}\n\n' if completion.include_usage else "}\n\n"
        self._before = [f'{self._head}"choices":[{{"index":{i},"delta":{{"content":' for i in self._indices()]
        self._after = f'}},"logprobs":null,"finish_reason":null}}]{self._tail}'

    def opening(self) -> bytes:
        """The assistant's role, once for each choice."""
        return "".join(
            self._event(i, '{"role":"assistant","content":"","refusal":null}') for i in self._indices()
        ).encode()

    def tokens(self, position: int) -> bytes:
        """The token at this position of every choice that is that long."""
        choices = self._completion.choices
        if len(choices) == 1:
            return f"{self._before[0]}{_quoted(choices[0].tokens[position])}{self._after}".encode()
        return "".join(
            f"{self._before[i]}{_quoted(choice.tokens[position])}{self._after}"
            for i, choice in enumerate(choices)
            if position < len(choice.tokens)
        ).encode()

    def closing(self) -> bytes:
        """The finish reasons, the usage where it was asked for, and the end mark."""
        reasons = ((i, choice.finish_reason) for i, choice in enumerate(self._completion.choices))
        ends = "".join(self._event(i, "{}", reason) for i, reason in reasons)
        usage = self.usage() if self._completion.include_usage else b""
        return ends.encode() + usage + DONE

    def usage(self) -> bytes:
        return f'{self._head}"choices":[],"usage":{_quoted(self._completion.usage())}}}\n\n'.encode()

    def _indices(self) -> range:
        return range(len(self._completion.choices))

    def _event(self, index: int, delta: str, finish_reason: str | None = None) -> str:
        choice = f'{{"index":{index},"delta":{delta},"logprobs":null,"finish_reason":{_quoted(finish_reason)}}}'
        return f'{self._head}"choices":[{choice}]{self._tail}'


def _head(completion: Completion, kind: str) -> str:
    """The beginning that every object of one completion shares."""
    return (
        f'{{"id":"chatcmpl-demo-{completion.number}","object":"{kind}","created":{int(time.time())},'
        f'"model":{_quoted(completion.model)},"system_fingerprint":"demo",'
    )
