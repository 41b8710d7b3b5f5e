// State that the parts of the page share: the range of time shown, the sources that the ranking
// shows, and the picked one. Each calls its listeners on a change.

function signal(value) {
  const listeners = [];
  return {
    get: () => value,
    set(next) {
      value = next;
      for (const listener of listeners) listener(value);
    },
    listen: (listener) => listeners.push(listener),
  };
}

/** Rows of the ranking, in its order, as far as it shows them. */
const shownRows = signal([]);

/** A row of the ranking, or null. */
const picked = signal(null);

/** The range of time that is drawn. */
const range = (() => {
  const state = signal({ from: 0, to: data.took });
  // Nothing is to be seen in less.
  const LEAST = Math.min(100, data.took);

  const set = (from, to) => {
    const span = Math.min(data.took, Math.max(LEAST, to - from));
    const start = Math.min(Math.max(0, from), data.took - span);
    state.set({ from: start, to: start + span });
  };
  return {
    get: state.get,
    listen: state.listen,
    set,
    fit: () => set(0, data.took),
    /** By `factor` (below 1: in), with `at` staying where it is. */
    zoom(factor, at) {
      const { from, to } = state.get();
      const span = Math.min(data.took, Math.max(LEAST, (to - from) * factor));
      const part = (at - from) / (to - from);
      set(at - part * span, at + (1 - part) * span);
    },
    pan(by) {
      const { from, to } = state.get();
      set(from + by, to + by);
    },
    /** Shows an item with some room beside it. */
    frame(start, end) {
      const room = Math.max((end - start) * 0.5, 50);
      set(start - room, end + room);
    },
    /** Moves so that the item is in sight. */
    reveal(start, end) {
      const { from, to } = state.get();
      if (end < from || start > to) {
        const middle = (start + end) / 2, half = (to - from) / 2;
        set(middle - half, middle + half);
      }
    },
  };
})();
