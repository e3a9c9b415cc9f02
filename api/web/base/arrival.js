// Runs first, hence no module: where a part of the page does not arrive, all of it is asked for once more by itself, and
// then says so. Without this a page whose network was gone for a moment would stand there and do nothing.
{
  const NAME = "asyncchat.reloaded";
  const AGAIN_MS = 1000;
  let isWhole = true;

  const wasReloaded = () => {
    try {
      const isSo = sessionStorage.getItem(NAME) !== null;
      sessionStorage.setItem(NAME, "yes");
      return isSo;
    } catch {
      return true;
    }
  };

  const missed = () => {
    if (!isWhole) return;
    isWhole = false;
    if (!wasReloaded()) {
      setTimeout(() => location.reload(), AGAIN_MS);
      return;
    }
    const banner = document.getElementById("connection");
    banner.textContent = "A part of this page did not arrive. Please reload it.";
    banner.hidden = false;
  };

  // Those of elements do not bubble.
  addEventListener("error", ({ target }) => target instanceof HTMLElement && target.matches("script, link") && missed(), true);
  addEventListener("load", () => {
    try {
      if (isWhole) sessionStorage.removeItem(NAME);
    } catch {
      // The browser keeps nothing.
    }
  });
}
