// Questions before something happens, and words after it has.

import { h } from "./element.js";

// True when it was confirmed. `danger` colours the button, and puts the focus on the other.
export const confirm = ({ title, body, action, danger }) => new Promise((done) => {
  const opener = document.activeElement;
  const no = h("button", { type: "button", onclick: () => dialog.close("") }, "Cancel");
  const yes = h("button", { type: "button", class: danger ? "danger" : "primary", onclick: () => dialog.close("yes") }, action);
  const dialog = h("dialog", { "aria-labelledby": "dialog-title" },
    h("h2", { id: "dialog-title" }, title), body, h("div", { class: "actions" }, no, yes));
  dialog.addEventListener("close", () => {
    dialog.remove();
    opener?.focus?.();
    done(dialog.returnValue === "yes");
  });
  document.body.append(dialog);
  dialog.showModal();
  (danger ? no : yes).focus();
});

let told = null;
const TOLD_MS = 6000;

// A line at the foot that goes by itself.
export const tell = (text, kind = "good") => {
  told ??= document.body.appendChild(h("div", { class: "told", role: "status", "aria-live": "polite" }));
  const line = h("p", { class: kind }, text);
  told.append(line);
  setTimeout(() => line.remove(), TOLD_MS);
};

// Does it with the button out of reach, and tells how it went.
export const done = async (button, call) => {
  button.disabled = true;
  try {
    const text = await call();
    if (text) tell(text);
  } catch (error) {
    if (error.name !== "AbortError") tell(error.message, "bad");
  } finally {
    button.disabled = false;
  }
};
