// The bridge's page: which view is at which address, and what every view shows.

import { get } from "/kit/api.js";
import { trouble, view } from "/kit/parts.js";
import { route } from "/kit/route.js";
import { shell } from "/kit/shell.js";
import { count } from "/kit/words.js";
import { pulse } from "./pulse.js";

const VIEWS = [
  ["", "Overview"], ["devices", "Devices"], ["messages", "Messages"], ["dead-letters", "Dead letters"], ["targets", "Targets"],
  ["map", "Map"], ["alarms", "Alarms"], ["configuration", "Configuration"],
];
// The same addresses with more behind them.
const ONE = { devices: [4, "device"], messages: [2, "message"], "dead-letters": [2, "dead-letter"] };

const find = async (parts) => {
  const [name = "overview"] = parts;
  const [length, one] = ONE[name] ?? [1, null];
  const isKnown = name === "overview" || VIEWS.some(([path]) => path === name);
  if (!isKnown || (parts.length > 1 && parts.length !== length)) {
    return { show: () => view("Nothing here", trouble({ title: "", message: "No view has this address; the views are on the left." })) };
  }
  return import(`/page/${parts.length > 1 ? one : name}.js`);
};

const frame = shell({ name: "longhaul", of: "", views: VIEWS });
route(frame.main, find, frame.named, (error) => view("Not shown", trouble(error, () => location.reload())));

pulse((state, why) => frame.state(state, state === "live" ? "live" : `no connection: ${why}`), (tick) => {
  frame.mark("dead-letters", tick.dead_letters ? count(tick.dead_letters) : "");
  frame.mark("alarms", tick.alarms_active ? count(tick.alarms_active) : "", "bad");
});

get("/api/v1/snapshot").then((snapshot) => {
  frame.of([snapshot.version && `version ${snapshot.version}`, snapshot.role && `role ${snapshot.role}`].filter(Boolean).join(", "));
}).catch(() => { /* the view says it */ });
