// What was typed and not sent yet, for each conversation.

import { ofBrowser } from "../base/storage.js";

const nameOf = (conversationId) => `draft.${conversationId ?? "new"}`;

export function draftOf(conversationId) {
  return ofBrowser.get(nameOf(conversationId)) ?? "";
}

export function keepDraft(conversationId, text) {
  if (text) ofBrowser.set(nameOf(conversationId), text);
  else ofBrowser.remove(nameOf(conversationId));
}
