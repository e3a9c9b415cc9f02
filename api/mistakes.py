"""What pydantic finds wrong with a body, in words that say what to do where its own do not."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel

_OBJECTS = frozenset({"model_type", "model_attributes_type", "dict_type"})
# No name of ours has as many characters.
_LONG = 100


def in_words(mistake: Mapping[str, Any], annotation: Any) -> Mapping[str, Any]:
    """The same mistake, as pydantic has it, in a body of this type."""
    if mistake["type"] in _OBJECTS:
        return {**mistake, "msg": "Input should be a JSON object"}
    if mistake["type"] == "extra_forbidden":
        *above, name = (part for part in mistake["loc"] if isinstance(part, str))
        return {**mistake, "msg": f"There is no such field; {_hint(str(name), _fields_at(annotation, above))}"}
    return mistake


def _hint(name: str, known: Sequence[str]) -> str:
    # What is much longer is near to none, and looking takes as long as it is.
    near = difflib.get_close_matches(name[:_LONG], known, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"there is {', '.join(known)}" if known else "leave it out"


def _fields_at(annotation: Any, path: Sequence[str]) -> Sequence[str]:
    """The names of the fields of the object at this place."""
    model = next(_models_in(annotation), None)
    if model is None:
        return []
    if not path:
        return [field.alias or name for name, field in model.model_fields.items()]
    field = model.model_fields.get(path[0])
    return _fields_at(field.annotation, path[1:]) if field is not None else []


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a type such as `AskBody | None` speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
