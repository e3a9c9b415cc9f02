// Reads server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html

/** Takes the text of a stream piece by piece, wherever it is cut, and gives the events that are complete. */
export class EventStreamParser {
  #line = "";
  #isAfterCarriageReturn = false;
  #isFirst = true;
  #kind = "";
  #data = [];

  /** The id of the last event that had one: where to resume. */
  lastEventId = "";

  /** The events that this piece completes: `{kind, data, id}`. */
  push(text) {
    const events = [];
    let start = 0;
    if (this.#isFirst && text) {
      this.#isFirst = false;
      if (text.startsWith("\uFEFF")) start = 1;
    }
    for (let at = start; at < text.length; at += 1) {
      const character = text[at];
      if (character !== "\n" && character !== "\r") continue;
      const isSecondHalf = character === "\n" && this.#isAfterCarriageReturn && at === start && this.#line === "";
      if (!isSecondHalf) this.#take(this.#line + text.slice(start, at), events);
      this.#line = "";
      this.#isAfterCarriageReturn = character === "\r";
      start = at + 1;
    }
    if (start < text.length) {
      this.#line += text.slice(start);
      this.#isAfterCarriageReturn = false;
    }
    return events;
  }

  #take(line, events) {
    if (line === "") {
      if (this.#data.length) {
        events.push({ kind: this.#kind || "message", data: this.#data.join("\n"), id: this.lastEventId });
      }
      this.#kind = "";
      this.#data = [];
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return; // A comment, such as a keep-alive.
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "event") this.#kind = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id" && !value.includes("\0")) this.lastEventId = value;
  }
}
