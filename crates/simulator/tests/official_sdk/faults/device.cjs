// What azure-iot-device shows of faults, over each of its transports.
"use strict";

const { toDevice } = require("./control.cjs");
const {
  accounts, asksForTwin, connected, cutOff, gone, holding, late, listens, opens, reports, sending, sends, settlesLate, silently,
  stolen, unheard, withKey, withOldToken,
} = require("./device_acts.cjs");
const { but, hidden, nothing } = require("./meet.cjs");
const { transports } = require("../cells/device.cjs");
const { keyOf } = require("../cells/site.cjs");

const NOT_AUTHORIZED = /^UnauthorizedError: .*Connection refused: Not authorized/;
const CLOSED = /^NotConnectedError: Connection to the server has been closed/;
const SILENCE = /^nothing within 3 s$/;
const SAME = "CONNACK 5 is all that it is told";
const NO_REASON = but(CLOSED, "MQTT has no words for the reason");
const TOKEN = "to this SDK any refused token is unauthorized";
const FORBIDDEN = "to this SDK any 403 is the quota";
const WORDS = "status and number are lost, the service's words are left";
const LOCAL = "the SDK says so itself, nothing is sent";
const AFTER_45_S = "this SDK waits for answers on a connection that was closed in words, 45 s and longer";

const http = (error, code) => new RegExp(`^${error}: .*\\[HTTP ${code}\\]`);
const amqp = (error, carried) => new RegExp(`^${error}: .*\\[AMQP ${carried}\\]`);

// The fault is there before the client; or it comes when the client is connected.
const atFirst = (act, says) => ({ act, says });
const afterwards = (act, says) => ({ begin: connected, act, says });

