// What is known of the open conversation, and how each thing that is heard of it changes that. Pure.
//
// The stream of the conversation tells everything in order. Answers to requests come beside it and may be older or newer
// than what it told, so of a reply that is live here they add only what no event changes.

export const LIVE = new Set(["queued", "in_progress"]);
const ENDS = new Set(["reply.completed", "reply.incomplete", "reply.failed", "reply.cancelled"]);

export const EMPTY = Object.freeze({
  // Without what was said: id, title, instructions, model, …; null for one that is not made yet.
  conversation: null,
  messages: {},
  replies: {},
  // Where the messages before those that are known are, or null.
  previous: null,
  isGone: false,
});

/** Whether the reply is still to end. */
export function isLive(reply) {
  return LIVE.has(reply.status);
}

/** The state after the action, one of the functions below by its `type`. */
export function reduce(state, action) {
  return HANDLERS[action.type](state, action);
}

const HANDLERS = {
  /** Another conversation is opened, or none. */
  left: () => EMPTY,

  /** It was deleted, and nothing comes any more. */
  gone(state) {
    const ended = liveReplies(state).map(({ id }) => [id, { ...state.replies[id], status: "cancelled" }]);
    return { ...state, replies: { ...state.replies, ...Object.fromEntries(ended) }, isGone: true };
  },

  /** Its settings changed. */
  changed: (state, { head }) => ({ ...state, conversation: { ...state.conversation, ...head } }),

  /** The whole of it, as of now: from the stream, or as it was made. */
  snapshot(state, { conversation }) {
    const { messages, live_replies: live, previous_messages: previous, turn: _turn, ...head } = conversation;
    const oldest = messages[0]?.turn ?? 0;
    const isFirst = state.conversation?.id !== head.id;
    const kept = isFirst ? {} : state.messages;
    const older = Object.values(kept).filter((message) => message.turn < oldest);
    return {
      conversation: head,
      messages: byId([...older, ...messages]),
      replies: { ...(isFirst ? {} : state.replies), ...byId(live) },
      previous: older.length ? state.previous : previous,
      isGone: false,
    };
  },

  /** An earlier page of messages. */
  earlier: (state, { messages, previous }) => ({
    ...state,
    messages: { ...byId(messages), ...state.messages },
    previous,
  }),

  /** Whoever uses the page wants these to end; that they are asked to is told by no event. */
  stopping(state, { ids }) {
    return ids.reduce((next, id) => patched(next, id, { stop_requested: "cancel" }), state);
  },

  /** Replies as a request found them. */
  replies(state, { replies }) {
    return replies.reduce(withReply, state);
  },

  /** A turn as a request found it, such as the answer to an ask. */
  turn(state, { turn }) {
    const messages = { ...state.messages, [turn.message.id]: turn.message };
    return turn.replies.reduce(withReply, { ...state, messages });
  },

  /** An event of the stream. */
  event(state, { kind, data }) {
    if (kind === "snapshot") {
      return data.conversation
        ? HANDLERS.snapshot(state, { conversation: data.conversation })
        : { ...state, replies: { ...state.replies, [data.reply.id]: data.reply } };
    }
    if (kind === "message.created") {
      return { ...state, messages: { ...state.messages, [data.message.id]: data.message } };
    }
    if (kind === "conversation.changed") return HANDLERS.changed(state, { head: data.conversation });
    if (kind === "reply.selected") return selected(state, data.reply_id);
    if (kind === "reply.rated") return patched(state, data.reply_id, { feedback: data.feedback });
    if (ENDS.has(kind)) return data.reply ? ended(state, data.reply) : state;
    const known = state.replies[data.reply_id];
    // A request may have found its end before the stream got there.
    if (!CHANGES[kind] || (known && !isLive(known) && !REVIVES.has(kind))) return state;
    return patched(state, data.reply_id, CHANGES[kind](known, data));
  },
};

