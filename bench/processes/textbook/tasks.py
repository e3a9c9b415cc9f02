"""The Celery application and its one task: ask the model, store the answer."""

from __future__ import annotations

from celery import Celery
from openai import APIConnectionError, APIStatusError, InternalServerError, OpenAI, RateLimitError
from openai.types.chat import ChatCompletionMessageParam
from sqlalchemy import create_engine, make_url, select
from sqlalchemy.orm import Session, sessionmaker

from bench.processes.textbook.database import Message, Settings, Status, prepared

settings = Settings()
celery = Celery("textbook", broker=settings.textbook_broker_url)
celery.conf.update(
    task_ignore_result=True,  # the answer goes into the database
    task_acks_late=True,
    worker_prefetch_multiplier=1,
)

# The same database through a driver that is not async.
_url = make_url(settings.textbook_database_url)
_driver = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}[_url.get_backend_name()]
engine = prepared(create_engine(_url.set(drivername=_driver), pool_size=20))
new_session = sessionmaker(engine)
client = OpenAI()


@celery.task(
    autoretry_for=(APIConnectionError, RateLimitError, InternalServerError),
    retry_backoff=True,
    max_retries=3,
)
def generate_reply(reply_id: int) -> None:
    """Asks the model with all that was said before, outside of any transaction."""
    with new_session() as session:
        reply = session.get(Message, reply_id)
        if reply is None or reply.status != Status.PENDING:
            return
        model = reply.model or ""
        messages = _history(session, reply)
    try:
        completion = client.chat.completions.create(model=model, messages=messages)
        text, status = completion.choices[0].message.content or "", Status.COMPLETED
    except (RateLimitError, InternalServerError):
        raise  # is tried again
    except APIStatusError as error:
        text, status = error.message, Status.FAILED
    with new_session.begin() as session:
        if answered := session.get(Message, reply_id):
            answered.content, answered.status = text, status


def _history(session: Session, reply: Message) -> list[ChatCompletionMessageParam]:
    said = session.scalars(
        select(Message)
        .where(Message.conversation_id == reply.conversation_id, Message.id < reply.id)
        .order_by(Message.id)
    )
    return [
        {"role": "user", "content": message.content}
        if message.role == "user"
        else {"role": "assistant", "content": message.content}
        for message in said
    ]
