// All faults of list.json as Microsoft's SDKs for Node show them: prints one line of JSON for each SDK and transport that meets
// one.
"use strict";

const { meetAll } = require("./meet.cjs");
const { Site } = require("../cells/site.cjs");
const list = require("./list.json");

async function main() {
  // Not started: its own reader of events would meet the faults too.
  const site = new Site();
  const rooms = Object.fromEntries(["device", "provisioning", "service", "events"].map((of) => [of, require(`./${of}.cjs`).room]));
  for (const line of await meetAll(site, list, rooms)) process.stdout.write(JSON.stringify(line) + "\n");
}

// Left and not closed: clients whose connections went silent wait for minutes. A pipe takes 64 KiB: the rest has to be out first.
main().then(() => process.stdout.write("", () => process.exit()), (error) => {
  process.stderr.write(`${error.stack}\n`, () => process.exit(1));
});
