// The chat page, wired together.

import { call, whenLocked } from "../base/api.js";
import { icon } from "../base/dom.js";
import { currentKey, forgetKey } from "../base/key.js";
import { askForKey } from "../base/key_dialog.js";
import { themeButton } from "../base/theme.js";
import { Asking } from "./asking.js";
import { isLive, liveReplies, notThere } from "./conversation_state.js";
import { ConversationList } from "./conversation_list.js";
import { draftOf, keepDraft } from "./drafts.js";
import { Drawer } from "./drawer.js";
import { open, whenOpened } from "./router.js";
import { Session } from "./session.js";
import { toast } from "../base/toast.js";
import { ComposerView } from "./views/composer_view.js";
import { emptyView } from "./views/empty_view.js";
import { askForSettings } from "./views/settings_dialog.js";
import { listenForShortcuts, showShortcuts } from "./views/shortcuts_dialog.js";
import { SidebarView } from "./views/sidebar_view.js";
import { ThreadView } from "./views/thread_view.js";

const APP = "Async Chat API";
const NEW = "New conversation";
const TICK_MS = 1000;
const NOTICED_MS = 500;

const by = (id) => document.getElementById(id);

// A conversation that is not made yet has its settings here.
let newSettings = { model: null, instructions: null };
let offered = { data: [], any_name: false };
// What the making of a conversation told, for the moment when it is opened.
let justMade = null;
// The timer after which a lost connection is worth a word.
let connecting = 0;

const session = new Session({ onConnection: showConnection, onError: (error) => toast(error.message) });
const list = new ConversationList();
const asking = new Asking(session, {
  onChange: show,
  onRefused: giveBack,
  onMade(made, isAwaited) {
    list.changed();
    if (!isAwaited) return;
    justMade = made;
    newSettings = { model: null, instructions: null };
    open(made.id);
  },
});
const drawer = new Drawer({
  sidebar: by("sidebar"),
  main: document.querySelector("main"),
  opener: by("open-drawer"),
  closer: by("close-drawer"),
  backdrop: by("backdrop"),
  first: by("new-conversation"),
});
const sidebar = new SidebarView(by("sidebar"), list, {
  onRemoved: (id) => id === session.id && open(null, { isReplacing: true }),
  onError: (error) => toast(error.message),
});
const thread = new ThreadView(by("thread"), {
  regenerate: tried((reply) => session.regenerate(reply)),
  retry: tried((reply) => session.retry(reply)),
  select: tried((reply) => session.select(reply)),
  rate: tried((reply, rating) => session.rate(reply, rating)),
  edit: (turn, content) => asking.askInCopy(turn, { content }),
  readEarlier: tried(() => session.readEarlier()),
});
const composer = new ComposerView(by("composer"), {
  onSend: ask,
  onStop: stop,
  onModel: (model) => changeSettings({ model }),
});
const empty = emptyView({ onExample: (text) => ask({ content: text, n: 1 }) });

/** The same action, whose error is shown. */
function tried(action) {
  return async (...given) => {
    try {
      return await action(...given);
    } catch (error) {
      toast(error.message);
      return undefined;
    }
  };
}

async function ask(message) {
  if (session.id === null && asking.pending.some((other) => other.id === null)) {
    composer.showProblem("The first message is still on its way. Send this one once it is there.");
    return;
  }
  composer.clear();
  thread.goToEnd();
  await asking.ask(message, session.id === null ? newSettings : {});
  list.changed();
}

/** What was refused is back where it can be changed, before what was typed since: nothing is lost. */
function giveBack(id, text, error) {
  const isHere = session.id === id;
  const typed = isHere ? composer.text : draftOf(id);
  const whole = typed ? `${text}\n\n${typed}` : text;
  if (isHere) {
    composer.put(whole);
    composer.showProblem(error.message);
  } else {
    keepDraft(id, whole);
    toast(`A message of another conversation was not sent, and is in its message box again. ${error.message}`);
  }
}

function stop() {
  return tried(() => session.stop())();
}

async function changeSettings(fields) {
  if (session.id === null) newSettings = { ...newSettings, ...fields };
  else await tried(() => session.change(fields))();
  show();
}

