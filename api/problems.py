"""Every error code this service speaks of, with its cause and its cure: what `/errors/<code>` serves."""

from __future__ import annotations

from dataclasses import dataclass

from api.reply_problems import REPLY_PROBLEMS


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of error. `status` is None for those that only a failed reply carries, since they are no answers."""

    code: str
    status: int | None
    title: str
    cause: str
    cure: str


_REQUEST_PROBLEMS = (
    Problem(
        "invalid_json",
        400,
        "The body is not JSON",
        "The bytes of the body are not JSON in UTF-8: cut short, a stray comma, NaN, or another encoding.",
        "Send one JSON object in UTF-8. With curl, `--json '{…}'` in single quotes does it.",
    ),
    Problem(
        "bad_request",
        400,
        "The request cannot be understood",
        "Something in the request is malformed.",
        "Compare the request with the API's documentation at /docs.",
    ),
    Problem(
        "unsupported_parameter",
        400,
        "This is not supported",
        "The request asks under `/v1` for something that OpenAI's API has and this server does not.",
        "The message says what to do instead.",
    ),
    Problem(
        "cannot_cancel",
        400,
        "This response cannot be cancelled",
        "The response has ended, and it was not made in the background.",
        "Cancel responses while they are being made.",
    ),
    Problem(
        "unauthorized",
        401,
        "A key is needed",
        "The request has no API key, or one that is unknown, revoked or has expired.",
        "Send `Authorization: Bearer ak_…`. Whoever runs the server makes keys with `asyncchat keys create`.",
    ),
    Problem(
        "forbidden",
        403,
        "The key may not do this",
        "Reading takes the scope `read`, changing `write`, and keys `admin`.",
        "Use a key that has the scope, or have one made.",
    ),
    Problem(
        "forbidden_host",
        403,
        "This host is not served",
        "The server is open to its own machine, and the request came by a name that it does not know.",
        "Use localhost or an address, or set ASYNCCHAT_ALLOWED_HOSTS.",
    ),
    Problem(
        "forbidden_proxy",
        403,
        "Proxies are not served",
        "The server is open to its own machine, and the request came through a proxy (X-Forwarded-For, Forwarded).",
        "Set ASYNCCHAT_AUTH=keys and make a key, or ASYNCCHAT_AUTH=open if whoever reaches the proxy may use it.",
    ),
    Problem(
        "forbidden_origin",
        403,
        "Web pages of this origin are not served",
        "A browser sent the request for a page of another origin, and the server is open to its own machine.",
        "Set ASYNCCHAT_CORS_ORIGINS to the origins that may use it.",
    ),
    Problem(
        "not_supported",
        404,
        "Not supported",
        "There is nothing at this address under `/v1`, although OpenAI's API may have something there.",
        "What is supported are responses, conversations, chat completions and models.",
    ),
    Problem(
        "not_found",
        404,
        "Not found",
        "There is nothing at this address: the id is wrong or malformed, or the thing was deleted.",
        "Check the address and the id. Paths are listed at /docs.",
    ),
    Problem(
        "method_not_allowed",
        405,
        "This method is not allowed here",
        "The address exists, but not for this HTTP method.",
        "Use one of the methods in the answer's Allow header.",
    ),
    Problem(
        "request_timeout",
        408,
        "The body did not arrive",
        "The body was not complete within half a minute, perhaps because Content-Length is larger than the body.",
        "Send the body at once, and a Content-Length that fits it.",
    ),
    Problem(
        "conflict",
        409,
        "The state does not allow this",
        "What the request names is in a state that does not allow what was asked.",
        "Read its present state and decide again.",
    ),
    Problem(
        "busy",
        409,
        "The conversation is busy",
        "The conversation has replies that have not ended, and the request said `on_busy: reject`.",
        "Wait until `live_replies` is empty, or ask with `on_busy: enqueue` or `interrupt`.",
    ),
    Problem(
        "not_last_turn",
        409,
        "The conversation has gone on",
        "Only replies of a conversation's last turn can be regenerated, selected or tried again.",
        "Fork the conversation with `up_to_turn` and go on from there.",
    ),
    Problem(
        "not_selectable",
        409,
        "This reply cannot be selected",
        "A conversation goes on from a text, and this reply is still being made, or ended without one.",
        "Select a reply that is completed, or incomplete with a text.",
    ),
    Problem(
        "not_retryable",
        409,
        "This reply cannot be tried again",
        "Only a reply that failed or was cancelled can be tried again.",
        "Use regenerate for another answer beside this one.",
    ),
    Problem(
        "not_ended",
        409,
        "This reply is still being made",
        "Feedback is about a whole answer, and this reply has not ended.",
        "Wait until it has ended (`GET /replies/{id}/?wait=20`), or cancel it.",
    ),
    Problem(
        "body_too_large",
        413,
        "The body is too large",
        "The body has more bytes than this server takes (ASYNCCHAT_MAX_BODY_BYTES).",
        "Send less, for example by splitting a long import into several requests.",
    ),
    Problem(
        "unsupported_media_type",
        415,
        "The body is not declared as JSON",
        "The Content-Type is missing or is not JSON, or the body is compressed.",
        "Send `Content-Type: application/json`. With curl, use `curl --json` instead of `curl -d`.",
    ),
    Problem(
        "invalid_value",
        422,
        "A value is not allowed",
        "The request is well formed, but one of its values is missing, of the wrong type, or out of bounds.",
        "`errors` names each place: `#/n` is a field of the body, `?limit` a query parameter.",
    ),
    Problem(
        "too_many_candidates",
        422,
        "This turn has all the replies it may have",
        "A turn has at most eight replies, those asked for with `n` and regenerated ones together.",
        "Select one of them, or fork the conversation before this turn and ask again.",
    ),
    Problem(
        "invalid_cursor",
        422,
        "The cursor is not valid",
        "The cursor was not given out by this server for this list.",
        "Pass on `next_cursor` as it is, or follow the Link header, or start again without a cursor.",
    ),
    Problem(
        "idempotency_mismatch",
        422,
        "The Idempotency-Key was used for another request",
        "A key belongs to one method, path and body; this one came with another.",
        "Use a new key for each new request, and the same key only to repeat one.",
    ),
    Problem(
        "rate_limited",
        429,
        "Too many requests",
        "More requests came with this key than may come in a while (ASYNCCHAT_READ_RATE, ASYNCCHAT_WRITE_RATE). As the "
        "error of a reply: the model service refused for that reason, or because its quota is used up.",
        "Ask again later; the answer to a refused request says in Retry-After after how many seconds. If it was the "
        "model service, the operator checks the limits of the account there.",
    ),
    Problem(
        "queue_full",
        429,
        "Too much is being answered",
        "As many replies are queued or running as there may be at once (ASYNCCHAT_MAX_LIVE_OF_TENANT, "
        "ASYNCCHAT_MAX_LIVE).",
        "Wait until some of them have ended; Retry-After says when to ask again.",
    ),
    Problem(
        "too_many_at_once",
        429,
        "Too many requests are open",
        "This gateway answers as many requests of the key, or of its tenant, as it may at once, a stream or a wait for "
        "as long as it lasts (ASYNCCHAT_MAX_AT_ONCE_OF_KEY, ASYNCCHAT_MAX_AT_ONCE_OF_TENANT).",
        "Close streams that nobody reads, or try again after the seconds in Retry-After.",
    ),
    Problem(
        "budget_exceeded",
        429,
        "A budget is used up",
        "As many tokens were used as this tenant, this API key or this end user may use in a day or in a month. "
        "A reply that waited meanwhile fails with the same code.",
        "Ask again after the seconds in Retry-After, or have the budget raised.",
    ),
    Problem(
        "internal_error",
        500,
        "Something went wrong here",
        "An error in the server. It is in the server's log under this answer's request_id.",
        "Try again; if it stays, report it with the request_id.",
    ),
    Problem(
        "too_many_streams",
        503,
        "Too many streams",
        "This gateway serves as many streams of events as it may (ASYNCCHAT_MAX_STREAMS).",
        "Try again after the seconds in Retry-After, or wait for the reply with `?wait=`.",
    ),
    Problem(
        "not_finished",
        503,
        "The answer is not there yet",
        "This gateway is stopping while the request waits for an answer, which goes on being made.",
        "Fetch the answer by its id, or repeat the request with the same Idempotency-Key.",
    ),
    Problem(
        "storage_busy",
        503,
        "The database is busy",
        "The write could not begin in time and was withdrawn. Nothing was stored.",
        "Try again after the seconds in Retry-After.",
    ),
    Problem(
        "storage_unavailable",
        503,
        "The database does not answer",
        "The database refused or failed. Nothing was stored.",
        "Try again after the seconds in Retry-After; the operator finds the reason in the server's log.",
    ),
    Problem(
        "outcome_unknown",
        503,
        "It is not known whether it was stored",
        "The connection to the database was lost while it was committing.",
        "Repeat the request with the same Idempotency-Key: what was stored then comes back, and nothing is made twice.",
    ),
)

CATALOGUE: dict[str, Problem] = {problem.code: problem for problem in _REQUEST_PROBLEMS} | {
    str(code): Problem(str(code), None, *texts) for code, texts in REPLY_PROBLEMS.items()
}
