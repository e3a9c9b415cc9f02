// What the operations page knows. Pure.

// How long a process that is listed no more is still shown.
const GONE_MS = 10 * 60_000;

/**
 * `operations` and `health` are what the server answers, null until it has. `processes` are those that it lists, and those
 * that it has listed while the page was open, with `goneAt` in milliseconds. `asked` tells by the ids of replies what was
 * asked for here and is not seen yet. `problem` is why the page is not up to date, or null.
 */
export const UNKNOWN = { operations: null, health: null, processes: [], asked: {}, problem: null };

/** The next state: `{kind: "heard", operations, health, processes, now}`, `"away"` with a problem, or `"asked"`. */
export function reduce(state, action) {
  switch (action.kind) {
    case "heard":
      return {
        operations: action.operations,
        health: action.health,
        processes: withGone(state.processes, action.processes, action.now),
        asked: stillAsked(state, action.operations),
        problem: null,
      };
    case "away":
      return { ...state, health: action.health ?? state.health, problem: action.problem };
    case "asked":
      return { ...state, asked: { ...state.asked, [action.id]: action.what } };
    case "refused":
      return { ...state, asked: without(state.asked, action.id) };
    default:
      return state;
  }
}

function withGone(before, listed, now) {
  const present = new Set(listed.map((each) => each.id));
  const gone = before
    .filter((each) => !present.has(each.id))
    .map((each) => ({ ...each, goneAt: each.goneAt ?? now }))
    .filter((each) => now - each.goneAt < GONE_MS);
  const rank = (each) => (each.role === "worker" ? 0 : 1);
  return [...listed.map((each) => ({ ...each, goneAt: null })), ...gone].sort(
    (one, other) => rank(one) - rank(other) || one.id.localeCompare(other.id),
  );
}

/** What was asked for is done once the reply is elsewhere, or not in the same state. */
function stillAsked(state, operations) {
  const before = states(state.operations);
  const now = states(operations);
  return Object.fromEntries(Object.entries(state.asked).filter(([id]) => now[id] && now[id] === before[id]));
}

function states(operations) {
  const replies = operations ? [...operations.live, ...operations.failed] : [];
  return Object.fromEntries(replies.map((reply) => [reply.id, `${reply.status} ${reply.attempt}`]));
}

function without(asked, id) {
  const { [id]: _, ...others } = asked;
  return others;
}
