"""Input items: what a client says to a model, as messages of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.openai_compat.errors import Unsupported
from shared.errors import InvalidValue
from shared.settings import get_settings
from shared.store.turns import Said

ROLES = ("user", "assistant", "system", "developer")
# What a message in OpenAI's dialect may have besides; it is made anew when the item is shown.
_IGNORED = frozenset({"type", "id", "status", "phase"})
_TEXT_PARTS = frozenset({"input_text", "output_text", "text"})
# Models of every provider know this one.
_KEPT_AS = {"developer": "system"}


def read_items(value: Any, *, pointer: str) -> list[Said]:
    """The messages in a list of items, or of a text that the user says.

    Raises:
        InvalidValue: an item is not as OpenAI has it, or there is none.
        Unsupported: an item is not a message of text.
    """
    if isinstance(value, str):
        return [Said(_text(value, pointer))]
    if not isinstance(value, list) or not value:
        raise InvalidValue("Input should be a text, or a list of at least one item.", pointer=pointer)
    return [_message(item, f"{pointer}/{number}") for number, item in enumerate(value)]


def _message(item: Any, pointer: str) -> Said:
    if not isinstance(item, Mapping):
        raise InvalidValue("An item should be an object.", pointer=pointer)
    if (kind := item.get("type", "message")) != "message":
        raise Unsupported(
            f"Items of type {kind!s:.50} are not supported, only messages of text.", pointer=f"{pointer}/type"
        )
    if unknown := sorted(item.keys() - _IGNORED - {"role", "content"}):
        raise InvalidValue("A message has no such field.", pointer=f"{pointer}/{unknown[0]:.100}")
    return said(item.get("role"), item.get("content"), pointer=pointer)


def said(role: Any, content: Any, *, pointer: str) -> Said:
    """A message of this role and content, which is a text or a list of parts.

    Raises:
        InvalidValue: it is not as OpenAI has it.
        Unsupported: a part is not text.
    """
    if role not in ROLES:
        raise InvalidValue(f"The role should be one of {', '.join(ROLES)}.", pointer=f"{pointer}/role")
    parts = {"role": role} if role in _KEPT_AS else None
    return Said(_content(content, f"{pointer}/content"), _KEPT_AS.get(role, role), parts)


def _content(content: Any, pointer: str) -> str:
    if isinstance(content, str):
        return _text(content, pointer)
    if not isinstance(content, list) or not content:
        raise InvalidValue("The content should be a text, or a list of at least one part.", pointer=pointer)
    return _text("\n".join(_part(part, f"{pointer}/{number}") for number, part in enumerate(content)), pointer)


def _part(part: Any, pointer: str) -> str:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if not isinstance(kind, str):
        raise InvalidValue("A part should be an object with a type.", pointer=pointer)
    if kind == "refusal" and isinstance(part.get("refusal"), str):
        return str(part["refusal"])
    if kind not in _TEXT_PARTS:
        raise Unsupported(f"Parts of type {kind:.50} are not supported, only text.", pointer=f"{pointer}/type")
    if not isinstance(part.get("text"), str):
        raise InvalidValue("The text of this part is missing.", pointer=f"{pointer}/text")
    return str(part["text"])


def _text(text: str, pointer: str) -> str:
    if not text or text.isspace():
        raise InvalidValue("The text should have something other than white space.", pointer=pointer)
    if len(text) > (most := get_settings().max_content_chars):
        raise InvalidValue(f"The text should have at most {most} characters.", pointer=pointer)
    return text
