// One dead letter: what it is, why it is here, what can be done.

import { below, get } from "/kit/api.js";
import { h, said } from "/kit/element.js";
import { done } from "/kit/dialog.js";
import { badge, body, button, facts, loaded, moment, panel } from "/kit/parts.js";
import { bytes, count } from "/kit/words.js";
import { ask, move, outcome } from "./dead-letters.js";
import { deviceLink, messageLink } from "./names.js";

const drawn = (letter) => {
  const act = (what) => button(what === "replay" ? "Replay" : "Drop", async (event) => {
    if (!await ask(what, 1, null)) return;
    await done(event.target, async () => {
      const sum = await move(what, [letter.seq]);
      if (sum.done) location.hash = what === "replay" ? `#/messages/${letter.seq}` : "#/dead-letters";
      return `${outcome(what, sum)}.`;
    });
  }, what === "drop" ? "danger" : "primary");
  return [
    panel(null, h("div", { class: "head" }, h("h2", null, "Why it is here"), badge(letter.reason, "bad")),
      h("p", null, said(letter.detail, { max: 600 })), h("p", null, h("strong", null, "What to do: "), letter.mend, "."),
      h("div", { class: "actions" }, act("drop"), letter.is_whole ? act("replay") : h("span", { class: "faint" }, "damaged: cannot be replayed"))),
    panel("What it is", facts([
      ["device", deviceLink(letter)], ["application", letter.application && said(letter.application)], ["network", said(letter.network)], ["DevEUI", letter.dev_eui && said(letter.dev_eui)],
      ["kind", said(letter.kind)], ["walk", messageLink(letter.seq, `#${letter.seq}`)], ["accepted", moment(letter.accepted_at)], ["buried", moment(letter.buried_at)],
      ["attempts", count(letter.attempts)], ["replays", count(letter.replays)], ["last cause", letter.last_cause && said(letter.last_cause, { max: 400 })], ["size", bytes(letter.bytes)], ["whose turn", letter.class],
    ])),
    panel("Body", letter.body !== undefined ? body(letter.body) : [h("p", { class: "small faint" }, "No text; in base64:"), body(letter.body_base64 ?? "")]),
  ];
};

export const show = ({ parts: [, seq], signal }) => h("div", { class: "view" },
  h("p", { class: "small" }, h("a", { href: "#/dead-letters" }, "Dead letters")), h("h1", null, `Dead letter #${seq}`),
  loaded(() => get(below("/api/v1/dead-letters", seq), {}, signal), drawn, signal));
