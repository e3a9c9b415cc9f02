"""What the demo model says: a pure function of the messages it is given, so that the same talk reads the same."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from demo_model import questions
from demo_model.arithmetic import CannotCompute, NotASum, compute, show

LABEL = "I am the demo model: set OPENAI_API_KEY and restart to talk to a real one."
ABILITIES = "I remember your name, count our exchanges and do small sums like 12 * 7."
QUOTED_CHARACTERS = 80
QUESTION_MARKS = ("?", "\uff1f", "\u061f")  # Latin, full-width, Arabic

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_REWORDINGS = ("", "Put another way: ", "In other words: ", "Or, said differently: ")


@dataclass(frozen=True, slots=True)
class Talk:
    """What the answers need to know of a conversation."""

    said: Sequence[str]  # the user's messages, oldest first
    name: str | None

    @property
    def turn(self) -> int:
        return max(1, len(self.said))

    @property
    def now(self) -> str:
        return self.said[-1] if self.said else ""


def answer(user_messages: Sequence[str], *, candidate: int = 0) -> str:
    """The answer to the last of the user's messages. Candidates of one turn differ by their opening words."""
    said = [questions.readable(text) for text in user_messages]
    names = [name for text in said if (name := questions.introduced_name(text))]
    talk = Talk(said=said, name=names[-1] if names else None)
    text = _reply(talk)
    if talk.turn == 1 and LABEL not in text:
        text = f"{text} {LABEL}"
    return _reworded(text, candidate)


def ordinal(number: int) -> str:
    """first, second … tenth, 11th, 12th, 21st."""
    if number <= len(_ORDINALS):
        return _ORDINALS[number - 1]
    last = 0 if number % 100 in (11, 12, 13) else number % 10
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(last, 'th') }"


def _reworded(text: str, candidate: int) -> str:
    if candidate < len(_REWORDINGS):
        return _REWORDINGS[candidate] + text
    return f"Version {candidate + 1}: {text}"


def _reply(talk: Talk) -> str:
    """The first of the kinds below that has something to say."""
    for kind in (_empty, _sum, _introduction, _recollection, _small_talk):
        if text := kind(talk):
            return text
    return _reflection(talk)


def _empty(talk: Talk) -> str | None:
    return None if talk.now else f"You sent me no words, so here are mine: {LABEL}"


def _sum(talk: Talk) -> str | None:
    expression = questions.asked_sum(talk.now)
    if expression is None:
        return None
    if "^" in expression or "**" in expression:
        return "Powers are beyond me; I add, subtract, multiply and divide."
    try:
        return f"{expression} is {show(compute(expression))}."
    except CannotCompute as reason:
        return str(reason)
    except NotASum:
        return None


def _introduction(talk: Talk) -> str | None:
    name = questions.introduced_name(talk.now)
    if name is None:
        return None
    if talk.turn == 1:
        return f"Hello {name}, nice to meet you!"
    return f"Nice to meet you, {name}! I will remember your name. {_count(talk)}"


def _recollection(talk: Talk) -> str | None:
    """What the person wants to hear again: the name, the count, the last words."""
    if questions.MY_NAME.search(talk.now):
        if talk.name is None:
            return "You have not told me your name yet. Try: my name is Ada."
        return f"Your name is {talk.name}. {_count(talk)}"
    if questions.HOW_MANY_TURNS.search(talk.now):
        return _count(talk)
    if questions.WHAT_DID_I_SAY.search(talk.now):
        if talk.turn == 1:
            return "This is the first thing you said to me."
        return f"Before this you said: {_quoted(talk.said[-2])}"
    return None


def _small_talk(talk: Talk) -> str | None:
    to_name = f", {talk.name}" if talk.name else ""
    hello = "Hello" if talk.turn == 1 else "Hello again"
    replies = (
        (questions.WHO_ARE_YOU, LABEL),
        (questions.HELP, f"{ABILITIES} For more than that: {LABEL}"),
        (questions.HOW_ARE_YOU, f"I am fine{to_name}, thank you! What shall we talk about?"),
        (questions.THANKS, f"You are welcome{to_name}!"),
        (questions.FAREWELL, f"Goodbye{to_name}, it was nice talking to you!"),
        (questions.GREETING, f"{hello}{to_name}! {ABILITIES if talk.turn == 1 else _count(talk)}"),
    )
    return next((text for pattern, text in replies if pattern.search(talk.now)), None)


def _reflection(talk: Talk) -> str:
    """For all else: the person's own words, and honesty about who is answering."""
    quoted = _quoted(talk.now)
    if talk.now.endswith(QUESTION_MARKS):
        templates = (
            f"You ask {quoted} and that deserves a real model.",
            f"Good question: {quoted} A real model could tell you; I cannot.",
        )
    else:
        templates = (
            f"You said {quoted} and I would love to hear more.",
            f"I have noted {quoted} and a real model would have more to say.",
        )
    chosen = templates[zlib.crc32(talk.now.encode("utf-8", "surrogatepass")) % len(templates)]
    return chosen if talk.turn == 1 else f"{chosen} {_count(talk)}"


def _count(talk: Talk) -> str:
    return f"This is our {ordinal(talk.turn)} exchange."


def _quoted(text: str) -> str:
    shown = text if len(text) <= QUOTED_CHARACTERS else text[:QUOTED_CHARACTERS].rstrip() + "…"
    return f'"{shown}"'
