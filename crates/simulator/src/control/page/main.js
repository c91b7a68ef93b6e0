// The simulator's page: which view is at which address.

import { get } from "/kit/api.js";
import { every, trouble, view } from "/kit/parts.js";
import { route } from "/kit/route.js";
import { shell } from "/kit/shell.js";
import { setNow } from "/kit/words.js";

const VIEWS = [["", "Overview"], ["devices", "Devices"], ["telemetry", "Telemetry"]];

const find = async ([name = "overview", ...more]) => {
  if (name === "devices" && more.length === 2) return import("/page/device.js");
  const isKnown = name === "overview" || VIEWS.some(([path]) => path === name);
  if (!isKnown || more.length) return { show: () => view("Nothing here", trouble({ title: "", message: "No view has this address." })) };
  return import(`/page/${name}.js`);
};

const frame = shell({ name: "azure-sim", of: "DPS and IoT Hub on this machine", views: VIEWS });
route(frame.main, find, frame.named, (error) => view("Not shown", trouble(error, () => location.reload())));

// The simulator's own clock may have been put forward.
every(2000, async () => {
  try {
    setNow((await get("/api/overview")).now_ms);
    frame.state("live", "live");
  } catch (error) { frame.state("lost", `no connection: ${error.message}`); }
}, new AbortController().signal);
