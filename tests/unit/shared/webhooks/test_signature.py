"""Signatures, verified by the libraries that receivers use."""

from __future__ import annotations

import time

import pytest
from openai import InvalidWebhookSignatureError, OpenAI
from standardwebhooks import Webhook, WebhookVerificationError

from shared.webhooks.signature import new_secret, signature_headers

BODY = '{"id":"delivery_x","type":"reply.completed","data":{"text":"Grüße"}}'


def signed(*secrets: str, body: str = BODY) -> dict[str, str]:
    return signature_headers(body, delivery_id="delivery_x", at_seconds=int(time.time()), secrets=secrets)


def test_both_libraries_accept_it() -> None:
    secret = new_secret()
    assert Webhook(secret).verify(BODY, signed(secret))["id"] == "delivery_x"
    OpenAI(api_key="none").webhooks.verify_signature(BODY, signed(secret), secret=secret)


def test_while_secrets_are_rotated_each_of_them_verifies() -> None:
    old, new = new_secret(), new_secret()
    headers = signed(new, old)
    for secret in (old, new):
        Webhook(secret).verify(BODY, headers)
        OpenAI(api_key="none").webhooks.verify_signature(BODY, headers, secret=secret)


def test_another_body_or_another_secret_does_not_verify() -> None:
    secret = new_secret()
    for body, key in ((BODY + " ", secret), (BODY, new_secret())):
        with pytest.raises(WebhookVerificationError):
            Webhook(key).verify(body, signed(secret))
        with pytest.raises(InvalidWebhookSignatureError):
            OpenAI(api_key="none").webhooks.verify_signature(body, signed(secret), secret=key)
