"""The API: accepts a message and sends a task, tells a reply's status to who polls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from bench.processes.textbook.database import Base, Conversation, Message, Status, prepared
from bench.processes.textbook.tasks import generate_reply, settings

engine = create_async_engine(settings.textbook_database_url, pool_size=20)
prepared(engine.sync_engine)
new_session = async_sessionmaker(engine, expire_on_commit=False)


@asynccontextmanager
async def _lifespan(_app: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await engine.dispose()


async def _session() -> AsyncIterator[AsyncSession]:
    async with new_session() as session:
        yield session


SessionOfRequest = Annotated[AsyncSession, Depends(_session)]
app = FastAPI(lifespan=_lifespan)


class Question(BaseModel):
    """What is asked, and of which model."""

    content: str
    model: str = "demo"


class ConversationView(BaseModel):
    """A conversation as it is shown."""

    model_config = ConfigDict(from_attributes=True)

    id: int


class ReplyView(BaseModel):
    """A reply as it is shown."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    conversation_id: int
    status: Status
    content: str


@app.get("/readyz")
async def ready() -> dict[str, str]:
    """It serves."""
    return {"status": "ok"}


@app.post("/conversations/", status_code=201, response_model=ConversationView)
async def create_conversation(session: SessionOfRequest) -> Conversation:
    """An empty one."""
    conversation = Conversation()
    session.add(conversation)
    await session.commit()
    return conversation


@app.post("/conversations/{conversation_id}/ask-message/", status_code=202, response_model=ReplyView)
async def ask(conversation_id: int, question: Question, session: SessionOfRequest) -> Message:
    """Stores the message and the reply to come, then sends the task."""
    if await session.get(Conversation, conversation_id) is None:
        raise HTTPException(404, "no such conversation")
    reply = Message(
        conversation_id=conversation_id, role="assistant", status=Status.PENDING, model=question.model, content=""
    )
    session.add_all([Message(conversation_id=conversation_id, role="user", content=question.content), reply])
    await session.commit()
    generate_reply.delay(reply.id)
    return reply


@app.get("/replies/{reply_id}/", response_model=ReplyView)
async def read_reply(reply_id: int, session: SessionOfRequest) -> Message:
    """Its status, and what it says once it is completed."""
    reply = await session.get(Message, reply_id)
    if reply is None or reply.role != "assistant":
        raise HTTPException(404, "no such reply")
    return reply
