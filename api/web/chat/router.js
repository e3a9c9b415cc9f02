// Which conversation is open is in the address, so that reloading, going back and sending a link work.

const PATTERN = /^#\/c\/(conv_[0-9a-z]+)$/;

/** The open conversation's id, or null for a new one. */
export function openId() {
  return PATTERN.exec(location.hash)?.[1] ?? null;
}

/** The address of a conversation; null is that of a new one. */
export function addressOf(conversationId) {
  return conversationId ? `#/c/${conversationId}` : "#/";
}

/** Opens it. With `isReplacing` the present address does not stay in the history. */
export function open(conversationId, { isReplacing = false } = {}) {
  const address = addressOf(conversationId);
  if (isReplacing) {
    history.replaceState(null, "", address);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    location.hash = address;
  }
}

/** `onOpen(id)` is called now and whenever another one is opened. */
export function whenOpened(onOpen) {
  let last;
  const look = () => {
    const id = openId();
    if (id !== last) onOpen((last = id));
  };
  addEventListener("hashchange", look);
  look();
}