// What only happens to a reply that is to be answered anew.
const REVIVES = new Set(["reply.queued", "reply.restarted"]);
const CHANGES = {
  "reply.queued": () => ({ status: "queued", stop_requested: null }),
  "reply.started": (_reply, { attempt }) => ({ status: "in_progress", attempt, error: null }),
  "reply.restarted": (_reply, { attempt }) => ({ status: "in_progress", attempt, content: "" }),
  "reply.delta": (reply, { text }) => ({ status: "in_progress", content: (reply?.content ?? "") + text }),
};

function byId(items) {
  return Object.fromEntries(items.map((item) => [item.id, item]));
}

/** With some of a reply's fields changed. One that is not known yet has no turn until a request has found it. */
function patched(state, id, change) {
  return { ...state, replies: { ...state.replies, [id]: { id, content: "", ...state.replies[id], ...change } } };
}

function ended(state, reply) {
  const next = { ...state, replies: { ...state.replies, [reply.id]: reply } };
  return reply.selected ? selected(next, reply.id) : next;
}

/** A turn goes on from one of its replies. */
function selected(state, id) {
  const chosen = state.replies[id];
  if (!chosen) return state;
  const replies = { ...state.replies };
  for (const reply of Object.values(replies)) {
    if (reply.turn === chosen.turn && reply.selected !== (reply.id === id)) {
      replies[reply.id] = { ...reply, selected: reply.id === id };
    }
  }
  return { ...state, replies };
}

function withReply(state, found) {
  const known = state.replies[found.id];
  if (!known || !isLive(found)) return ended(state, found);
  if (!isLive(known)) return state; // It ended after the request was answered, and the stream has told so.
  const { content: _content, status: _status, ...others } = found;
  return { ...state, replies: { ...state.replies, [found.id]: { ...known, ...others } } };
}

/**
 * The turns in order: `{number, said, replies, chosen}`, where `said` are the messages that are no answers, and `chosen`
 * the answer from which the conversation goes on, if there is one.
 */
export function turnsOf(state) {
  const turns = new Map();
  const at = (number) => {
    if (!turns.has(number)) turns.set(number, { number, said: [], replies: [], chosen: null });
    return turns.get(number);
  };
  for (const message of Object.values(state.messages)) {
    if (message.role !== "assistant") at(message.turn).said.push(message);
    else if (!state.replies[message.reply_id]) at(message.turn).replies.push(replyOf(message));
  }
  const oldest = Math.min(...turns.keys());
  for (const reply of Object.values(state.replies)) {
    // Of turns whose messages are not loaded nothing is shown, nor of replies whose turn is not known yet.
    if (reply.turn >= oldest) at(reply.turn).replies.push(reply);
  }
  const ordered = [...turns.values()].sort((a, b) => a.number - b.number);
  for (const turn of ordered) {
    turn.said.sort((a, b) => (a.id < b.id ? -1 : 1));
    turn.replies.sort((a, b) => a.candidate - b.candidate);
    turn.chosen = turn.replies.find((reply) => reply.selected) ?? null;
  }
  return ordered;
}

/** An answer of which only the message is known: an old one, or one that was made elsewhere and has no `model`. */
function replyOf(message) {
  return {
    id: message.reply_id ?? message.id,
    turn: message.turn,
    candidate: 1,
    status: "completed",
    content: message.content,
    selected: true,
    created_at: message.created_at,
  };
}

/** The number of the newest turn that is known, or 0. */
export function lastTurn(state) {
  return Math.max(0, ...Object.values(state.messages).map((message) => message.turn));
}

/** Of the messages on their way those that are not there yet: the stream may tell of one before its request is answered. */
export function notThere(state, pending) {
  const found = Object.values(state.messages).filter((message) => message.role === "user");
  return pending.filter(({ text, after }) => {
    const index = found.findIndex((message) => message.turn > after && message.content === text);
    if (index >= 0) found.splice(index, 1);
    return index < 0;
  });
}

/** All replies that are still to end. */
export function liveReplies(state) {
  return Object.values(state.replies).filter(isLive);
}

/** How many earlier turns have to end before this reply can begin. */
export function turnsAhead(state, reply) {
  return new Set(
    liveReplies(state)
      .filter((other) => other.turn < reply.turn)
      .map((other) => other.turn),
  ).size;
}
