// What the browser keeps for the page. It may be switched off or full, which no page should die of.

/** A store of strings under this project's own prefix: of the tab (sessionStorage) or of the browser (localStorage). */
function storeOf(area) {
  const at = () => globalThis[area];
  return {
    get(name) {
      try {
        return at().getItem(`asyncchat.${name}`);
      } catch {
        return null;
      }
    },
    set(name, value) {
      try {
        at().setItem(`asyncchat.${name}`, value);
      } catch {
        // It is then known until the tab is closed, by whoever asked to keep it.
      }
    },
    remove(name) {
      try {
        at().removeItem(`asyncchat.${name}`);
      } catch {
        // There is nothing to remove.
      }
    },
  };
}

export const ofTab = storeOf("sessionStorage");
export const ofBrowser = storeOf("localStorage");
