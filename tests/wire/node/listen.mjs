// Listens to a URL as a browser's page would, and writes each event on a line. It ends when EventSource gives up.
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

const source = new EventSource(process.argv[2]);
const write = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

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
