"""`asyncchat chat`: a conversation in the terminal."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from cli.invocation import to_type
from cli.terminal.answers import Answer, Answers, failure_of
from cli.terminal.commands import DEFAULT_URL
from cli.terminal.line import Line, keyboard_is_silent
from cli.terminal.safe_text import as_typed
from cli.terminal.screen import Screen
from cli.terminal.server import Server, ServerError

LISTED = 10
SHOWN_MESSAGES = 20
HELP = """\
/new          begin a new conversation
/list         the conversations that were changed last
/open N       go on with one of them, by its number in the list or by its id
/retry        ask for another answer to the last message
/stop         stop what is being answered in this conversation
/help         this
/quit         leave; so do Ctrl-D and exit
Ctrl-C stops the answer that is being written. A line that ends with \\ goes on in the next one."""


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """Which server, and which conversation to go on with."""

    url: str
    key: str | None
    conversation: str | None
    last: bool
    model: str | None


def run_chat(options: ChatOptions) -> int:
    """Chats until the person leaves. Returns the exit code."""
    screen = Screen()

    def tell(sentence: str | None) -> None:
        screen.warn(sentence or "connected again")

    with Server(options.url, options.key, on_trouble=tell) as server:
        return Chat(server, screen, model=options.model).run(options.conversation, last=options.last)


class Chat:
    """One person, one server, one conversation at a time."""

    def __init__(self, server: Server, screen: Screen, *, model: str | None) -> None:
        self._server = server
        self._screen = screen
        self._model = model
        self._conversation_id: str | None = None
        self._listed: list[str] = []

    def run(self, conversation_id: str | None, *, last: bool) -> int:
        """The whole sitting."""
        self._begin(next(iter(self._recent(1)), {}).get("id") if last else conversation_id)
        line = Line(is_terminal=self._screen.is_terminal and sys.stdin.isatty())
        while (said := line.read()) is not None:
            try:
                if not self._take(said):
                    break
            except ServerError as error:
                self._screen.warn(str(error))
            except UnicodeError:
                self._screen.warn("That is not text in UTF-8.")
            except KeyboardInterrupt:
                self._screen.note("Not waited for any longer; it is being made. /open shows it.")
            if self._screen.is_terminal:
                self._screen.say("")
        if self._conversation_id and self._screen.is_terminal:
            self._screen.offer(f"Go on with: {to_type()} chat {self._where()}-c {self._conversation_id}")
        return 0

    def _where(self) -> str:
        """The option that leads to this server again, where it takes one."""
        by_itself = os.environ.get("ASYNCCHAT_URL") or DEFAULT_URL
        return "" if self._server.url == by_itself.rstrip("/") else f"--url {shlex.quote(self._server.url)} "

    def _begin(self, conversation_id: str | None) -> None:
        if conversation_id is not None:
            self._open(conversation_id)
            return
        self._recent(1)  # Whoever cannot chat here should hear of it before typing.
        self._screen.note(f"A new conversation on {self._server.url}. /help tells what you can do.")

    def _take(self, said: str) -> bool:
        """Does what a line says; False to leave."""
        if said.startswith("/") and not said.startswith("//"):
            return self._command(said)
        if said in {"exit", "quit"}:
            return False
        if said:
            self._ask(as_typed(said.removeprefix("/") if said.startswith("//") else said))
        return True

    def _command(self, said: str) -> bool:
        """Does what a line beginning with a slash says; False to leave."""
        name, _, argument = said.partition(" ")
        if name in {"/quit", "/exit"}:
            return False
        commands: dict[str, Callable[[], None]] = {
            "/new": self._begin_anew,
            "/list": self._list,
            "/retry": self._retry,
            "/stop": self._stop_all,
            "/help": lambda: self._screen.say(HELP),
        }
        if name == "/open":
            self._open_listed(argument.strip())
        elif name in commands:
            commands[name]()
        else:
            self._screen.warn(f"There is no {name}: /help lists what there is. // begins a message with a slash.")
        return True

    def _begin_anew(self) -> None:
        self._conversation_id = None
        self._screen.note("A new conversation.")

    def _recent(self, limit: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._server.get("/conversations/", limit=limit)["data"]
        return found

    def _list(self) -> None:
        found = self._recent(LISTED)
        self._listed = [item["id"] for item in found]
        if not found:
            self._screen.note("There are no conversations yet.")
            return
        self._screen.table(
            (str(number), item["updated_at"][:16].replace("T", " "), item["title"] or "(nothing said yet)")
            for number, item in enumerate(found, start=1)
        )

    def _open_listed(self, which: str) -> None:
        if which.isdecimal():
            if not self._listed:
                self._listed = [item["id"] for item in self._recent(LISTED)]
            if not 1 <= int(which) <= len(self._listed):
                self._screen.warn(f"The list has no number {which}: see /list.")
                return
            which = self._listed[int(which) - 1]
        if not which:
            self._screen.warn("Say which: /open 2, or /open conv_…")
            return
        self._open(which)

    def _open(self, conversation_id: str) -> None:
        """Shows what was said in a conversation, and goes on with it, also with what is being answered there."""
        found = self._server.get(f"/conversations/{quote(conversation_id, safe='')}/", messages=SHOWN_MESSAGES)
        self._conversation_id = conversation_id = found["id"]
        self._screen.note(f"{found['title'] or 'A conversation'} ({conversation_id})")
        if found["previous_messages"]:
            self._screen.note("… there is more before this")
        for message in found["messages"]:
            if message["role"] == "assistant":
                self._screen.show_answer(message["content"])
            else:
                self._screen.show_said(message["content"])
        for turn in sorted({reply["turn"] for reply in found["live_replies"]}):
            self._follow(
                f"/conversations/{conversation_id}/turns/{turn}/events/",
                [reply for reply in found["live_replies"] if reply["turn"] == turn],
            )

    def _ask(self, content: str) -> None:
        if self._conversation_id is None:
            body = {"message": {"content": content}, **({"model": self._model} if self._model else {})}
            turn = self._server.post("/conversations/", body)["turn"]
            self._conversation_id = turn["conversation_id"]
        else:
            turn = self._server.post(f"/conversations/{self._conversation_id}/ask-message/", {"content": content})
        self._follow(f"/conversations/{turn['conversation_id']}/turns/{turn['turn']}/events/", turn["replies"])

    def _retry(self) -> None:
        """Another try of what failed or was stopped; beside what was answered, another answer."""
        last = self._last_reply()
        if last is None:
            self._screen.warn("There is no answer yet that could be made again.")
        elif last["status"] in {"failed", "cancelled"}:
            reply = self._server.post(f"/replies/{last['id']}/retry/")
            self._follow(f"/replies/{reply['id']}/events/", [reply])
        else:
            reply = self._server.post(f"/replies/{last['id']}/regenerate/")["replies"][-1]
            self._follow(f"/replies/{reply['id']}/events/", [reply])

    def _last_reply(self) -> Mapping[str, Any] | None:
        if self._conversation_id is None:
            return None
        found: list[dict[str, Any]] = self._server.get("/replies/", conversation_id=self._conversation_id, limit=1)[
            "data"
        ]
        return found[0] if found else None

    def _stop_all(self) -> None:
        if self._conversation_id is None:
            self._screen.note("Nothing is being answered.")
            return
        live = self._server.get(f"/conversations/{self._conversation_id}/", messages=0)["live_replies"]
        for reply in live:
            self._server.post(f"/replies/{reply['id']}/cancel/")
        self._screen.note(f"Stopped: {len(live)}" if live else "Nothing is being answered.")

    def _follow(self, path: str, replies: list[dict[str, Any]]) -> None:
        """Shows the first of the replies while it is made, and the others after it."""
        answers = Answers.of(replies)
        first = answers.all[0]
        self._show_growing(path, answers, first)
        for answer in answers.all:
            if answer is not first and answer.text:
                self._screen.show_answer(answer.text)
            if why := failure_of(answer.reply):
                self._screen.warn(why)

    def _show_growing(self, path: str, answers: Answers, first: Answer) -> None:
        dropped = 0
        with (
            keyboard_is_silent(),
            self._screen.growing() as place,
            _on_interrupt(lambda: self._stop(answers.live)),
        ):
            place.wait("waiting …")
            for event in self._server.follow(path).events():
                answers.take(event)
                if first.dropped != dropped:
                    dropped = first.dropped
                    place.start_over()
                if first.text:
                    place.show(first.text)
                elif first.is_live:
                    place.wait(_waiting_for(first, event.kind))

    def _stop(self, answers: Sequence[Answer]) -> None:
        """Asks for an end, which the stream will tell. Beside it: the stream must not be interrupted in the middle."""
        for answer in answers:
            with contextlib.suppress(ServerError):
                self._server.post(f"/replies/{answer.id}/cancel/")


@contextlib.contextmanager
def _on_interrupt(what_to_do: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C does this in a thread. Another one is KeyboardInterrupt, as usual."""

    def begin(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        threading.Thread(target=what_to_do, daemon=True).start()

    before = signal.signal(signal.SIGINT, begin)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _waiting_for(answer: Answer, kind: str) -> str:
    if kind == "reply.started" or answer.reply["status"] == "in_progress":
        return "thinking …"
    ahead = answer.reply.get("queue", {}).get("turns_ahead")
    return f"{ahead} turns ahead …" if ahead else "waiting for a worker …"
