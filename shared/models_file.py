"""`models.toml`: the names of the models on offer, the upstreams that answer for them, and who answers if one fails.

A file that cannot be used is refused with one sentence that names the file, the place in it and the cure.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from shared.errors import SettingsError

# Found by this name in the working directory if no setting names another.
USUAL_NAME = "models.toml"
# What the setting says where there is to be none, although there is a file of the usual name.
NO_FILE = "-"
# More upstreams than this for one reply are a mistake: it is tried four times at most, unless it is set up otherwise.
MAX_ROUTES = 8

# The columns of an attempt are as long.
_UpstreamName = Annotated[str, StringConstraints(pattern=r"^\S(.*\S)?$", max_length=100)]
_ModelName = Annotated[str, StringConstraints(pattern=r"^\S(.*\S)?$", max_length=200)]


@dataclass(frozen=True, slots=True)
class Upstream:
    """A server that answers. None stands for what the settings say, and of `max_concurrent` for no limit."""

    name: str
    base_url: str | None
    key_variable: str | None = None
    max_concurrent: int | None = None
    first_byte_seconds: float | None = None
    chunk_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """Where a model is asked: the upstream, the model's name there, and how much of a prompt it reads."""

    upstream: Upstream
    model: str
    prompt_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ModelsFile:
    """Each model on offer with its routes: its own first, then those of its fallbacks in their order."""

    path: Path
    routes: Mapping[str, tuple[Route, ...]]
    upstreams: Mapping[str, Upstream]

    def keys(self) -> Mapping[str, str | None]:
        """The key of each upstream, from the environment or `.env`. None where it needs none.

        Raises:
            SettingsError: a variable is not set.
        """
        environment = {**dotenv_values(".env"), **os.environ}
        found: dict[str, str | None] = {}
        for upstream in self.upstreams.values():
            variable = upstream.key_variable
            if variable is not None and not environment.get(variable):
                raise _wrong(
                    self.path,
                    f"upstreams.{upstream.name}.key_variable",
                    f"{variable} is not set: put the key of this upstream into the environment or .env under that name",
                )
            found[upstream.name] = environment[variable] if variable is not None else None
        return found


def _check_base_url(value: str) -> str:
    try:
        url = urlsplit(value)
        is_usable = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ValueError("must be an address such as https://api.example.com/v1")
    if "@" in value:
        raise ValueError("holds a name or password, which do not belong in this file; use key_variable")
    return value


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class _UpstreamTable(_Table):
    base_url: Annotated[str, AfterValidator(_check_base_url)]
    key_variable: Annotated[str, StringConstraints(pattern=r"^[A-Z_][A-Z0-9_]*$")] | None = None
    max_concurrent: int | None = Field(None, ge=1)
    first_byte_seconds: float | None = Field(None, gt=0, allow_inf_nan=False)
    chunk_seconds: float | None = Field(None, gt=0, allow_inf_nan=False)


class _ModelTable(_Table):
    upstream: str
    model: _ModelName | None = None
    fallbacks: list[str] = []
    prompt_tokens: int | None = Field(None, ge=100)


class _File(_Table):
    upstreams: dict[_UpstreamName, _UpstreamTable] = Field(min_length=1)
    models: dict[_ModelName, _ModelTable] = Field(min_length=1)


_TABLES: Mapping[str, type[_Table]] = {"upstreams": _UpstreamTable, "models": _ModelTable}
# What a pattern asks for, in words.
_PATTERNS = {
    "key_variable": "must be the name of a variable, in capitals; the key itself does not belong in this file",
}


def find(setting: str | None) -> Path | None:
    """The file that the setting names, or the one of the usual name if there is one. None: there is none to read."""
    if setting == NO_FILE:
        return None
    if setting:
        return Path(setting)
    usual = Path(USUAL_NAME)
    return usual if usual.exists() else None


def read(path: Path) -> ModelsFile:
    """What the file says.

    Raises:
        SettingsError: it cannot be used.
    """
    try:
        content = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read the models file {path.resolve()}: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"wrong models file {path.resolve()}: {_lower(str(error))}") from None
    except ValidationError as error:
        raise _wrong(path, *_first_mistake(error)) from None
    upstreams = {name: Upstream(name=name, **table.model_dump()) for name, table in content.upstreams.items()}
    for name, model in content.models.items():
        _check_names(path, name, model, upstreams=upstreams, models=content.models)
    routes = {name: _routes(path, name, content.models, upstreams=upstreams) for name in content.models}
    return ModelsFile(path, routes, upstreams)


