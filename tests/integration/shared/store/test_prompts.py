"""What a model is shown of a conversation."""

from __future__ import annotations

import pytest

from shared.clock import now_ms
from shared.database.access import Database
from shared.ending import Ending
from shared.liveness.heartbeat import Heartbeat
from shared.reply_status import ReplyStatus
from shared.store import claims, moves, prompts
from shared.store.claims import Claim
from shared.store.prompts import TOKENS_A_MESSAGE, estimate_tokens
from tests.fixtures.chats import Chats

pytestmark = pytest.mark.anyio

PLENTY = 100_000


@pytest.fixture
def chats(database: Database) -> Chats:
    return Chats(database)


@pytest.fixture
async def worker_id(database: Database) -> str:
    heartbeat = Heartbeat(database, "worker")
    await heartbeat._register()
    return heartbeat.process_id


async def claim_all(database: Database, worker_id: str) -> list[Claim]:
    return await database.write(claims.claim, worker_id, limit=100, now=now_ms())


async def answer(database: Database, worker_id: str, *contents: str) -> None:
    """Ends what is due, each candidate with its own text."""
    for claim, content in zip(await claim_all(database, worker_id), contents, strict=True):
        await database.write(moves.finish, claim, Ending(ReplyStatus.COMPLETED, content), now=now_ms())


async def prompt_of(database: Database, worker_id: str, *, budget: int = PLENTY) -> list[tuple[str, str]]:
    """What would be sent for the one reply that is due."""
    (claim,) = await claim_all(database, worker_id)
    built = await database.read(prompts.build, claim, budget=budget)
    return [(message["role"], message["content"]) for message in built]


async def test_a_first_question_is_sent_alone(database: Database, chats: Chats, worker_id: str) -> None:
    await chats.ask(await chats.start(), "Hello")
    assert await prompt_of(database, worker_id) == [("user", "Hello")]


async def test_the_instructions_come_first_as_a_system_message(
    database: Database, chats: Chats, worker_id: str
) -> None:
    conversation = await chats.start(instructions="Be brief.")
    await chats.append(conversation, "user", "Hi")
    await chats.ask(conversation, "Hello")
    assert await prompt_of(database, worker_id) == [("system", "Be brief."), ("user", "Hi"), ("user", "Hello")]


async def test_history_is_in_the_order_it_was_said(database: Database, chats: Chats, worker_id: str) -> None:
    conversation = await chats.start()
    await chats.ask(conversation, "one")
    await answer(database, worker_id, "1")
    await chats.ask(conversation, "two")
    await answer(database, worker_id, "2")
    await chats.ask(conversation, "three")
    assert await prompt_of(database, worker_id) == [
        ("user", "one"),
        ("assistant", "1"),
        ("user", "two"),
        ("assistant", "2"),
        ("user", "three"),
    ]


async def test_of_several_candidates_only_the_selected_is_shown(
    database: Database, chats: Chats, worker_id: str
) -> None:
    conversation = await chats.start()
    await chats.ask(conversation, "one", n=3)
    await answer(database, worker_id, "first", "second", "third")
    await chats.ask(conversation, "two")
    assert await prompt_of(database, worker_id) == [("user", "one"), ("assistant", "first"), ("user", "two")]


async def test_siblings_are_not_shown_to_each_other(database: Database, chats: Chats, worker_id: str) -> None:
    await chats.ask(await chats.start(), "one", n=2)
    first, second = await claim_all(database, worker_id)
    await database.write(moves.finish, first, Ending(ReplyStatus.COMPLETED, "first"), now=now_ms())
    assert await database.read(prompts.build, second, budget=PLENTY) == [{"role": "user", "content": "one"}]


async def test_a_failed_turn_keeps_its_question(database: Database, chats: Chats, worker_id: str) -> None:
    conversation = await chats.start()
    await chats.ask(conversation, "one")
    (claim,) = await claim_all(database, worker_id)
    await database.write(moves.finish, claim, Ending(ReplyStatus.FAILED, "half"), now=now_ms())
    await chats.ask(conversation, "two")
    assert await prompt_of(database, worker_id) == [("user", "one"), ("user", "two")]


async def test_later_questions_are_not_shown(database: Database, chats: Chats, worker_id: str) -> None:
    conversation = await chats.start()
    await chats.ask(conversation, "one")
    await chats.ask(conversation, "two")
    assert await prompt_of(database, worker_id) == [("user", "one")]


async def test_imported_messages_keep_their_roles(database: Database, chats: Chats, worker_id: str) -> None:
    conversation = await chats.start()
    imported = [("system", "You are a pirate."), ("user", "Hi"), ("assistant", "Arr")]
    for role, content in imported:
        await chats.append(conversation, role, content)
    await chats.ask(conversation, "Hello")
    assert await prompt_of(database, worker_id) == [*imported, ("user", "Hello")]


async def test_the_newest_turns_stay_and_a_turn_is_never_split(
    database: Database, chats: Chats, worker_id: str
) -> None:
    """The budget would take the answer of the first turn, but not its question as well."""
    conversation = await chats.start()
    for number in ("one", "two"):
        await chats.ask(conversation, number)
        await answer(database, worker_id, number.upper())
    await chats.ask(conversation, "three")
    costs = sum(estimate_tokens(text) for text in ("three", "TWO", "two", "ONE"))
    expected = [("user", "two"), ("assistant", "TWO"), ("user", "three")]
    assert await prompt_of(database, worker_id, budget=costs) == expected


async def test_a_budget_that_is_just_met_drops_nothing(database: Database, chats: Chats, worker_id: str) -> None:
    conversation = await chats.start(instructions="Be brief.")
    await chats.append(conversation, "user", "Hi")
    await chats.ask(conversation, "Hello")
    costs = sum(estimate_tokens(text) for text in ("Be brief.", "Hi", "Hello"))
    assert len(await prompt_of(database, worker_id, budget=costs)) == 3


async def test_nothing_older_than_a_turn_that_does_not_fit_is_shown(
    database: Database, chats: Chats, worker_id: str
) -> None:
    """A conversation with a hole would mislead the model more than a shorter one."""
    conversation = await chats.start()
    await chats.append(conversation, "user", "short")
    await chats.append(conversation, "user", "long " * 100)
    await chats.ask(conversation, "Hello")
    assert await prompt_of(database, worker_id, budget=50) == [("user", "Hello")]


async def test_instructions_and_question_stay_even_over_the_budget(
    database: Database, chats: Chats, worker_id: str
) -> None:
    conversation = await chats.start(instructions="rule " * 1000)
    await chats.append(conversation, "user", "Hi")
    await chats.ask(conversation, "word " * 1000)
    roles = [role for role, _ in await prompt_of(database, worker_id, budget=100)]
    assert roles == ["system", "user"]


async def test_a_long_history_is_read_as_far_as_the_budget_goes(
    database: Database, chats: Chats, worker_id: str
) -> None:
    """More messages than one batch of rows."""
    conversation = await chats.start()
    for number in range(200):
        await chats.append(conversation, "user", str(number))
    await chats.ask(conversation, "last")
    each = estimate_tokens("100")
    built = await prompt_of(database, worker_id, budget=150 * each)
    assert [content for _, content in built] == [str(number) for number in range(51, 200)] + ["last"]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("word", 1),
        ("words", 2),
        ("word " * 100, 125),
        ("日本語の文章", 5),  # three bytes each
        ("🙂🙂", 2),  # four bytes each
    ],
)
def test_tokens_are_estimated_from_bytes(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == TOKENS_A_MESSAGE + tokens
