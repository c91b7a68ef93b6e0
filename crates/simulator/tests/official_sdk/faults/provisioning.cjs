// What azure-iot-provisioning-device shows of faults. It repeats some requests by itself, which nothing switches off: what it
// was told first is heard at its transport.
"use strict";

const { ProvisioningDeviceClient } = require("azure-iot-provisioning-device");
const { SymmetricKeySecurityClient } = require("azure-iot-security-symmetric-key");
const { move } = require("./control.cjs");
const { but, hidden, nothing } = require("./meet.cjs");
const { packages, transports } = require("../cells/provisioning.cjs");
const { keyOf } = require("../cells/site.cjs");

// Two answers at least, of 1.5 s each.
const SLOW_MS = 3_000;

// The asks of one registration, with what the state machine of the SDK makes of each answer.
function heard(transport, onAsk) {
  for (const call of ["registrationRequest", "queryOperationStatus"]) {
    const ask = transport[call].bind(transport);
    transport[call] = (...request) => {
      const done = request.pop();
      const begun = Date.now();
      ask(...request, (error, result, response, pause) => {
        onAsk({ call, begun, error, status: result && result.status, pause });
        done(error, result, response, pause);
      });
    };
  }
  return transport;
}

function create(at, key = keyOf(at.id), onAsk = () => {}) {
  const transport = heard(new packages[at.transport](), onAsk);
  const { dps, id_scope: scope } = at.site.started;
  return ProvisioningDeviceClient.create(dps, scope, transport, new SymmetricKeySecurityClient(at.id, key));
}

const told = ({ status, assignedHub }) => `${status}: ${assignedHub}`;
const registers = async (at) => told(await create(at).register());
const withAnotherKey = async (at) => told(await create(at, keyOf("another")).register());
// The SDK for AMQP waits 45 s for answers on a connection that was closed in words.
const cutOff = (at) => (/^Amqp/.test(at.transport) ? nothing(registers(at)) : registers(at));

// Goes on asking; the fault is gone when each has met it.
const asksAgain = (call) => async (at) => {
  const asks = [];
  const onAsk = (ask) => {
    if (ask.call !== call) return;
    asks.push(ask);
    at.met();
  };
  const { status } = await create(at, keyOf(at.id), onAsk).register();
  const [first, second] = asks;
  const waited = second.begun - first.begun >= first.pause - 50;
  return `success: ${first.status}, asks again ${waited ? "" : "before "}after ${first.pause} ms, then ${status}`;
};

async function late(at) {
  const begun = Date.now();
  const { status } = await create(at).register();
  return Date.now() - begun < SLOW_MS ? `${status}: at once` : `${status}: late`;
}

const another = ({ site }, hub) => [site.hub, site.started.more_hubs[0].hub].find((one) => one !== hub);

async function moved(at) {
  const { assignedHub } = await create(at).register();
  const hub = another(at, assignedHub);
  await move(at.id, hub);
  const seen = await create(at).register();
  return seen.assignedHub === hub ? `${seen.status}: the other hub` : told(seen);
}

const http = (error, status, code) => new RegExp(`^${error}: .*\\[HTTP ${status}, ${code}\\]`);
const amqp = (condition, code) => new RegExp(`^classless: .*\\[AMQP ${condition}, ${code}\\]`);
const mqtt = (error, code) => new RegExp(`^${error}: incoming message failure \\[${code}\\]`);
const ASKS = "the SDK asks again by itself and does not show what it was told";
const again = (word, ms) => hidden(new RegExp(`^success: ${word}, asks again after ${ms} ms, then assigned`), ASKS);
const SILENCE = /^nothing within 3 s$/;
const all = (pattern) => ({ http: pattern, amqp: pattern, mqtt: pattern });
const row = (act, says) => ({ makes: false, act, says });

const throttled = (call, word, ms) =>
  row(asksAgain(call), { http: http("ThrottlingError", 429, 429001), amqp: again(word, ms), mqtt: again(word, ms) });
// Of 404 the SDK makes a class over MQTT alone.
const refused = (act, error, status, condition, code) =>
  row(act, {
    http: http(status === 404 ? "Error" : error, status, code),
    amqp: amqp(condition, code),
    mqtt: mqtt(error, code),
  });

const faults = {
  "wrong key": refused(withAnotherKey, "UnauthorizedError", 401, "amqp:unauthorized-access", 401002),
  "not enrolled": refused(registers, "UnauthorizedError", 401, "amqp:unauthorized-access", 401000),
  "not found": refused(registers, "DeviceNotFoundError", 404, "amqp:not-found", 404201),
  "throttled, Retry-After 1": throttled("registrationRequest", "registering", 1000),
  "throttled, no Retry-After": throttled("registrationRequest", "registering", 2000),
  "poll throttled": throttled("queryOperationStatus", "assigning", 1000),
  "device polls too often": throttled("queryOperationStatus", "assigning", 1000),
  "assignment failed": row(registers, all(/^ProvisioningRegistrationFailedError: .*400209\]/)),
  "enrolment disabled": row(registers, all(but(/^SyntaxError: status is disabled/, "the SDK does not know the word"))),
  "internal error": row(asksAgain("registrationRequest"), {
    http: http("InternalServerError", 500, 500001), amqp: again("registering", 2000), mqtt: again("registering", 2000),
  }),
  unavailable: row(cutOff, {
    http: http("ServiceUnavailableError", 503, 503001),
    amqp: hidden(SILENCE, "this SDK waits 45 s for answers on a connection that was closed in words, then says TimeoutError"),
    mqtt: /^Error: Connection refused: Server unavailable/,
  }),
  "closes connections": row(registers, { http: /^Error: socket hang up/, amqp: /^NotConnectedError: /, mqtt: /^NotConnectedError: / }),
  silent: row((at) => nothing(create(at).register()), all(SILENCE)),
  slow: row(late, all(/^assigned: late/)),
  "moved to another hub": row(moved, all(/^assigned: the other hub/)),
};

const room = { sdks: { "azure-iot-provisioning-device": transports }, faults };

module.exports = { room };