async function openSettings() {
  const present = session.id === null ? newSettings : session.state.conversation;
  const wanted = present && (await askForSettings(present, offered));
  if (wanted) await changeSettings(wanted);
}

function show() {
  const { state } = session;
  const pending = notThere(state, asking.pending.filter((message) => message.id === session.id));
  thread.update(state, pending);
  const isEmpty = session.id === null && pending.length === 0;
  if (isEmpty !== empty.isConnected) isEmpty ? by("thread").prepend(empty) : empty.remove();
  composer.showLive(liveReplies(state).length > 0);
  composer.showModels(
    offered.any_name ? [] : offered.data.map((model) => model.id),
    (session.id === null ? newSettings : state.conversation)?.model ?? null,
  );
  const title = session.id === null ? NEW : (state.conversation?.title ?? "");
  by("title").textContent = title;
  document.title = title && session.id !== null ? `${title} · ${APP}` : APP;
  by("composer").hidden = state.isGone;
  if (state.isGone) showBanner("This conversation is not here any more, or never was. Choose another, or begin a new one.");
  sidebar.update(list.store.state, session.id);
}

function showBanner(words) {
  by("connection").hidden = words === null;
  by("connection").textContent = words ?? "";
}

function showConnection(connection) {
  clearTimeout(connecting);
  // A stream ends now and then, and is there again before anybody need know.
  if (connection === "waiting") connecting = setTimeout(showBanner, NOTICED_MS, "Reconnecting…");
  else showBanner(null);
}

function openConversation(id) {
  const known = justMade?.id === id ? justMade : null;
  justMade = null;
  thread.clear();
  session.open(id, known);
  composer.open(id);
  drawer.close();
  show();
  thread.goToEnd();
  // Where the keyboard is on the screen it would cover what one came to read.
  if (matchMedia("(hover: hover)").matches) composer.focus();
}

async function readModels() {
  offered = await call("GET", "/models/");
  const name = offered.data[0]?.id ?? "";
  const note = by("model-note");
  note.hidden = !name.startsWith("demo");
  note.textContent = "The demo model answers. For a real one set OPENAI_API_KEY and start the server again.";
  show();
}

/** What changes with time alone: how long until the next try. */
function tick() {
  if (liveReplies(session.state).some((reply) => reply.queue?.next_attempt_at)) show();
}

/** The title and the order of the list may change whenever an answer ends, or another tab asks. */
function lookForChanges() {
  let last = "";
  session.store.subscribe((state) => {
    const ended = Object.values(state.replies).filter((reply) => !isLive(reply)).length;
    const now = `${state.conversation?.id} ${state.conversation?.title} ${ended} ${Object.keys(state.messages).length}`;
    if (now !== last) list.changed();
    last = now;
  });
}

function start() {
  for (const [id, name] of [
    ["open-drawer", "menu"],
    ["close-drawer", "close"],
    ["settings", "sliders"],
  ]) {
    by(id).append(icon(name));
  }
  by("new-conversation").prepend(icon("plus"));
  themeButton(by("theme"));
  by("settings").addEventListener("click", openSettings);
  by("new-conversation").addEventListener("click", () => startNew());
  by("skip").addEventListener("click", () => composer.focus());
  by("show-shortcuts").addEventListener("click", showShortcuts);
  by("forget-key").addEventListener("click", () => {
    forgetKey();
    location.reload();
  });
  listenForShortcuts({
    stop: () => liveReplies(session.state).length && stop(),
    create: startNew,
    search: () => {
      drawer.open();
      sidebar.focusSearch();
    },
    compose: () => composer.focus(),
    help: showShortcuts,
  });
  whenLocked(async (refusal) => {
    const isGiven = await askForKey(refusal);
    showKey();
    return isGiven;
  });
  showKey();
  session.store.subscribe(show);
  list.store.subscribe(show);
  lookForChanges();
  whenOpened(openConversation);
  setInterval(tick, TICK_MS);
  list.read();
  tried(readModels)();
  asking.resume();
}

function startNew() {
  if (session.id === null) {
    drawer.close();
    composer.focus();
  } else open(null);
}

function showKey() {
  by("forget-key").hidden = currentKey() === "";
}

start();