const faults = {
  "wrong signature": atFirst((at) => opens(at, withKey(at, keyOf("another"))), {
    http: http("UnauthorizedError", "401, IotHubUnauthorized"),
    amqp: /^UnauthorizedError: .*invalid signature/,
    mqtt: but(NOT_AUTHORIZED, SAME),
  }),
  "token expired": atFirst((at) => opens(at, withOldToken(at)), {
    http: http("UnauthorizedError", "401, IotHubUnauthorized"),
    amqp: /^UnauthorizedError: .*expired/,
    mqtt: but(NOT_AUTHORIZED, SAME),
  }),
  "device unknown": { makes: false, act: opens, says: {
    http: http("DeviceNotFoundError", 404),
    amqp: hidden(/^UnauthorizedError: .*not registered/, TOKEN),
    mqtt: hidden(NOT_AUTHORIZED, SAME),
  } },
  "device disabled": { begin: (at) => toDevice(at.id, "disable"), act: opens, says: {
    http: hidden(http("IotHubQuotaExceededError", "403, DeviceDisabled"), FORBIDDEN),
    amqp: /^UnauthorizedError: .*is disabled/,
    mqtt: hidden(NOT_AUTHORIZED, SAME),
  } },
  "device disabled while connected": afterwards(gone, {
    http: hidden(http("IotHubQuotaExceededError", "403, DeviceDisabled"), FORBIDDEN),
    amqp: but(/^NotConnectedError: Remote link closed/, "the hub does not say why"),
    mqtt: NO_REASON,
  }),
  "device disabled while connected, older gateway": afterwards(gone, { amqp: but(/^NotConnectedError: Remote link closed/, "the hub does not say why") }),
  "device deleted while connected": afterwards(gone, {
    http: http("DeviceNotFoundError", 404),
    amqp: amqp("DeviceNotFoundError", "amqp:not-found, 404001"),
    mqtt: NO_REASON,
  }),
  "token runs out while connected": afterwards(gone, {
    http: http("UnauthorizedError", "401, IotHubUnauthorized"),
    amqp: amqp("UnauthorizedError", "amqp:unauthorized-access"),
    mqtt: NO_REASON,
  }),
  "another connection took the device": afterwards(stolen, {
    amqp: amqp("Error", "amqp:link:stolen, 400027"),
    mqtt: NO_REASON,
  }),
  "throttled at the door": atFirst(opens, {
    http: http("Error", "429, ThrottlingException"),
    amqp: hidden(/^UnauthorizedError: .*throttled/, TOKEN),
    mqtt: /^ServiceUnavailableError: .*Server unavailable/,
  }),
  "message throttled": afterwards(sends, {
    http: http("Error", "429, ThrottlingException"),
    amqp: amqp("ThrottlingError", "com.microsoft:device-container-throttled, 429001"),
    mqtt: NO_REASON,
  }),
  "backlog of throttled messages full": afterwards(sends, {
    http: http("Error", "429, ThrottleBacklogLimitExceeded"),
    amqp: amqp("ThrottlingError", "com.microsoft:device-container-throttled, 429002"),
    mqtt: NO_REASON,
  }),
  "daily quota used up": afterwards(accounts, {
    http: /^IotHubQuotaExceededError: .*HTTP 403.*not recorded/,
    amqp: /^IotHubQuotaExceededError: .*amqp:resource-limit-exceeded, 403002.*not recorded/,
    mqtt: /^success; the message is not recorded/,
  }),
  "hub suspended": atFirst(opens, {
    http: hidden(http("IotHubQuotaExceededError", "403, IotHubSuspended"), FORBIDDEN),
    amqp: amqp("IoTHubSuspendedError", "com.microsoft:iot-hub-suspended, 403001"),
    mqtt: hidden(NOT_AUTHORIZED, SAME),
  }),
  "hub gone": atFirst(opens, {
    http: http("UnauthorizedError", "401, IotHubNotFound"),
    amqp: /^UnauthorizedError: /,
    mqtt: hidden(NOT_AUTHORIZED, SAME),
  }),
  "hub gone while connected": afterwards(sends, {
    http: http("UnauthorizedError", "401, IotHubNotFound"),
    amqp: amqp("IotHubNotFoundError", "com.microsoft:iot-hub-not-found-error, 401001"),
    mqtt: NO_REASON,
  }),
  "hub unavailable": atFirst(cutOff, {
    http: http("ServiceUnavailableError", 503),
    amqp: hidden(SILENCE, AFTER_45_S),
    mqtt: /^ServiceUnavailableError: .*Server unavailable/,
  }),
  "hub closes connections": atFirst(opens, {
    http: /^Error: socket hang up/,
    amqp: /^ServiceUnavailableError: Sender Link Detached/,
    mqtt: hidden(/^UnauthorizedError: .*Unable to establish a connection/, "to this SDK any connection that cannot begin is unauthorized"),
  }),
  "hub silent": afterwards(unheard, { http: SILENCE, amqp: SILENCE, mqtt: SILENCE }),
  "hub slow": afterwards(late, { http: /^success: late/, amqp: /^success: late/, mqtt: /^success: late/ }),
  "answer lost": afterwards(accounts, {
    http: /^Error: socket hang up; the message is recorded/,
    amqp: /^NotConnectedError: .*; the message is recorded/,
    mqtt: /^NotConnectedError: .*; the message is recorded/,
  }),
  "internal error": afterwards(sends, {
    http: http("InternalServerError", 500),
    amqp: amqp("InternalServerError", "amqp:internal-error, 500001"),
    mqtt: NO_REASON,
  }),
  "server busy": afterwards(gone, { amqp: amqp("ServiceUnavailableError", "amqp:link:detach-forced, 503001") }),
  "hub timed out": afterwards(sends, {
    http: http("InternalServerError", "500, GenericTimeout"),
    amqp: amqp("ServiceUnavailableError", "com.microsoft:timeout, 500008"),
    mqtt: NO_REASON,
  }),
  "operation not allowed": afterwards(sends, {
    http: http("ArgumentError", "400, InvalidOperation"),
    amqp: amqp("InvalidOperationError", "amqp:not-allowed, 400003"),
    mqtt: NO_REASON,
  }),
  "message released": afterwards(accounts, {
    amqp: hidden(/^success; the message is not recorded/, "to this SDK an outcome without an error is success"),
  }),
  "message modified": afterwards(silently, {
    amqp: hidden(/^success; the message is not recorded/, "to this SDK an outcome without an error is success"),
  }),
  "message not answered": afterwards(silently, {
    amqp: /^nothing within 3 s; the message is recorded/,
    mqtt: /^nothing within 3 s; the message is recorded/,
  }),
  "link creation conflict": afterwards(gone, { amqp: amqp("Error", "com.microsoft:link-creation-conflict, 409002") }),
  "link redirected": afterwards(gone, { amqp: amqp("Error", "amqp:link:redirect") }),
  "session ended": afterwards(gone, { amqp: amqp("Error", "amqp:session:window-violation") }),
  "connection closed in words": afterwards((at) => nothing(at.gone), { amqp: hidden(SILENCE, AFTER_45_S) }),
  "token answered 500": atFirst(opens, { amqp: hidden(/^UnauthorizedError: busy/, TOKEN) }),
  "protocol version refused": atFirst(opens, { mqtt: /^NotImplementedError: .*Unacceptable protocol version/ }),
  "client id refused": atFirst(opens, { mqtt: /^UnauthorizedError: .*Identifier rejected/ }),
  "user name refused": atFirst(opens, { mqtt: /^UnauthorizedError: .*Bad username or password/ }),
  "argument refused": afterwards(sends, { amqp: amqp("ArgumentError", "com.microsoft:argument-error, 400004") }),
  "argument out of range": afterwards(sends, { amqp: amqp("ArgumentOutOfRangeError", "com.microsoft:argument-out-of-range, 400005") }),
  "not implemented": afterwards(sends, { amqp: amqp("NotImplementedError", "amqp:not-implemented") }),
  "connections reset": afterwards(gone, {
    amqp: /^NotConnectedError: /,
    Mqtt: /^Error: read ECONNRESET/,
    MqttWs: CLOSED,
  }),
  "connections silent and open": afterwards(unheard, { amqp: SILENCE, mqtt: SILENCE }),
  "message of 300 000 bytes": afterwards(sending(300_000), {
    http: http("MessageTooLargeError", 413),
    amqp: amqp("MessageTooLargeError", "amqp:link:message-size-exceeded, 413001"),
    mqtt: but(/^MessageTooLargeError: /, LOCAL),
  }),
  "message of 2 000 000 bytes": afterwards(sending(2_000_000), {
    http: http("MessageTooLargeError", 413),
    amqp: amqp("MessageTooLargeError", "amqp:link:message-size-exceeded"),
    mqtt: but(/^MessageTooLargeError: /, LOCAL),
  }),
  "reported properties too large": afterwards(reports, {
    amqp: but(/^Error: .*larger than 32768 bytes/, WORDS),
    mqtt: but(/^Error: .*larger than 32768 bytes/, WORDS),
  }),
  "twin asked for, throttled": afterwards(asksForTwin, {
    amqp: but(/^Error: .*throttled/, WORDS),
    mqtt: but(/^Error: .*throttled/, WORDS),
  }),
  "messages listened for, unauthorized": afterwards(listens, {
    http: hidden(SILENCE, "the SDK goes on asking for messages"),
    amqp: amqp("UnauthorizedError", "amqp:unauthorized-access, 401003"),
  }),
  "lock of a message to the device lost": { begin: holding, act: settlesLate, says: {
    http: http("Error", "412, DeviceMessageLockLost"),
    amqp: but(/^success: it comes again/, "the SDK settles by itself and asks for no answer"),
  } },
};

const room = { sdks: { "azure-iot-device": transports }, faults };

module.exports = { room };
