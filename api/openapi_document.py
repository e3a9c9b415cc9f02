"""The OpenAPI document: what the framework writes, with our error answers in place of its own."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.schemas.problems import ProblemAnswer

DESCRIPTION = """\
Conversations with language models: say something, get on with your day, fetch the reply when it is there.

Every answer to a question you can wait for takes `?wait=20`; errors are problems (RFC 9457), explained at
`/errors/<code>`.
"""
TAGS = [
    {"name": "Conversations", "description": "What belongs together: messages, settings, and what is being answered."},
    {"name": "Turns", "description": "Ask, and follow what was asked."},
    {"name": "Replies", "description": "Answers in the making, and made."},
    {"name": "Messages", "description": "What was said, page by page."},
    {"name": "Models", "description": "The names to choose from."},
    {"name": "OpenAI: responses", "description": "As OpenAI's SDKs ask for them; see docs/openai.md."},
    {"name": "OpenAI: conversations", "description": "The same conversations, and what was said in them as items."},
    {"name": "OpenAI: chat completions", "description": "Nothing is kept: what was said comes with each request."},
    {"name": "OpenAI: models", "description": "The names to choose from."},
    {"name": "End users", "description": "All that there is of one of them, to hand over or to erase."},
    {"name": "Keys", "description": "Who may use the server; for keys with the scope `admin`."},
    {"name": "Webhooks", "description": "Who is told of the ends of replies; for keys with the scope `admin`."},
    {"name": "Usage", "description": "What was used, by day; for keys with the scope `admin`."},
    {"name": "Health", "description": "For whoever runs this."},
    {"name": "Documentation", "description": "What error codes mean."},
]
_SCHEMA = "#/components/schemas/{model}"
# What the framework assumes a validation error to look like.
_FOREIGN = ("HTTPValidationError", "ValidationError")


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """The document of the application, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
        )
        schemas = document["components"]["schemas"]
        problem = ProblemAnswer.model_json_schema(ref_template=_SCHEMA)
        schemas |= problem.pop("$defs", {}) | {ProblemAnswer.__name__: problem}
        for name in _FOREIGN:
            schemas.pop(name, None)
        for operations in document["paths"].values():
            for operation in operations.values():
                _drop_foreign(operation["responses"])
        app.openapi_schema = document
    return app.openapi_schema


def _drop_foreign(answers: dict[str, Any]) -> None:
    """Takes out the framework's own 422, which it adds wherever a route documents none."""
    content = answers.get("422", {}).get("content", {})
    if content.get("application/json", {}).get("schema", {}).get("$ref") == _SCHEMA.format(model=_FOREIGN[0]):
        del answers["422"]
