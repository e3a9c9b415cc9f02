"""Error answers as OpenAI (and, for content filtering, Azure) send them."""

import json
from dataclasses import dataclass, field
from typing import Any

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP error with OpenAI's body. `{model}` in the message stands for the model asked for."""

    status: int
    message: str
    type: str | None = "invalid_request_error"
    code: str | None = None
    param: str | None = None
    retry_after_seconds: int | None = None
    more: dict[str, Any] = field(default_factory=dict)

    def body(self, model: str = "") -> bytes:
        message = self.message.replace("{model}", model)
        error = {"message": message, "type": self.type, "param": self.param, "code": self.code, **self.more}
        return json.dumps({"error": error}).encode()

    def headers(self) -> Headers:
        if self.retry_after_seconds is None:
            return []
        return [(b"retry-after", str(self.retry_after_seconds).encode())]


class RequestRefused(Exception):
    """The request cannot be served; `refusal` is the answer to send."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def bad_request(message: str, *, param: str | None = None) -> RequestRefused:
    return RequestRefused(Refusal(400, message, param=param))


UNKNOWN_PATH = Refusal(404, "There is nothing at this URL.", code="unknown_url")
WRONG_METHOD = Refusal(405, "This URL does not take this method.", code="method_not_supported")
RATE_LIMITED = Refusal(
    429, "Rate limit reached for {model}. Please try again in 1s.", "requests", "rate_limit_exceeded", None, 1
)
QUOTA_USED_UP = Refusal(
    429,
    "You exceeded your current quota, please check your plan and billing details.",
    "insufficient_quota",
    "insufficient_quota",
)
WRONG_KEY = Refusal(401, "Incorrect API key provided: demo.", code="invalid_api_key")
FORBIDDEN = Refusal(
    403, "Country, region, or territory not supported", "request_forbidden", "unsupported_country_region_territory"
)
UNKNOWN_MODEL = Refusal(
    404, "The model `{model}` does not exist or you do not have access to it.", code="model_not_found", param="model"
)
BAD_REQUEST = Refusal(400, "The demo model was asked to refuse this request.", code="invalid_value")
CONTEXT_TOO_LONG = Refusal(
    400,
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens. "
    "Please reduce the length of the messages.",
    code="context_length_exceeded",
    param="messages",
)
PROMPT_FILTERED = Refusal(
    400,
    "The response was filtered due to the prompt triggering the content management policy. "
    "Please modify your prompt and retry.",
    None,
    "content_filter",
    "prompt",
    more={"status": 400, "innererror": {"code": "ResponsibleAIPolicyViolation"}},
)
SERVER_ERROR = Refusal(500, "The server had an error while processing your request. Sorry about that!", "server_error")
OVERLOADED = Refusal(503, "The engine is currently overloaded, please try again later.", "server_error")
