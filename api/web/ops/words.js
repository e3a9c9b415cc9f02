// What the figures say, in words. Pure.

const PARTS = { database: "Database", redis: "Redis", publisher: "Publisher" };
const STATES = { ready: "Ready", degraded: "Degraded: slower, nothing is lost", unready: "Unready: nothing can be stored" };

/** A time that something took: `340 ms`, `1.2 s`, `3 min 20 s`. */
export function durationWords(seconds) {
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  return wholeWords(seconds);
}

/** A time to the second, or less exactly: `7 s`, `3 min 20 s`, `2 h 5 min`. */
export function wholeWords(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return joined(Math.floor(whole / 60), "min", whole % 60, "s");
  if (whole < 86_400) return joined(Math.floor(whole / 3600), "h", Math.floor((whole % 3600) / 60), "min");
  return joined(Math.floor(whole / 86_400), "d", Math.floor((whole % 86_400) / 3600), "h");
}

function joined(large, unit, small, smallUnit) {
  return small ? `${large} ${unit} ${small} ${smallUnit}` : `${large} ${unit}`;
}

/** How long ago an instant was. */
export function agoWords(instant, now) {
  return wholeWords((now - Date.parse(instant)) / 1000);
}

/** The time of day, with seconds where they matter. */
export function clockWords(instant, { hasSeconds = false } = {}) {
  /** @type {Intl.DateTimeFormatOptions} */
  const options = { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...(hasSeconds ? { second: "2-digit" } : {}) };
  return new Date(instant).toLocaleTimeString(undefined, options);
}

/** The health of the server in a few words, each with whether it is well. */
export function healthWords(health) {
  const parts = Object.entries(PARTS)
    .filter(([name]) => health[name])
    .map(([name, label]) => ({ isWell: health[name] === "ok", words: `${label} ${health[name]}` }));
  const workers = health.workers ?? null;
  return [
    { isWell: health.status === "ready", words: STATES[health.status] ?? health.status },
    ...parts,
    ...(workers === null ? [] : [{ isWell: workers > 0, words: workers ? counted(workers, "worker") : "No worker" }]),
  ];
}

/** What a reply that has not ended is doing. */
export function liveWords(reply, now) {
  if (reply.stop_requested) return "Is being stopped";
  if (reply.status === "in_progress") {
    return `Is being answered for ${agoWords(reply.started_at, now)}${reply.attempt > 1 ? `, try ${reply.attempt}` : ""}`;
  }
  const waited = agoWords(reply.created_at, now);
  switch (reply.queue.waiting_for) {
    case "turn":
      return `Waits for ${counted(reply.queue.turns_ahead, "earlier turn")}, ${waited} so far`;
    case "retry":
      return `Waits for try ${reply.attempt + 1}, in ${wholeWords((Date.parse(reply.queue.next_attempt_at) - now) / 1000)}`;
    default:
      return `Waits for a worker, ${waited} so far`;
  }
}

/** How a worker or gateway is. */
export function beatWords(process, now) {
  if (process.goneAt !== null) return `Gone for ${wholeWords((now - process.goneAt) / 1000)}`;
  if (process.is_beating) return "Beats";
  return `Its beat stands still for ${wholeWords(process.seconds_since_beat)}`;
}

/** Half of them, and most of them. */
export function spreadWords(spread) {
  if (spread === null) return "Nothing to measure.";
  return `Half within ${durationWords(spread.p50)}, 95 of 100 within ${durationWords(spread.p95)}.`;
}

/** How many were accepted, and what became of those that ended. */
export function throughputWords({ accepted, ended }) {
  const others = ["incomplete", "cancelled"].filter((name) => ended[name]).map((name) => `, ${ended[name]} ${name}`);
  return `${accepted} accepted, ${ended.completed} completed, ${ended.failed} failed${others.join("")}.`;
}

/** How many failed, and of what. */
export function failureWords({ ended, attempt_failures: byCode }) {
  const tries = Object.values(byCode).reduce((sum, count) => sum + count, 0);
  if (!ended.failed && !tries) return "Nothing failed.";
  const codes = Object.entries(byCode).map(([code, count]) => `${count} ${codeWords(code)}`);
  return `${counted(ended.failed, "reply", "replies")} and ${counted(tries, "try", "tries")}${codes.length ? `: ${codes.join(", ")}` : ""}.`;
}

/** An error code to be read. */
export function codeWords(code) {
  return code.replaceAll("_", " ");
}

export function counted(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}
