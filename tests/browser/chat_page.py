"""The chat page as a person uses it: by what things are called."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect


class ChatPage:
    """One tab."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.message = page.get_by_role("textbox", name="Message", exact=True)
        self.send_button = page.get_by_role("button", name="Send", exact=True)
        self.stop_button = page.get_by_role("button", name="Stop", exact=True)
        self.regenerate_button = page.get_by_role("button", name="Regenerate")
        self.thread = page.get_by_role("region", name="Messages")
        self.conversations = page.get_by_role("navigation", name="Conversations")
        self.answers = self.thread.locator("article.reply")
        self.switcher = page.get_by_role("group", name="Answers")

    def open(self, conversation_id: str | None = None) -> ChatPage:
        """Goes to a conversation, or to a new one."""
        self.page.goto(f"{self.url}/#/c/{conversation_id}" if conversation_id else f"{self.url}/")
        # Its modules are there.
        expect(self.page.get_by_role("button", name="Theme:")).to_be_visible()
        return self

    def give_key(self, key: str, *, dialog: str = "This server asks for a key") -> None:
        """Answers the dialog."""
        asked = self.page.get_by_role("dialog", name=dialog)
        asked.get_by_label("API key").fill(key)
        asked.get_by_role("button", name="Use this key").click()

    def say(self, text: str) -> None:
        """Types and sends."""
        self.message.fill(text)
        self.message.press("Enter")

    @property
    def conversation_id(self) -> str:
        """Of the open one."""
        return self.page.url.partition("#/c/")[2]

    def answer(self, number: int = -1) -> Locator:
        """One of the answers in sight, the last one by itself."""
        shown = self.answers.filter(visible=True)
        return shown.last if number < 0 else shown.nth(number)

    def finished(self, text: str) -> None:
        """Waits until the last answer has ended with this text."""
        expect(self.answer().locator(".prose")).to_contain_text(text)
        expect(self.answer()).to_have_attribute("aria-busy", "false")
