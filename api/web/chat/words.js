// The state of a reply in words. Pure.

// Why a try is followed by another one, as the attempt's error has it.
const REASONS = {
  invalid_api_key: "the model service refuses the key",
  model_not_found: "the model is not known",
  upstream_unreachable: "the model cannot be reached",
  upstream_timeout: "the model was silent for too long",
  rate_limited: "the model is rate limited",
  upstream_cut_off: "the answer broke off",
  upstream_malformed: "the answer could not be read",
  upstream_empty: "the answer was empty",
  upstream_error: "the model service failed",
  worker_lost: "the worker was lost",
};

const INCOMPLETE = {
  max_output_tokens: "The answer reached its longest length.",
  content_filter: "The model’s content filter stopped the answer.",
  interrupted: "Interrupted by a later message.",
  worker_lost: "The worker was lost; this is the text so far.",
};

/**
 * What a live reply waits for, or null while its text is coming.
 * `ahead` counts the turns before it, `now` is in milliseconds, `reason` the error code of its last try.
 */
export function waitingWords(reply, { ahead, now, reason = null }) {
  if (reply.stop_requested) return "Stopping…";
  if (reply.status === "in_progress") {
    if (reply.content) return null;
    return reply.attempt > 1 ? `Thinking… (try ${reply.attempt})` : "Thinking…";
  }
  if (ahead > 0) return ahead === 1 ? "1 turn ahead" : `${ahead} turns ahead`;
  const seconds = secondsUntil(reply.queue?.next_attempt_at, now);
  if (seconds > 0) {
    const why = REASONS[reason];
    return `Retrying in ${seconds} s${why ? `: ${why}` : ""}`;
  }
  return "Waiting for a worker";
}

/** Why an answer that has ended is not whole, or null if it is. */
export function endWords(reply) {
  if (reply.status === "cancelled") return "Stopped. This text is no part of the conversation.";
  if (reply.status === "incomplete") return INCOMPLETE[reply.incomplete_reason] ?? "The answer is not complete.";
  return null;
}

/** A text in pieces, every second of which is one of the words of a search. */
export function cutAtWords(text, query) {
  const words = query.split(/\s+/).filter(Boolean);
  if (!words.length) return [text];
  const longestFirst = words.sort((one, other) => other.length - one.length).map(literal);
  return text.split(new RegExp(`(${longestFirst.join("|")})`, "iu"));
}

/** As a pattern that matches nothing else. */
function literal(word) {
  return word.replace(/[$()*+./?[\\\]^{|}]/g, "\\$&");
}

function secondsUntil(instant, now) {
  return instant ? Math.ceil((Date.parse(instant) - now) / 1000) : 0;
}

/** When something last changed, as a list shows it. */
export function dayWords(instant, now) {
  const then = new Date(instant);
  const days = Math.round((startOfDay(now) - startOfDay(then)) / 86_400_000);
  if (days <= 0) return "Today";
  if (days === 1) return "Yesterday";
  if (days < 7) return "Last seven days";
  return then.toLocaleDateString(undefined, { month: "long", year: "numeric" });
}

function startOfDay(instant) {
  return new Date(instant).setHours(0, 0, 0, 0);
}
