// What happens now, once a second, for whoever wants to know. One connection for all views.

import { live } from "/kit/live.js";
import { setNow } from "/kit/words.js";

let [last, state, why] = [null, "wait", ""];
const listeners = new Set();

export const pulse = (stateIs, tick) => {
  listeners.add({ tick, stateIs });
  live("/api/v1/live", (name, data) => {
    if (name !== "tick") return;
    last = data;
    setNow(data.at);
    for (const listener of listeners) listener.tick(data);
  }, (is, because = "") => {
    [state, why] = [is, because];
    for (const listener of listeners) listener.stateIs?.(is, because);
  }, new AbortController().signal);
};

// Each tick from now on while the view is shown, the last one at once; `back` is called whenever the connection is there (again).
export const ticks = (tick, signal, back = () => {}) => {
  const listener = { tick, stateIs: (is) => { if (is === "live") back(); } };
  listeners.add(listener);
  signal.addEventListener("abort", () => listeners.delete(listener), { once: true });
  if (last) tick(last);
};

export const standing = () => ({ state, why });
