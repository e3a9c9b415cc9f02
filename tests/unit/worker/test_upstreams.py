"""Where a reply is asked, by what its upstreams have room for and how they are."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from shared.ending import Failure
from shared.errors import SettingsError
from shared.models_file import MAX_ROUTES
from shared.reply_status import ReplyError
from shared.room import Place
from shared.store.claims import Claim
from tests.fixtures.settings import settings_with
from worker.breaker import FAILURES_TO_OPEN
from worker.model_failure import ModelFailure
from worker.upstreams import Onward, Upstreams

FILE = """
[upstreams.a]
base_url = "http://a/v1"
max_concurrent = 2
[upstreams.b]
base_url = "http://b/v1"
max_concurrent = 3
[upstreams.c]
base_url = "http://c/v1"
[models.abc]
upstream = "a"
fallbacks = ["bc"]
[models.bc]
upstream = "b"
fallbacks = ["c"]
[models.c]
upstream = "c"
"""
REFUSED = ModelFailure(Failure(ReplyError.UPSTREAM_UNREACHABLE, "No.", retryable=True))
TOO_LONG = ModelFailure(Failure(ReplyError.CONTEXT_LENGTH_EXCEEDED, "Too long.", retryable=False))
BAD_KEY = ModelFailure(Failure(ReplyError.INVALID_API_KEY, "Bad key.", retryable=False))


@pytest.fixture
def upstreams(tmp_path: Path) -> Upstreams:
    path = tmp_path / "models.toml"
    path.write_text(FILE)
    return Upstreams.of(settings_with(models_file=str(path)))


def claim_at(place: Place | None, model: str) -> Claim:
    return Claim(
        reply_id="reply",
        token=1,
        tenant_id="tenant",
        conversation_id="conv",
        turn=1,
        candidate=1,
        attempt=1,
        tries=1,
        model_calls=1,
        model=model,
        parameters={},
        available_at=0,
        deadline_at=0,
        place=place,
    )


def begin(upstreams: Upstreams, model: str, next_route: int = 0) -> Claim | None:
    """A reply of the model that takes its place, if there is one."""
    place = upstreams.rooms()().take(model, next_route)
    if place is None:
        return None
    claim = claim_at(place, model)
    upstreams.begin(claim)
    return claim


def break_down(upstreams: Upstreams, name: str, model: str) -> None:
    """Has the upstream fail until it is left alone."""
    route = [each.upstream.name for each in upstreams.routes_of(model)].index(name)
    for _ in range(FAILURES_TO_OPEN):
        upstreams.report(claim_at(Place(name, model, route), model), REFUSED)


def test_one_that_is_full_is_waited_for_and_one_that_fails_is_passed_by(upstreams: Upstreams) -> None:
    room = upstreams.rooms()()
    assert [room.take("abc", 0) for _ in range(3)] == [Place("a", "abc", 0)] * 2 + [None]
    assert set(room.shut()) == {("abc", route) for route in range(MAX_ROUTES) if route % 3 == 0}
    assert room.take("bc", 0) == Place("b", "bc", 0)
    break_down(upstreams, "a", "abc")
    room = upstreams.rooms()()
    assert [room.take("abc", 0) for _ in range(4)] == [Place("b", "bc", 1)] * 3 + [None]
    break_down(upstreams, "b", "bc")
    assert upstreams.rooms()().take("abc", 0) == Place("c", "c", 2)
    break_down(upstreams, "c", "c")
    assert upstreams.rooms()().take("abc", 0) is None
    assert {model for model, _ in upstreams.shut()} == {"abc", "bc", "c"}


def test_a_reply_goes_on_from_the_route_that_it_has_come_to(upstreams: Upstreams) -> None:
    assert upstreams.rooms()().take("abc", 2) == Place("c", "c", 2)
    assert upstreams.rooms()().take("abc", 3) == Place("a", "abc", 0), "the chain was longer once"
    break_down(upstreams, "c", "c")
    assert upstreams.rooms()().take("abc", 2) == Place("a", "abc", 0)


def test_places_are_given_back(upstreams: Upstreams) -> None:
    first, second = begin(upstreams, "abc"), begin(upstreams, "abc")
    assert first is not None
    assert second is not None
    assert begin(upstreams, "abc") is None
    upstreams.leave(first)
    assert begin(upstreams, "abc") is not None


def test_a_claim_that_begins_anew_has_the_same_room_again(upstreams: Upstreams) -> None:
    """As a transaction that the database broke off is run once more."""
    make_room = upstreams.rooms()
    for _ in range(2):
        room = make_room()
        assert [room.take("abc", 0) is None for _ in range(3)] == [False, False, True]


def test_whatever_happens_no_upstream_has_more_than_it_takes(upstreams: Upstreams) -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    held: list[Claim] = []
    for _ in range(2000):
        if held and chance.random() < 0.5:
            claim = held.pop(chance.randrange(len(held)))
            upstreams.report(claim, chance.choice([None, REFUSED, TOO_LONG]))
            upstreams.leave(claim)
        elif begun := begin(upstreams, chance.choice(["abc", "bc", "c"]), chance.randrange(4)):
            held.append(begun)
        at = Counter(each.place.upstream for each in held if each.place)
        assert (at["a"] <= 2, at["b"] <= 3) == (True, True), f"seed {seed}"
    for claim in held:
        upstreams.leave(claim)
    assert all(line.running == 0 for line in upstreams._lines.values())


def test_after_a_failure_it_goes_on_to_the_next_that_is_sound(upstreams: Upstreams) -> None:
    first, second, third = (claim_at(Place(name, "", route), "abc") for route, name in enumerate("abc"))
    assert upstreams.onward(first, REFUSED) == Onward(1, is_sound=True)
    assert upstreams.onward(third, REFUSED) == Onward(0, is_sound=False)
    break_down(upstreams, "b", "bc")
    assert upstreams.onward(first, BAD_KEY) == Onward(2, is_sound=True)
    break_down(upstreams, "c", "c")
    assert upstreams.onward(first, REFUSED) == Onward(1, is_sound=False)
    assert upstreams.onward(second, TOO_LONG) is None
    assert upstreams.onward(claim_at(Place("c", "c", 0), "c"), REFUSED) is None, "it has no fallback"
    assert upstreams.onward(claim_at(None, "abc"), REFUSED) is None, "nobody was asked"


def test_what_a_request_does_wrong_says_nothing_against_the_upstream(upstreams: Upstreams) -> None:
    for _ in range(FAILURES_TO_OPEN):
        upstreams.report(claim_at(Place("a", "abc", 0), "abc"), REFUSED)
        upstreams.report(claim_at(Place("a", "abc", 0), "abc"), TOO_LONG)
    assert upstreams.onward(claim_at(Place("c", "c", 2), "abc"), REFUSED) is not None
    assert upstreams.rooms()().take("abc", 0) == Place("a", "abc", 0)


def test_a_model_that_is_not_on_offer_has_a_place_nowhere(upstreams: Upstreams) -> None:
    place = upstreams.rooms()().take("gone", 0)
    assert place == Place(None, "gone")
    with pytest.raises(ModelFailure, match="does not offer the model 'gone'"):
        upstreams.client(claim_at(place, "gone"))


def test_without_a_file_there_is_one_upstream_for_every_name() -> None:
    only = Upstreams.of(settings_with(openai_base_url="http://one/v1"))
    break_down(only, "default", "any")
    room = only.rooms()()
    assert {room.take("any", 0) for _ in range(1000)} == {Place("default", "any")}
    assert (room.least, room.shut()) == (None, ())


def test_without_a_file_or_a_service_there_is_nobody_to_ask() -> None:
    with pytest.raises(SettingsError, match="no model is configured: set OPENAI_API_KEY"):
        Upstreams.of(settings_with())
