// Which faults are met together, and in which order.
//
// Those that need no switch are met at once; so are those that are switched on with the same words, and refusals, which are for
// devices by name. Provisioning and the hub go wrong each for itself, beside each other. What meets all connections, those of
// provisioning too, or puts the clock forward, comes when the rest is done. Clocks last: the SDKs make their tokens in real time.
"use strict";

const switchOf = ({ set, then }) => set || then;

// {dps: {refuse: […]}} or {hub: {refuse: […]}}, and nothing else.
function refusals(fault) {
  const [[service, faults] = [], ...others] = Object.entries(switchOf(fault) || {});
  return others.length === 0 && service && Object.keys(faults).join() === "refuse" ? faults.refuse : undefined;
}

function keyOf(fault) {
  if (refusals(fault)) return fault.set ? "refusals" : "refusals, then";
  return JSON.stringify([fault.set, fault.then, fault.forward_s]);
}

function groupOf(faults, cellsOf) {
  const cells = faults.flatMap(cellsOf);
  if (!refusals(faults[0])) return { faults, cells, set: switchOf(faults[0]) };
  const refuse = faults.flatMap((fault) => refusals(fault).map((one) => ({ ...one, ids: cellsOf(fault).map(({ at }) => at.id) })));
  return { faults, cells, set: { [Object.keys(switchOf(faults[0]))[0]]: { refuse } } };
}

function groupsOf(faults, cellsOf) {
  const groups = new Map();
  for (const fault of faults) groups.set(keyOf(fault), [...(groups.get(keyOf(fault)) || []), fault]);
  return [...groups.values()].map((group) => groupOf(group, cellsOf));
}

function lanesOf(faults, cellsOf) {
  const isAlone = (fault) => fault.forward_s || /"(all|connack)":/.test(JSON.stringify(switchOf(fault) || {}));
  const laneOf = (fault) => (isAlone(fault) ? "alone" : fault.of === "provisioning" ? "dps" : "hub");
  const lane = (name) => groupsOf(faults.filter((fault) => laneOf(fault) === name), cellsOf);
  const alone = lane("alone").sort((one, other) => (one.faults[0].forward_s || 0) - (other.faults[0].forward_s || 0));
  return { beside: { dps: lane("dps"), hub: lane("hub") }, alone };
}

// A fault that hits the next call is there until each of the clients has met it.
const lasting = (faults) => JSON.parse(JSON.stringify(faults), (key, value) => (key === "when" && value.next ? "always" : value));

module.exports = { lanesOf, lasting };
