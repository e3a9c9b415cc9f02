// The open conversation: it is followed for as long as it is open and looked at, and what is asked of it goes through here.

import { call } from "../base/api.js";
import { listen } from "../base/listening.js";
import { createStore } from "../base/store.js";
import { EMPTY, isLive, liveReplies, reduce } from "./conversation_state.js";
import { answered, newRequest, post } from "./sending.js";

// Conversations show their newest messages; replies come in pages of the same order.
const PAGE = 50;
const REPLIES_PAGE = 100;

export class Session {
  id = null;
  store = createStore(reduce, EMPTY);

  #listening = null;
  #repliesCursor = null;
  #onConnection;
  #onError;

  /** `onConnection("open" | "waiting" | "idle")` hears how the connection is, `onError(error)` what cannot be helped. */
  constructor({ onConnection, onError }) {
    this.#onConnection = onConnection;
    this.#onError = onError;
    // A browser has six connections for a server, and hidden tabs should not use them up.
    document.addEventListener("visibilitychange", () => this.#followIfSeen());
  }

  get state() {
    return this.store.state;
  }

  /** Opens a conversation; null is one that is not made yet. `known` is what its making told. */
  open(id, known = null) {
    this.#stopListening();
    this.id = id;
    this.#repliesCursor = null;
    this.store.dispatch({ type: "left" });
    if (known) {
      this.store.dispatch({ type: "snapshot", conversation: known });
      if (known.turn) this.store.dispatch({ type: "turn", turn: known.turn });
    }
    this.#followIfSeen();
  }

  #followIfSeen() {
    if (this.id === null || this.state.isGone) return;
    if (!document.hidden) {
      if (!this.#listening) this.#follow(this.id);
    } else if (!liveReplies(this.state).length) {
      this.#stopListening();
    }
  }

  #stopListening() {
    this.#listening?.abort();
    this.#listening = null;
    this.#onConnection("idle");
  }

  async #follow(id) {
    const controller = (this.#listening = new AbortController());
    const isCurrent = () => this.#listening === controller;
    try {
      await listen(`/conversations/${id}/events/`, {
        signal: controller.signal,
        onEvent: (event) => isCurrent() && this.#hear(event),
        onState: (state) => isCurrent() && this.#onConnection(state),
      });
    } catch (error) {
      if (!isCurrent()) return;
      this.#listening = null;
      this.#onConnection("idle");
      if (error.status === 404) this.store.dispatch({ type: "gone" });
      else this.#onError(error);
    }
  }

  #hear(event) {
    this.store.dispatch({ type: "event", ...event });
    if (event.kind === "snapshot") {
      this.#readReplies();
      for (const reply of event.data.conversation.live_replies) this.#readWhyQueued(reply.id);
    }
    if (event.kind === "reply.queued") this.#readWhyQueued(event.data.reply_id);
    else if (event.kind.startsWith("reply.")) this.#readIfUnknown(event.data.reply_id ?? event.data.reply?.id);
    if (document.hidden) this.#followIfSeen();
  }

  /** The stream tells of live replies; what became of the others, and of their siblings, is read. */
  async #readReplies() {
    const page = await this.#quietly(this.#repliesPage(null));
    if (!page) return;
    this.#repliesCursor = page.next_cursor;
    this.store.dispatch({ type: "replies", replies: page.data });
  }

  #repliesPage(after) {
    const cursor = after ? `&after=${encodeURIComponent(after)}` : "";
    return call("GET", `/replies/?conversation_id=${this.id}&limit=${REPLIES_PAGE}${cursor}`);
  }

  #readIfUnknown(id) {
    if (id && this.state.replies[id]?.turn === undefined) this.#readReply(id);
  }

  async #readReply(id) {
    const reply = await this.#quietly(call("GET", `/replies/${id}/`));
    if (reply) this.store.dispatch({ type: "replies", replies: [reply] });
    return reply;
  }

  /** A reply that was being answered is queued again: when it will be tried, and what went wrong. */
  async #readWhyQueued(id) {
    const known = this.state.replies[id];
    if (known?.turn !== undefined && !known.attempt) return;
    const reply = await this.#readReply(id);
    if (reply?.queue?.waiting_for !== "retry") return;
    const attempts = await this.#quietly(call("GET", `/replies/${id}/attempts/`));
    const reason = attempts?.data.at(-1)?.error?.code ?? null;
    if (reason) this.store.dispatch({ type: "replies", replies: [{ ...reply, reason }] });
  }

  /** What was asked for, or undefined if it was not to be had or another conversation is open: the stream goes on. */
  async #quietly(promise) {
    const id = this.id;
    try {
      const found = await promise;
      return this.id === id ? found : undefined;
    } catch {
      return undefined;
    }
  }

  /** The messages before those that are known. */
  async readEarlier() {
    const page = await call("GET", this.state.previous);
    const previous = page.next_cursor
      ? `/conversations/${this.id}/messages/?limit=${PAGE}&before=${encodeURIComponent(page.next_cursor)}`
      : null;
    await this.#readRepliesBackTo(page.data[0]?.turn ?? 0);
    this.store.dispatch({ type: "earlier", messages: page.data, previous });
  }

  async #readRepliesBackTo(turn) {
    while (this.#repliesCursor) {
      const page = await this.#quietly(this.#repliesPage(this.#repliesCursor));
      if (!page) return;
      this.#repliesCursor = page.next_cursor;
      this.store.dispatch({ type: "replies", replies: page.data });
      if (page.data.at(-1).turn < turn) return;
    }
  }

  /** What asking has told, unless another conversation was opened meanwhile. */
  takeTurn(turn) {
    if (turn.conversation_id === this.id) this.store.dispatch({ type: "turn", turn });
  }

  /** Ends everything that is being answered. */
  async stop() {
    const ids = liveReplies(this.state).map((reply) => reply.id);
    this.store.dispatch({ type: "stopping", ids });
    const replies = await Promise.all(ids.map((id) => answered(() => call("POST", `/replies/${id}/cancel/`))));
    this.store.dispatch({ type: "replies", replies });
  }

  /** One more answer beside this one, from the model that the conversation has now. */
  async regenerate(reply) {
    const model = this.state.conversation?.model;
    const body = model && model !== reply.model ? { model } : {};
    this.takeTurn(await post(newRequest(`/replies/${reply.id}/regenerate/`, body)));
  }

  /** A failed or stopped one again. */
  async retry(reply) {
    const again = await post(newRequest(`/replies/${reply.id}/retry/`, {}));
    if (isLive(again)) this.store.dispatch({ type: "event", kind: "reply.queued", data: { reply_id: again.id } });
    this.store.dispatch({ type: "replies", replies: [{ ...again, reason: null }] });
  }

  /** The conversation goes on from this one. */
  async select(reply) {
    const chosen = await call("POST", `/replies/${reply.id}/select/`);
    this.store.dispatch({ type: "replies", replies: [chosen] });
  }

  /** Thumbs up or down, with a word about why if there is one. */
  async rate(reply, feedback) {
    const rated = await answered(() => call("PUT", `/replies/${reply.id}/feedback/`, { body: feedback }));
    this.store.dispatch({ type: "replies", replies: [rated] });
  }

  /** Changes title, instructions or model. */
  async change(fields) {
    const { messages: _messages, live_replies: _live, previous_messages: _previous, ...head } = await call(
      "PATCH",
      `/conversations/${this.id}/`,
      { body: fields },
    );
    this.store.dispatch({ type: "changed", head });
  }
}
