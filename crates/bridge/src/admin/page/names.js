// Devices, hubs and messages as they are written everywhere on the page.

import { h, plain, said } from "/kit/element.js";
import { to } from "/kit/route.js";

export const deviceAt = ({ network, application, device }) => to(["devices", network, application, device]);

export const deviceLink = (of) => of.device
  ? h("a", { href: deviceAt(of), title: plain(`${of.network}/${of.application}/${of.device}`) }, said(of.device, { max: 48 }))
  : h("span", { class: "faint" }, "no device");

export const messageLink = (id, text = id) => h("a", { href: to(["messages", String(id)]) }, said(text, { max: 40 }));

export const mono = (text, max = 80) => text === null || text === undefined ? h("span", { class: "faint" }, "–") : h("span", { class: "mono" }, said(text, { max }));

// A hub's host name says all in its first word; the whole is in the title.
export const hubName = (hub) => hub ? h("span", { class: "mono", title: plain(hub) }, said(String(hub).split(".")[0], { max: 40 })) : h("span", { class: "faint" }, "–");

// A received signal as people judge it: from -120 dBm (hardly) to -60 (beside the gateway), in five steps.
export const signalStep = (dbm) => (dbm === null || dbm === undefined ? null : Math.max(0, Math.min(4, Math.floor((Number(dbm) + 120) / 12))));
export const SIGNAL_STEPS = ["below -108", "-108 to -96", "-96 to -84", "-84 to -72", "above -72"];

export const signal = (radio) => {
  if (!radio || radio.rssi_dbm === null || radio.rssi_dbm === undefined) return h("span", { class: "faint" }, "–");
  const step = signalStep(radio.rssi_dbm);
  const bars = h("span", { class: `bars s${step}`, "aria-hidden": "true" }, [0, 1, 2, 3, 4].map((n) => h("i", { class: n <= step ? "on" : null })));
  return h("span", { class: "signal" }, bars, `${radio.rssi_dbm} dBm`);
};
