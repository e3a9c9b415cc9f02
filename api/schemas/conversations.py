"""Conversations, turns and messages as they are told."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from api.schemas.answers import Answer, Instant, Page
from api.schemas.replies import Reply


class Message(Answer):
    """What was said."""

    id: str
    conversation_id: str
    turn: int
    role: Literal["user", "assistant", "system"]
    content: str
    reply_id: str | None = Field(description="The reply it is the text of, for an assistant's answer.")
    created_at: Instant


class Turn(Answer):
    """A message and the replies it asked for."""

    conversation_id: str
    turn: int
    message: Message
    replies: list[Reply]


class ConversationHead(Answer):
    """A conversation as lists show it."""

    id: str
    title: str | None
    instructions: str | None
    model: str | None
    parameters: dict[str, Any]
    metadata: dict[str, str]
    end_user: str | None
    version: int = Field(description="Grows with every message, setting and status change.")
    created_at: Instant
    updated_at: Instant


class Match(Answer):
    """Where in a conversation it was found: in its title, else in the newest such message."""

    field: Literal["title", "message"]
    snippet: str = Field(description="A line of text around the first of the words, without line breaks.")
    message_id: str | None
    turn: int | None


class ListedConversation(ConversationHead):
    """A conversation in a list."""

    match: Match | None = Field(None, description="Only where the list was searched with `q`.")


class Conversation(ConversationHead):
    """A conversation with its newest messages, oldest of them first."""

    messages: list[Message]
    previous_messages: str | None = Field(description="Where the messages before these are, if there are any.")
    live_replies: list[Reply]


class CreatedConversation(Conversation):
    """A new conversation, with its first turn if one was asked."""

    turn: Turn | None = None


class ConversationPage(Page):
    """A page of conversations."""

    data: list[ListedConversation]


class MessagePage(Page):
    """A page of messages, oldest first."""

    data: list[Message]
