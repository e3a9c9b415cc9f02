// On a narrow screen the conversations are in a drawer.

const NARROW = matchMedia("(max-width: 760px)");

/** Opens and closes it; what is closed cannot be reached by the keyboard either. */
export class Drawer {
  #sidebar;
  #first;
  #main;
  #opener;
  #backdrop;
  #isOpen = false;

  /** `first` is what has the focus when it is opened. */
  constructor({ sidebar, main, opener, closer, backdrop, first }) {
    this.#sidebar = sidebar;
    this.#first = first;
    this.#main = main;
    this.#opener = opener;
    this.#backdrop = backdrop;
    opener.addEventListener("click", () => this.open());
    closer.addEventListener("click", () => this.close());
    backdrop.addEventListener("click", () => this.close());
    sidebar.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !NARROW.matches) return;
      event.stopPropagation();
      this.close();
    });
    NARROW.addEventListener("change", () => this.#show());
    this.#show();
  }

  open() {
    this.#isOpen = true;
    this.#show();
    if (NARROW.matches) this.#first.focus();
  }

  close() {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#show();
    if (NARROW.matches) this.#opener.focus();
  }

  #show() {
    const isOver = NARROW.matches && this.#isOpen;
    this.#sidebar.inert = NARROW.matches && !this.#isOpen;
    this.#main.inert = isOver;
    this.#sidebar.classList.toggle("is-open", isOver);
    this.#backdrop.hidden = !isOver;
    this.#opener.setAttribute("aria-expanded", String(isOver));
  }
}
