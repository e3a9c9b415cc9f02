// A state that changes by actions only, and whoever shows it.

/** `reduce(state, action)` gives the next state. Whoever subscribes is called at most once for each frame. */
export function createStore(reduce, initial) {
  let state = initial;
  let isScheduled = false;
  const subscribers = new Set();

  function show() {
    isScheduled = false;
    for (const subscriber of subscribers) subscriber(state);
  }

  return {
    get state() {
      return state;
    },
    dispatch(action) {
      const next = reduce(state, action);
      if (next === state) return;
      state = next;
      if (isScheduled) return;
      isScheduled = true;
      requestAnimationFrame(show);
    },
    subscribe(subscriber) {
      subscribers.add(subscriber);
      return () => subscribers.delete(subscriber);
    },
  };
}
