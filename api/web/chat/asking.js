// Asking, from the click to the accepted turn: in the open conversation, in a new one, or in a copy of an earlier part.
//
// What is on its way is shown at once, and goes on after a reload of the tab.

import { call } from "../base/api.js";
import { lastTurn } from "./conversation_state.js";
import { answered, leftUnderWay, newRequest, post } from "./sending.js";

export class Asking {
  /**
   * `{id, text, trouble, after}` for each message on its way; `id` is its conversation's, null for a new one, and `after`
   * the last turn that was known there.
   */
  pending = [];

  #session;
  #onChange;
  #onMade;
  #onRefused;

  /**
   * `onChange()` is called when `pending` changes, `onMade(conversation, isAwaited)` when there is a new one, and
   * `onRefused(id, text, error)` when a message could not be sent: of which conversation, and what it says.
   */
  constructor(session, { onChange, onMade, onRefused }) {
    this.#session = session;
    this.#onChange = onChange;
    this.#onMade = onMade;
    this.#onRefused = onRefused;
  }

  /** Asks in the open conversation, or in a new one with these settings. */
  async ask(message, settings) {
    const id = this.#session.id;
    await this.#carryOut(
      id === null
        ? newRequest("/conversations/", { ...settings, message }, { kind: "create", text: message.content, id })
        : newRequest(`/conversations/${id}/ask-message/`, message, { kind: "ask", text: message.content, id }),
    );
  }

  /** Asks something else than was asked in this turn, in a copy of what came before it. */
  async askInCopy(turn, message) {
    const id = this.#session.id;
    const about = { kind: "fork", text: message.content, id, message };
    await this.#carryOut(newRequest(`/conversations/${id}/fork/`, { up_to_turn: turn - 1 }, about));
  }

  /** Goes on with what a reload has interrupted. */
  async resume() {
    await Promise.all(leftUnderWay().map((request) => this.#carryOut(request)));
  }

  async #carryOut(request) {
    const { kind, id = null, text = "", message } = request.about;
    const shown = { id, text, trouble: null, after: lastTurn(this.#session.state) };
    if (text) this.#change([...this.pending, shown]);
    const onTrouble = (error) => {
      shown.trouble = error.message;
      this.#onChange();
    };
    try {
      const answer = await post(request, { onTrouble });
      if (kind === "ask") this.#session.takeTurn(answer);
      if (kind === "create") this.#made(answer, id);
      if (kind === "fork") this.#made(await this.#askInNew(answer, message, onTrouble), id);
    } catch (error) {
      if (text) this.#onRefused(id, text, error);
    } finally {
      this.#change(this.pending.filter((other) => other !== shown));
    }
  }

  async #askInNew(copy, message, onTrouble) {
    const path = `/conversations/${copy.id}/`;
    const request = newRequest(`${path}ask-message/`, message, { kind: "ask", text: message.content, id: copy.id });
    const turn = await post(request, { onTrouble });
    // A copy without a past is named by what it now begins with.
    const named = turn.turn === 1 ? await answered(() => call("PATCH", path, { body: { title: null } })) : copy;
    return { ...copy, title: named.title, turn };
  }

  /** Whoever went elsewhere meanwhile is not taken away from there. */
  #made(conversation, from) {
    this.#onMade(conversation, this.#session.id === from);
  }

  #change(pending) {
    this.pending = pending;
    this.#onChange();
  }
}
