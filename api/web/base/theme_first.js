// Runs before anything is painted, so that a chosen theme does not flash; hence no module.
{
  let theme = null;
  try {
    theme = localStorage.getItem("asyncchat.theme");
  } catch {
    // The browser keeps nothing: the system's theme it is.
  }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
}
