"""The API reference as a page of Markdown, from the OpenAPI document: `make reference` writes docs/reference.md."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from api.app import application
from shared.settings import Settings

INTRODUCTION = """\
# API reference

<!-- Made by `make reference` from the OpenAPI document; a test holds the two equal. -->

Every route with its parameters, bodies, answers and errors. The same is on the running server, to be tried, at `/docs`,
and for programs at `/openapi.json`. What the fields alone do not tell is in [api.md](api.md), and OpenAI's routes under
`/v1` are in [openai.md](openai.md).

Where the server asks for keys, send `Authorization: Bearer ak_…`; without a good one it is 401, without the scope 403.
What holds for every route is not repeated below: 500 when something went wrong here, 503 when the database does not
answer, 429 where there are [rates](operations.md#who-may-use-it), and for a body 400 (not JSON), 413 (too large) and
415 (not declared as JSON). Errors are [problems](#problemanswer-object); `/errors/<code>` explains each.
"""
# Said in the introduction, unless a route has something of its own to say.
EVERYWHERE = {
    ("400", "The body is not JSON"),
    ("413", "The body is too large"),
    ("415", "The body is not declared as JSON"),
    ("500", "Something went wrong here"),
    ("503", "The database does not answer"),
}
Schema = Mapping[str, Any]


class Reference:
    """The page of one document."""

    def __init__(self, document: Schema) -> None:
        self._document = document
        self._schemas: Schema = document["components"]["schemas"]
        # Objects that something links to.
        self._spoken_of = {"ProblemAnswer"}

    def page(self) -> str:
        """All of it: what there is, the routes by their tags, the objects they speak of."""
        lines = [INTRODUCTION, *self._contents()]
        for tag in self._document["tags"]:
            lines += [f"## {tag['name']}\n", f"{tag['description']}\n"]
            for method, path, operation in self._routes(tag["name"]):
                lines += self._route(method, path, operation)
        lines += ["## Objects\n", "What the answers and the bodies above are made of.\n"]
        return "\n".join([*lines, *self._objects()]).rstrip() + "\n"

    def _objects(self) -> list[str]:
        written: dict[str, list[str]] = {}
        while missing := self._spoken_of - set(written):
            for name in missing:
                schema = self._schemas[name]
                written[name] = [f"### {name} object\n", *_paragraph(schema), *self._fields(schema)]
        return [line for name in sorted(written) for line in written[name]]

    def _routes(self, tag: str) -> Iterator[tuple[str, str, Schema]]:
        for path, operations in self._document["paths"].items():
            for method, operation in operations.items():
                if tag in operation["tags"]:
                    yield method.upper(), path, operation

    def _contents(self) -> list[str]:
        rows = [
            [f"[`{method} {path}`](#{anchor(f'{method} {path}')})", operation["summary"]]
            for tag in self._document["tags"]
            for method, path, operation in self._routes(tag["name"])
        ]
        return _table(["route", ""], rows)

    def _route(self, method: str, path: str, operation: Schema) -> list[str]:
        lines = [
            f"### `{method} {path}`\n",
            f"**{operation['summary']}.** {operation.get('description', '')}".strip(),
            "",
        ]
        lines += self._parameters(operation.get("parameters", []))
        if "requestBody" in operation:
            lines += self._body(operation["requestBody"])
        good = {status: answer for status, answer in operation["responses"].items() if status < "400"}
        lines += _table(["answer", "", "as"], [self._answer(status, answer) for status, answer in sorted(good.items())])
        bad = [self._error(status, answer) for status, answer in sorted(operation["responses"].items())]
        return [*lines, *([f"Errors: {' '.join(filter(None, bad))}\n"] if any(bad) else [])]

    def _error(self, status: str, answer: Schema) -> str:
        said = [part for part in answer["description"].split("; ") if (status, part) not in EVERYWHERE]
        return f"**{status}** {'; '.join(said).removesuffix('.')}." if status >= "400" and said else ""

    def _parameters(self, parameters: Sequence[Schema]) -> list[str]:
        rows = [
            [
                f"`{parameter['name']}`" + (", required" if parameter["required"] else ""),
                parameter["in"],
                self._type(parameter["schema"]),
                parameter.get("description", ""),
            ]
            for parameter in parameters
        ]
        return _table(["parameter", "in", "type", ""], rows)

    def _body(self, body: Schema) -> list[str]:
        content = body["content"]["application/json"]
        schema = content["schema"]
        shown = [option for option in schema.get("anyOf", [schema]) if option != {"type": "null"}]
        lines = [f"The body{'' if body.get('required') else ', which may be left out,'} is JSON:\n"]
        for option in shown:
            lines += self._fields(self._resolved(option), is_body=True)
        examples = list(content.get("examples", {}).values())
        if examples:
            lines += [f"```json\n{json.dumps(examples[-1]['value'], ensure_ascii=False, indent=2)}\n```\n"]
        return lines

    def _answer(self, status: str, answer: Schema) -> list[str]:
        content: Schema = answer.get("content", {})
        # The framework writes JSON beside every stream; where it is true, the words say so.
        forms = [
            f"`{kind}`" if kind == "text/event-stream" or not form.get("schema") else self._type(form["schema"])
            for kind, form in content.items()
            if len(content) == 1 or form.get("schema") or " or " in answer["description"]
        ]
        headers = [f"`{name}`: {header['description']}" for name, header in answer.get("headers", {}).items()]
        # The framework's own words where a route has none.
        said = answer["description"].removesuffix("Successful Response").removesuffix(".")
        return [status, " ".join([f"{said}." if said else "", *headers]), " or ".join(forms)]

    def _fields(self, schema: Schema, *, is_body: bool = False) -> list[str]:
        fields, required = schema.get("properties", {}), schema.get("required", [])
        # An answer has all of its fields; that need not be said of each.
        if len(required) == len(fields) and not is_body:
            required = []
        rows = [
            [
                f"`{name}`" + (", required" if name in required else ""),
                self._type(field) + _default(field),
                field.get("description", ""),
            ]
            for name, field in fields.items()
        ]
        return _table(["field", "type", ""], rows)

    def _resolved(self, schema: Schema) -> Schema:
        named: Schema = self._schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        return named

    def _type(self, schema: Schema) -> str:
        """In a few words, such as "integer (1 to 8)" or a link to the object."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            if "properties" not in self._schemas[name]:
                return self._type(self._schemas[name])
            self._spoken_of.add(name)
            return f"[{name}](#{anchor(f'{name} object')})"
        if "enum" in schema or "const" in schema:
            return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
        options = schema.get("anyOf") or schema.get("oneOf")
        if options:
            return " or ".join(dict.fromkeys(self._type(option) for option in options))
        if schema.get("type") == "array":
            return f"list of {self._type(schema['items']) or 'anything'}{_bounds(schema)}"
        return f"{schema.get('type', '')}{_bounds(schema)}"


def anchor(heading: str) -> str:
    """What GitHub makes of a heading, for a link to it."""
    kept = "".join(letter for letter in heading.lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")


def _bounds(schema: Schema) -> str:
    for least, most, unit in (
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", ""),
    ):
        low, high = schema.get(least), schema.get(most)
        if low is not None and high is not None:
            return f" ({_number(low)} to {_number(high)}{unit})"
        if high is not None:
            return f" (at most {_number(high)}{unit})"
    return ""


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else str(value)


def _default(schema: Schema) -> str:
    value = schema.get("default")
    return "" if value is None else f"; `{json.dumps(value, ensure_ascii=False)}` unless given"


def _paragraph(schema: Schema) -> list[str]:
    return [f"{schema['description']}\n"] if "description" in schema else []


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Nothing without rows. A line break or a bar would end a cell."""
    if not rows:
        return []
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *cells]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]


def reference() -> str:
    """The page, as this version of the API has it."""
    return Reference(application(Settings()).openapi()).page()


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