def _check_names(path: Path, name: str, model: _ModelTable, *, upstreams: Iterable[str], models: Iterable[str]) -> None:
    if model.upstream not in upstreams:
        cure = f"there is no [upstreams.{model.upstream}] in this file; {_offer(upstreams)}"
        raise _wrong(path, f"models.{name}.upstream", cure)
    for fallback in model.fallbacks:
        if fallback not in models:
            cure = f"there is no [models.{fallback}] in this file; {_offer(models)}"
            raise _wrong(path, f"models.{name}.fallbacks", cure)
        if model.fallbacks.count(fallback) > 1:
            raise _wrong(path, f"models.{name}.fallbacks", f"{fallback} is named twice; once is enough")


def _routes(
    path: Path, name: str, models: Mapping[str, _ModelTable], *, upstreams: Mapping[str, Upstream]
) -> tuple[Route, ...]:
    """The model's own route, then those of its fallbacks, each followed by its own fallbacks."""
    chain = list(dict.fromkeys(_chain(path, (name,), models)))
    if len(chain) > MAX_ROUTES:
        cure = f"with the fallbacks of fallbacks {len(chain)} models may answer; leave at most {MAX_ROUTES}"
        raise _wrong(path, f"models.{name}.fallbacks", cure)
    return tuple(
        Route(upstreams[models[each].upstream], models[each].model or each, models[each].prompt_tokens)
        for each in chain
    )


def _chain(path: Path, so_far: tuple[str, ...], models: Mapping[str, _ModelTable]) -> Iterator[str]:
    name = so_far[-1]
    if name in so_far[:-1]:
        circle = " → ".join(so_far[so_far.index(name) :])
        raise _wrong(path, f"models.{so_far[-2]}.fallbacks", f"{circle} is a circle; take one of these fallbacks out")
    yield name
    for fallback in models[name].fallbacks:
        yield from _chain(path, (*so_far, fallback), models)


def _first_mistake(error: ValidationError) -> tuple[str, str]:
    """The place of the first mistake, and what to do about it."""
    mistakes = error.errors()
    # A key that is misspelt explains the one that is missing.
    mistake = next((each for each in mistakes if each["type"] == "extra_forbidden"), mistakes[0])
    *above, last = parts = [str(part) for part in mistake["loc"] if part != "[key]"]
    place = ".".join(parts)
    match mistake["type"]:
        case "extra_forbidden":
            known = (_TABLES[above[0]] if above else _File).model_fields
            near = difflib.get_close_matches(last, known, n=1)
            return place, f"there is no such key; {f'did you mean {near[0]}?' if near else _offer(known)}"
        case "dict_type" | "model_type" | "model_attributes_type":
            return place, f"must be a table of its own, such as [{above[0] if above else last}.NAME]"
        case "missing" if above:
            return ".".join(above), f"needs {last}"
        case "missing" | "too_short":
            return last, f"there must be at least one [{last}.NAME]"
        case "string_pattern_mismatch":
            return place, _PATTERNS.get(last, "a name does not begin or end with white space, and is not empty")
        case _:
            return place, _lower(str(mistake["msg"]).removeprefix("Value error, "))


def _wrong(path: Path, place: str, cure: str) -> SettingsError:
    return SettingsError(f"wrong models file {path.resolve()}: {place}: {cure}")


def _offer(names: Iterable[str]) -> str:
    """What to choose from."""
    return f"there is {', '.join(names)}"


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def base_urls(path: Path) -> Mapping[str, str]:
    """The address of each upstream, by its place in the file."""
    upstreams = read(path).upstreams
    return {f"upstreams.{name}.base_url": str(upstream.base_url) for name, upstream in upstreams.items()}


def offered(path: Path, wanted: Any) -> tuple[str, Sequence[str]]:
    """The default model, which is the first one unless `wanted` names another, and all names that are on offer.

    Raises:
        SettingsError: the file cannot be used, or has no such model.
    """
    names = tuple(read(path).routes)
    default = names[0] if wanted is None else str(wanted)
    if default not in names:
        raise SettingsError(
            f"wrong setting: ASYNCCHAT_MODEL: {path.resolve()} has no model {default!r}; {_offer(names)}"
        )
    return default, names
