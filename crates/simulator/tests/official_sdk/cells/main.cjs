// All cells of Microsoft's SDKs for Node: prints one line of JSON for each.
"use strict";

const { run } = require("./harness.cjs");
const { Site } = require("./site.cjs");

async function main() {
  const site = new Site();
  await site.start();
  const parts = ["device", "module", "provisioning", "service", "events"].flatMap((name) => require(`./${name}.cjs`).parts(site));
  for (const line of await run(parts)) process.stdout.write(JSON.stringify(line) + "\n");
}

// Left and not closed: some SDKs keep timers for the next token. A pipe takes 64 KiB: the rest has to be out first.
main().then(() => process.stdout.write("", () => process.exit()), (error) => {
  process.stderr.write(`${error.stack}\n`, () => process.exit(1));
});
