"""What clients send about webhooks, and what they get."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.answers import Answer, Instant, Page
from api.schemas.requests import MAX_OVERLAP_SECONDS, Finite
from shared.webhooks.delivery_status import DeliveryStatus, DisabledBecause
from shared.webhooks.events import DEFAULT_EVENTS, WebhookEvent
from shared.webhooks.targets import MAX_URL_CHARS

MAX_DESCRIPTION_CHARS = 500

WebhookUrl = Annotated[
    str, Field(min_length=1, max_length=MAX_URL_CHARS, description="Where to POST to: https, on the public internet.")
]
WebhookEvents = Annotated[
    list[Annotated[WebhookEvent, Field(strict=False)]],
    Field(
        min_length=1,
        max_length=len(WebhookEvent),
        description="What it is told: `reply.…` in the words of this API, `response.…` in OpenAI's.",
    ),
]
Description = Annotated[str, Field(max_length=MAX_DESCRIPTION_CHARS, description="For people.")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class CreateWebhookBody(_Body):
    """Who is to be told of the ends of replies."""

    url: WebhookUrl
    events: WebhookEvents = Field(default_factory=lambda: list(DEFAULT_EVENTS))
    description: Description | None = None
    enabled: bool = True


class ChangeWebhookBody(_Body):
    """What is to change. Fields that are absent stay."""

    url: WebhookUrl | None = None
    events: WebhookEvents | None = None
    description: Description | None = None
    enabled: bool | None = None


class RotateSecretBody(_Body):
    """How long deliveries are signed with the old secret too."""

    overlap_seconds: Annotated[Finite, Field(ge=0, le=MAX_OVERLAP_SECONDS)] = 86_400


class Webhook(Answer):
    """Who is told of the ends of replies."""

    id: str
    url: str
    description: str | None
    events: list[WebhookEvent]
    enabled: bool
    disabled_because: DisabledBecause | None = Field(
        description="`requested` by a PATCH, `gone` after a 410, `failing` after days in which nothing came through."
    )
    failing_since: Instant | None = Field(description="The first failure since something came through.")
    created_at: Instant
    updated_at: Instant


class NewWebhook(Webhook):
    """A webhook whose secret was made just now."""

    secret: str = Field(description="`whsec_…`, with which the receiver verifies signatures.")


class WebhookPage(Page):
    """A page of webhooks, newest first."""

    data: list[Webhook]


class DeliveryResponse(Answer):
    """What the receiver answered last."""

    status: int
    body: str = Field(description="The beginning of it.")


class Delivery(Answer):
    """One thing that a webhook is told."""

    id: str = Field(description="The `webhook-id` header, the same for every try.")
    webhook_id: str
    event: WebhookEvent | Literal["webhook.test"]
    conversation_id: str | None
    reply_id: str | None
    status: DeliveryStatus
    tries: int
    next_try_at: Instant | None
    last_try_at: Instant | None
    response: DeliveryResponse | None
    error: str | None = Field(description="Why the last try failed.")
    created_at: Instant
    ended_at: Instant | None


class SentDelivery(Delivery):
    """A delivery with what it says."""

    payload: dict[str, Any]


class DeliveryPage(Page):
    """A page of deliveries, newest first."""

    data: list[Delivery]
