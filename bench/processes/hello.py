"""Hello-world: what FastAPI alone costs to take a message and say 202."""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Message(BaseModel):
    """The body of an ask, as far as the benchmark sends it."""

    content: str


@app.post("/conversations/{conversation_id}/ask-message/", status_code=202)
async def ask(conversation_id: str, message: Message) -> dict[str, str]:
    """Stores nothing."""
    return {"conversation_id": conversation_id, "content": message.content}


@app.get("/readyz")
async def ready() -> dict[str, str]:
    """Ready."""
    return {"status": "ready"}
