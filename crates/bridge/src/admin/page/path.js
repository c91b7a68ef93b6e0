// The way of a message as a picture: door, queue, workers, hubs, and beside them what does not go on.

import { fill, h } from "/kit/element.js";
import { bytes, count, duration, plural } from "/kit/words.js";

const station = (name, what, href) => {
  const big = h("span", { class: "big" }, "–");
  const unit = h("span", { class: "unit" });
  const more = h("span", { class: "more" });
  const beside = h("ul", { class: "beside" });
  const box = h("a", { class: "station", href, title: what }, h("span", { class: "name" }, name), h("span", null, big, " ", unit), more);
  const node = h("li", null, box, beside);
  return {
    node,
    set: (value, text, lines, sides, kind) => {
      big.textContent = value;
      unit.textContent = text;
      more.textContent = lines;
      box.className = `station ${kind ?? ""}`;
      fill(beside, sides.map(([label, n, to, bad]) => {
        const text = [label, n !== undefined && [" ", h("b", null, count(n))]]; // without a number: who wants to know follows the link
        return h("li", { class: n ? (bad ? "bad" : "some") : null }, to ? h("a", { href: to }, text) : text);
      }));
    },
  };
};

const sum = (list, of) => list.reduce((all, one) => all + (Number(of(one)) || 0), 0);

export const path = () => {
  const door = station("door", "Messages that are committed each second.", "#/messages");
  const queue = station("queue", "Messages that are kept and not yet delivered.", "#/messages");
  const workers = station("workers", "Messages that are on their way to a hub.", "#/devices");
  const hubs = station("hubs", "IoT Hubs that work.", "#/targets");
  const node = h("ol", { class: "path" }, door.node, queue.node, workers.node, hubs.node);
  return {
    node,
    set: (snapshot, tick) => {
      const q = snapshot.queue;
      const waiting = tick?.waiting ?? q.waiting;
      const age = tick?.oldest_age_ms ?? (q.oldest_accepted_at ? Date.now() - q.oldest_accepted_at : null);
      const [up, down] = [sum(snapshot.hubs, (hub) => hub.open), sum(snapshot.hubs, (hub) => !hub.open)];
      const registering = sum(snapshot.provisioning, (scope) => scope.under_way + scope.waiting + scope.waiting_ahead);
      const isOpen = tick?.writable ?? q.writable;
      door.set(tick ? count(tick.accepted) : "–", "accepted a second", isOpen ? "open" : "shut: cannot keep messages",
        [["refused", tick?.refused ?? 0, null, true], ["duplicates", tick?.duplicates ?? 0]], isOpen ? "" : "bad");
      queue.set(count(waiting), "waiting", `${bytes(tick?.waiting_bytes ?? q.waiting_bytes)}, oldest ${waiting ? duration(age) : "–"}`,
        [["kept", q.kept], ["held", q.held, "#/devices?state=held"]]);
      workers.set(count(tick?.leased ?? q.leased), "being sent", `${plural(snapshot.devices_assigned, "device")} assigned`,
        [["registering", registering, "#/devices?state=registering"], ["dead letters", tick?.dead_letters ?? q.dead_letters, "#/dead-letters", true]]);
      hubs.set(tick ? count(tick.delivered) : "–", "delivered a second", snapshot.hubs.length ? `${plural(up, "hub")} up${down ? `, ${down} down` : ""}` : "no hub yet",
        [["resting", sum(snapshot.hubs, (hub) => hub.resting), "#/targets"], ["attached", sum(snapshot.hubs, (hub) => hub.attached), "#/devices?state=attached"]], down ? "bad" : "");
      node.classList.toggle("moves", Boolean(tick && (tick.accepted || tick.delivered)));
    },
  };
};
