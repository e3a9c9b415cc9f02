"""What `/errors/<code>` tells of the errors that only a failed reply carries: its title, its cause and its cure."""

from __future__ import annotations

from shared.reply_status import ReplyError

REPLY_PROBLEMS = {
    ReplyError.INVALID_API_KEY: (
        "The model service refused the key",
        "The model service does not accept the API key it was given.",
        "The operator sets a valid OPENAI_API_KEY; then ask again.",
    ),
    ReplyError.MODEL_NOT_FOUND: (
        "There is no such model",
        "The model service does not know the model's name, or the key may not use it.",
        "Choose a name from GET /models/.",
    ),
    ReplyError.UPSTREAM_UNREACHABLE: (
        "The model service could not be reached",
        "No connection to the model service came about in any of the tries.",
        "Ask again later; the operator checks OPENAI_BASE_URL and the network.",
    ),
    ReplyError.UPSTREAM_TIMEOUT: (
        "The model service was too slow",
        "The first byte, the next piece or the end of the answer did not come in time.",
        "Ask again, or ask for a shorter answer.",
    ),
    ReplyError.CONTEXT_LENGTH_EXCEEDED: (
        "The conversation is too long for the model",
        "Instructions, history and message have more tokens than the model takes.",
        "Send a shorter message, or choose a model with a longer context.",
    ),
    ReplyError.CONTENT_FILTERED: (
        "The model service refused the content",
        "The model service's content filter stopped the answer before it had any text.",
        "Rephrase the message.",
    ),
    ReplyError.UPSTREAM_CUT_OFF: (
        "The answer broke off",
        "The model service ended the stream without saying that the answer was complete.",
        "Ask again.",
    ),
    ReplyError.UPSTREAM_MALFORMED: (
        "The model service's answer could not be read",
        "What came from the model service was not what its protocol says.",
        "Ask again; the operator checks that OPENAI_BASE_URL speaks OpenAI's protocol.",
    ),
    ReplyError.UPSTREAM_EMPTY: (
        "The model service answered nothing",
        "The answer ended properly and had no text.",
        "Ask again, or rephrase the message.",
    ),
    ReplyError.UPSTREAM_ERROR: (
        "The model service failed",
        "The model service reported an error of its own.",
        "Ask again later.",
    ),
    ReplyError.WORKER_LOST: (
        "The worker was lost",
        "The process that was answering ended without a word.",
        "Ask again.",
    ),
    ReplyError.ATTEMPTS_EXHAUSTED: (
        "Too many attempts failed",
        "Workers were lost while answering as often as the server allows.",
        "Ask again; the operator looks for what ends the workers.",
    ),
    ReplyError.DEADLINE_EXCEEDED: (
        "The deadline has passed",
        "There was no answer within deadline_seconds of the message, time in the queue included.",
        "Ask again with a larger deadline_seconds, or when the server is less busy.",
    ),
}
