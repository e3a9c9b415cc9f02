// Listens to the URL that its first line of input names, as a browser's page would, and writes each event on a line. It
// ends when EventSource gives up.
import { createInterface } from "node:readline/promises";
import { EventSource } from "eventsource";

const TYPES = [
  "message.created",
  "reply.queued",
  "reply.started",
  "reply.restarted",
  "reply.delta",
  "reply.completed",
  "reply.incomplete",
  "reply.failed",
  "reply.cancelled",
  "snapshot",
];

const write = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

write({ loaded: true });
const url = await createInterface({ input: process.stdin }).question("");
const source = new EventSource(url);

source.addEventListener("open", () => write({ open: true }));
for (const kind of TYPES) {
  source.addEventListener(kind, (event) => write({ kind, data: JSON.parse(event.data), id: event.lastEventId }));
}
source.addEventListener("message", (event) => write({ kind: "message", data: event.data, id: event.lastEventId }));
source.addEventListener("error", (event) => {
  if (source.readyState === EventSource.CLOSED) {
    write({ closed: true, code: event.code ?? null });
  }
});
