// The simulator's control API, as docs/azure-sim.md has it.
"use strict";

const http = require("node:http");
const { page } = JSON.parse(process.env.AZURE_SIM);

function ask(method, path, body) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: "127.0.0.1", port: page, method, path, headers: { host: "localhost" } }, (response) => {
      let text = "";
      response.on("data", (piece) => (text += piece)).on("end", () => {
        if (response.statusCode === 200) resolve(JSON.parse(text));
        else reject(new Error(`${method} ${path}: ${response.statusCode} ${text}`));
      });
    });
    request.on("error", reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

const switchOn = (faults) => ask("POST", "/api/faults", faults);
const forward = (seconds) => ask("POST", "/api/clock", { forward_s: seconds });
const toDevice = (id, what) => ask("POST", `/api/devices/${encodeURIComponent(id)}/${what}`);
const move = (id, hub) => ask("POST", `/api/registrations/${encodeURIComponent(id)}/move`, { hub });
// How many messages of this device are on record, of the last fifty of all.
const recorded = async (id) => (await ask("GET", "/api/state")).messages.filter((message) => message.device_id === id).length;

module.exports = { forward, move, recorded, switchOn, toDevice };
