// Reads the snapshot every second and writes it as text nodes. Strings that devices made up stay text.
"use strict";
const element = (name, text, kind) => {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  if (kind) node.className = kind;
  return node;
};
const number = (n) => Number(n).toLocaleString("en");
const fill = (id, head, rows, empty) => {
  const table = document.getElementById(id);
  const line = (cells, name) => {
    const tr = element("tr");
    for (const [text, kind] of cells) tr.append(element(name, text, kind));
    return tr;
  };
  table.replaceChildren(
    rows.length ? line(head, "th") : line([[empty, "faint"]], "td"),
    ...rows.map((cells) => line(cells, "td")),
  );
};
const show = (s, { letters: dead }) => {
  const state = document.getElementById("state");
  state.textContent = s.queue.writable ? "takes messages" : `cannot keep messages: ${s.queue.trouble}`;
  state.className = s.queue.writable ? "good" : "bad";
  const inLine = s.provisioning.filter((p) => p.denies_many || p.under_way + p.waiting + p.waiting_ahead > 0);
  const numbers = [
    ["delivered", s.recent.delivered], ["waiting", s.queue.waiting], ["being sent", s.queue.leased],
    ["dead letters", s.queue.dead_letters], ["kept events", s.queue.kept],
    ["devices assigned", s.devices_assigned], ["registering", inLine.reduce((sum, p) => sum + p.under_way + p.waiting + p.waiting_ahead, 0)],
  ];
  document.getElementById("numbers").replaceChildren(...numbers.map(([name, n]) => {
    const li = element("li");
    li.append(element("b", number(n)), element("span", name));
    return li;
  }));
  const links = (n) => [n === undefined ? "" : number(n), "n"];
  fill("hubs", [["hub"], ["over"], ["state"], ["connections", "n"], ["attached", "n"], ["attaching", "n"], ["unsettled", "n"],
    ["devices resting", "n"]], s.hubs.map((h) => [
    [h.hub], [h.transport], [h.refuses_many ? "refuses many devices" : h.open ? "works" : "down", h.open && !h.refuses_many ? "good" : "bad"], links(h.connections), links(h.attached),
    links(h.opening), links(h.unsettled), [number(h.resting), "n"]]), "none used yet");
  document.getElementById("new").hidden = inLine.length === 0;
  fill("provisioning", [["scope"], ["state"], ["with messages", "n"], ["ahead of any", "n"], ["being registered", "n"], ["done", "n"],
    ["a minute", "n"], ["left", "n"]], inLine.map((p) => [
    [p.scope], [p.denies_many ? "denies many devices" : p.works ? "works" : "down", p.works && !p.denies_many ? "good" : "bad"], [number(p.waiting), "n"], [number(p.waiting_ahead), "n"],
    [number(p.under_way), "n"], [number(p.done), "n"], [p.per_minute ? number(p.per_minute) : "no limit", "n"],
    [p.seconds_left === null ? "" : `${number(p.seconds_left)} s`, "n"]]), "none");
  fill("devices", [["device"], ["goes to"], ["delivered", "n"], ["last took", "n"]],
    Object.entries(s.recent.devices ?? {}).slice(0, 200).map(([from, d]) => [
      [from], [d.to], [number(d.delivered), "n"], [`${d.waited_ms} ms`, "n"]]), "none yet");
  fill("dead", [["position", "n"], ["reason"], ["detail"], ["what can be done"], ["from"]], dead.slice(-50).reverse().map((d) => [
    [d.seq, "n"], [d.reason], [d.detail], [d.mend], [d.lane]]), "none");
  fill("messages", [["from"], ["took", "n"], ["body"]], s.recent.messages.map((m) => [
    [m.from], [`${m.waited_ms} ms`, "n"], [m.body, "body"]]), "none yet");
};
const read = async (path) => (await fetch(path)).json();
const turn = async () => {
  try {
    show(await read("/api/v1/snapshot"), await read("/api/v1/dead-letters"));
  } catch (e) {
    const state = document.getElementById("state");
    state.textContent = `longhaul does not answer: ${e.message}`;
    state.className = "bad";
  }
  setTimeout(turn, 1000);
};
turn();
