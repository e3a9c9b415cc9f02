// The operations page, wired together.

import { call, serverNow, whenLocked } from "../base/api.js";
import { currentKey, forgetKey } from "../base/key.js";
import { askForKey } from "../base/key_dialog.js";
import { createStore } from "../base/store.js";
import { themeButton } from "../base/theme.js";
import { toast } from "../base/toast.js";
import { reduce, UNKNOWN } from "./operations_state.js";
import { poll } from "./polling.js";
import { ChartsView } from "./views/charts_view.js";
import { showHealth, showQueue } from "./views/now_view.js";
import { showProcesses } from "./views/processes_view.js";
import { showFailed, showLive } from "./views/replies_view.js";
import { ShortList } from "./views/short_list.js";
import { clockWords } from "./words.js";

const by = (id) => document.getElementById(id);

const store = createStore(reduce, UNKNOWN);
const charts = new ChartsView(by("charts"));
const lists = {
  failed: new ShortList({ element: by("failed"), empty: by("no-failed"), more: by("more-failed") }, showFailed),
  live: new ShortList({ element: by("live"), empty: by("no-live"), more: by("more-live") }, showLive),
};

async function read() {
  let health = null;
  const whenHealthy = readHealth().then((answer) => (health = answer));
  const others = Promise.all([call("GET", "/operations/"), call("GET", "/workers/")]);
  try {
    await Promise.allSettled([whenHealthy, others]);
    const [operations, workers] = await others;
    await whenHealthy;
    store.dispatch({ kind: "heard", health, operations, processes: workers.data, now: serverNow() });
  } catch (error) {
    if (error.status === 403) await askForAdmin(error);
    throw Object.assign(error, { health });
  }
}

/** Unready is an answer, too. */
async function readHealth() {
  try {
    return await call("GET", "/readyz");
  } catch (error) {
    if (error.status === 503) return { status: "unready" };
    throw error;
  }
}

async function askForAdmin(error) {
  await askForKey({ wasRefused: true, detail: error.message });
  showKey();
}

function showProblem(error) {
  const problem = error.status === 0 ? "The server cannot be reached. Trying again…" : `${error.message} Trying again…`;
  store.dispatch({ kind: "away", problem, health: error.health });
}

async function act(id, what) {
  store.dispatch({ kind: "asked", id, what });
  try {
    await call("POST", `/replies/${id}/${what}/`);
  } catch (error) {
    store.dispatch({ kind: "refused", id });
    toast(error.message);
  }
  readSoon();
}

function show({ operations, health, processes, asked, problem }) {
  by("connection").hidden = problem === null;
  by("connection").textContent = problem ?? "";
  if (health) showHealth(by("health"), health);
  if (operations === null) return;
  const now = serverNow();
  showQueue(by("queue"), operations);
  charts.update(operations);
  lists.failed.update(operations.failed, { asked, onRetry: (id) => act(id, "retry") });
  lists.live.update(operations.live, { asked, now, onCancel: (id) => act(id, "cancel") });
  showProcesses(by("processes"), processes, { now });
  const isCut = operations.complete_from > operations.from;
  by("coverage").hidden = !isCut;
  by("coverage").textContent = isCut ? `There were too many replies to look at all: from ${clockWords(operations.complete_from)} on they are complete.` : "";
}

function showKey() {
  by("forget-key").hidden = currentKey() === "";
}

themeButton(by("theme"));
by("forget-key").addEventListener("click", () => {
  forgetKey();
  location.reload();
});
whenLocked(async (refusal) => {
  const isGiven = await askForKey(refusal);
  showKey();
  return isGiven;
});
showKey();
store.subscribe(show);
const readSoon = poll(read, { onFailure: showProblem });
