"""Talking: what a person does all day."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Route, expect

from tests.browser.chat_page import ChatPage
from tests.fixtures.up import Up

Ask = Callable[..., str]


def test_a_newcomer_finds_what_to_do(chat: ChatPage, shoot: Callable[[ChatPage, str], None]) -> None:
    expect(chat.page.get_by_text("The demo model answers.")).to_be_visible()
    shoot(chat, "empty")
    chat.page.get_by_role("button", name="Hello, I am Ada", exact=True).click()
    chat.finished("set OPENAI_API_KEY and restart to talk to a real one.")
    expect(chat.page.get_by_role("heading", level=1)).to_have_text("Hello, I am Ada")
    expect(chat.conversations.locator("[aria-current=page]")).to_have_text("Hello, I am Ada")
    expect(chat.page.get_by_role("status").filter(has_text="Answer: Hello Ada")).to_be_attached()

    chat.say("What is my name?")
    chat.finished("Your name is Ada.")
    chat.page.go_back()
    expect(chat.page.get_by_text("What would you like to know?")).to_be_visible()
    chat.page.go_forward()
    chat.finished("Your name is Ada.")


def test_words_come_one_by_one_until_stop_and_regenerate_makes_another_answer(chat: ChatPage, up: Up) -> None:
    chat.open(up.post("/conversations/", {"model": "demo-drip"})["id"])
    chat.say("Hello, I am Ada")
    # The first word is there, and the next one is not.
    expect(chat.answer().locator(".prose.is-growing")).to_have_text("Hello")
    expect(chat.answer()).to_have_attribute("aria-busy", "true")
    chat.stop_button.click()
    expect(chat.answer()).to_contain_text("Stopped. This text is no part of the conversation.")
    expect(chat.stop_button).to_be_hidden()

    up.post(f"/conversations/{chat.conversation_id}/", {"model": "demo-fast"}, method="PATCH")
    chat.page.reload()
    chat.regenerate_button.click()
    chat.finished("nice to meet you")
    expect(chat.switcher).to_contain_text("2 of 2")
    chat.page.get_by_role("button", name="Previous answer").click()
    expect(chat.answer()).to_contain_text("Stopped.")


def test_escape_stops_and_shift_enter_is_a_new_line(chat: ChatPage, up: Up) -> None:
    chat.open(up.post("/conversations/", {"model": "demo-drip"})["id"])
    chat.message.press_sequentially("one")
    chat.message.press("Shift+Enter")
    chat.message.press_sequentially("two")
    chat.message.press("Enter")
    expect(chat.thread.get_by_label("You").locator(".said-text")).to_have_text("one\ntwo")
    expect(chat.stop_button).to_be_visible()
    chat.message.press("Escape")
    expect(chat.answer()).to_contain_text("Stopped.")


def test_several_answers_stand_side_by_side_and_one_is_chosen(
    chat: ChatPage, up: Up, shoot: Callable[[ChatPage, str], None]
) -> None:
    chat.page.get_by_label("How many answers").select_option("3")
    chat.say("Hello, I am Ada")
    expect(chat.answers.filter(visible=True)).to_have_count(3)
    use = chat.page.get_by_role("button", name="Use this answer")
    # Whichever came first is chosen by itself.
    expect(use).to_have_count(2)
    number = str(chat.answers.filter(has=use).last.get_attribute("aria-label"))
    chosen = chat.page.get_by_role("article", name=number)
    use.last.click()
    expect(chosen).to_contain_text("Goes on from here")
    expect(use).to_have_count(2)
    shoot(chat, "candidates")
    replies = up.get(f"/replies/?conversation_id={chat.conversation_id}")["data"]
    assert [f"Answer {reply['candidate']} of 3" for reply in replies if reply["selected"]] == [number]

    chat.page.reload()
    expect(chosen).to_contain_text("Goes on from here")
    chat.page.get_by_role("button", name="Show one at a time").click()
    expect(chat.switcher).to_contain_text(number.removeprefix("Answer "))


def test_what_waits_says_for_what(chat: ChatPage, up: Up) -> None:
    chat.open(up.post("/conversations/", {"model": "demo-drip"})["id"])
    for text in ("one", "two", "three"):
        chat.say(text)
    expect(chat.answers).to_have_count(3)
    expect(chat.answer(1)).to_contain_text("1 turn ahead")
    expect(chat.answer(2)).to_contain_text("2 turns ahead")
    chat.stop_button.click()
    expect(chat.stop_button).to_be_hidden()


def test_a_rate_limit_is_told_and_how_long_it_lasts(chat: ChatPage, up: Up) -> None:
    chat.open(up.post("/conversations/", {"model": "demo-fail-429"})["id"])
    chat.say("Hello, I am Ada")
    expect(chat.answer()).to_contain_text(re.compile(r"Retrying in \d+ s: the model is rate limited"))
    chat.stop_button.click()
    expect(chat.answer().get_by_role("button", name="Retry")).to_be_visible()


def test_a_failure_comes_with_its_cure_and_can_be_tried_again(chat: ChatPage, up: Up) -> None:
    chat.open(up.post("/conversations/", {"model": "demo-fail-401-once"})["id"])
    chat.say("Hello, I am Ada")
    expect(chat.answer()).to_contain_text("The model service refused the key.")
    expect(chat.answer()).to_contain_text("sets a valid OPENAI_API_KEY")
    chat.answer().get_by_role("button", name="Retry").click()
    chat.finished("nice to meet you")


def test_an_earlier_message_is_changed_in_a_copy(chat: ChatPage, ask: Ask, up: Up) -> None:
    original = ask("Hello, I am Ada")
    up.post(f"/conversations/{original}/ask-message/?wait=30", {"content": "What is my name?"})
    chat.open(original)
    chat.page.get_by_role("button", name="Edit and ask again in a copy").last.click()
    edited = chat.page.get_by_role("textbox", name="Edited message")
    edited.fill("What is 12 * 7?")
    edited.press("Enter")
    chat.finished("12 * 7 is 84.")
    assert chat.conversation_id != original
    expect(chat.thread).to_contain_text("Hello Ada, nice to meet you")
    assert up.get(f"/conversations/{original}/")["messages"][2]["content"] == "What is my name?"


def test_conversations_are_renamed_and_deleted(chat: ChatPage, ask: Ask) -> None:
    chat.open(ask("Remember the milk"))
    chat.conversations.get_by_role("button", name="Rename “Remember the milk”").click()
    chat.page.get_by_label("Title").fill("Groceries")
    chat.page.get_by_role("button", name="Rename", exact=True).click()
    expect(chat.page.get_by_role("heading", level=1)).to_have_text("Groceries")
    chat.conversations.get_by_role("button", name="Delete “Groceries”").click()
    chat.page.get_by_role("button", name="Delete", exact=True).click()
    expect(chat.conversations.get_by_role("link", name="Groceries")).to_have_count(0)
    expect(chat.page.get_by_text("What would you like to know?")).to_be_visible()


def test_instructions_and_model_hold_for_the_conversation(chat: ChatPage, up: Up) -> None:
    chat.page.get_by_role("button", name="Settings of this conversation").click()
    chat.page.get_by_label("Instructions").fill("Answer in French.")
    chat.page.get_by_role("textbox", name="Model").fill("demo-transcript")
    chat.page.get_by_role("button", name="Save").click()
    chat.say("Hello")
    chat.finished("Answer in French.")
    made = up.get(f"/conversations/{chat.conversation_id}/")
    assert (made["instructions"], made["model"]) == ("Answer in French.", "demo-transcript")


def test_code_is_coloured_and_copied(chat: ChatPage, ask: Ask) -> None:
    code = "def f(x):\n    return 'y'"
    chat.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    chat.open(ask(f"```python\n{code}\n```", model="demo-echo"))
    expect(chat.answer().locator(".hljs-keyword").first).to_have_text("def")
    chat.page.get_by_role("button", name="Copy code").click()
    chat.page.wait_for_function("async wanted => (await navigator.clipboard.readText()).trim() === wanted", arg=code)


def test_an_old_conversation_is_read_page_by_page(chat: ChatPage, up: Up) -> None:
    conversation = up.post("/conversations/", {})["id"]
    for number in range(60):
        up.post(f"/conversations/{conversation}/messages/", {"role": "user", "content": f"note {number:02}"})
    chat.open(conversation)
    expect(chat.thread.get_by_text("note 59")).to_be_in_viewport()
    expect(chat.thread.get_by_text("note 09")).to_have_count(0)
    chat.page.get_by_role("button", name="Show earlier messages").click()
    expect(chat.thread.get_by_text("note 00")).to_be_visible()
    expect(chat.page.get_by_role("button", name="Show earlier messages")).to_be_hidden()


def test_conversations_are_found_by_what_was_said(chat: ChatPage, ask: Ask) -> None:
    ask("Where do penguins live?")
    ask("Something else")
    chat.page.reload()
    search = chat.page.get_by_role("searchbox", name="Search conversations")
    search.fill("PENGUIN")
    expect(chat.conversations.get_by_role("link").filter(has_text="penguins")).to_be_visible()
    expect(chat.conversations.locator("mark").first).to_have_text("penguin")
    expect(chat.conversations.get_by_role("link", name="Something else")).to_have_count(0)
    search.fill("nothing of the kind was ever said")
    expect(chat.page.get_by_text("Nothing was found.")).to_be_visible()
    search.fill("")
    expect(chat.conversations.get_by_role("link", name="Something else").first).to_be_visible()


def test_an_answer_is_rated_and_said_why(chat: ChatPage, ask: Ask, up: Up) -> None:
    conversation = ask("Hello, I am Ada")
    chat.open(conversation)
    chat.page.get_by_role("button", name="Bad answer").click()
    expect(chat.page.get_by_role("button", name="Bad answer")).to_have_attribute("aria-pressed", "true")
    chat.page.get_by_role("button", name="Add a comment").click()
    chat.page.get_by_label("Comment").fill("Too short")
    chat.page.get_by_role("button", name="Save").click()
    expect(chat.page.get_by_role("button", name="Change the comment")).to_be_visible()
    reply = up.get(f"/replies/?conversation_id={conversation}")["data"][0]
    assert (reply["feedback"]["rating"], reply["feedback"]["comment"]) == ("down", "Too short")
    chat.page.reload()
    chat.page.get_by_role("button", name="Bad answer").click()
    expect(chat.page.get_by_role("button", name="Bad answer")).to_have_attribute("aria-pressed", "false")


def test_a_long_list_stays_where_somebody_is(chat: ChatPage, up: Up) -> None:
    for number in range(45):
        up.post("/conversations/", {"title": f"Many {number:02}"})
    chat.page.reload()
    oldest = chat.conversations.get_by_role("link", name="Many 00")
    newest = chat.conversations.get_by_role("link", name="Many 44")
    expect(newest).to_be_visible()
    expect(oldest).to_have_count(0)
    chat.conversations.get_by_role("button", name="Rename “Many 16”").focus()
    expect(oldest).to_have_count(1)
    # Something changes, and the newest are read anew.
    up.post("/conversations/", {"title": "Many more"})
    chat.page.evaluate("dispatchEvent(new Event('focus'))")
    expect(chat.conversations.get_by_role("link", name="Many more")).to_be_visible()
    expect(oldest).to_have_count(1)
    # The focus goes on to the next one.
    chat.conversations.get_by_role("button", name="Delete “Many 16”").press("Enter")
    chat.page.get_by_role("button", name="Delete", exact=True).click()
    expect(chat.conversations.get_by_role("link", name="Many 15")).to_be_focused()


def test_each_language_has_its_direction(chat: ChatPage, ask: Ask) -> None:
    chat.open(ask("שלום עולם\n\n- אחת\n\n```\ncode\n```\n\nEnglish", model="demo-echo"))
    chat.finished("English")
    directions = "[...document.querySelector('.prose').children].map(each => getComputedStyle(each).direction)"
    assert chat.page.evaluate(directions) == ["rtl", "rtl", "ltr", "ltr"]


def test_what_is_refused_elsewhere_is_not_lost(chat: ChatPage, ask: Ask) -> None:
    first, second = ask("First"), ask("Second")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    chat.open(first)
    chat.page.route("**/ask-message/", hold)
    with chat.page.expect_request("**/ask-message/"):
        chat.say("A long thought")
    chat.conversations.locator(f'a[href$="{second}"]').click()
    expect(chat.page.get_by_role("heading", level=1)).to_have_text("Second")
    held[0].fulfill(status=422, json={"code": "validation_error", "detail": "It is refused."})
    expect(chat.page.get_by_text("is in its message box again. It is refused.")).to_be_visible()
    expect(chat.message).to_have_value("")
    chat.page.go_back()
    expect(chat.message).to_have_value("A long thought")
