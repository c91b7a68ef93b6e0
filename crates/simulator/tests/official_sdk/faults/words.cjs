// An error in the SDK's words, and what of the wire it still carries: AMQP's condition, HTTP's status, the service's code.
"use strict";

const { told } = require("../cells/harness.cjs");

// The service's own code, where its JSON is still there.
function codeIn(text) {
  const found = /"errorCode"\s*:\s*(\d+)|ErrorCode:(\w+)/i.exec(typeof text === "string" ? text : JSON.stringify(text || ""));
  return found && (found[1] || found[2]);
}

// So deep errors lie in each other.
const DEPTH_MAX = 3;

function carried(error, depth = DEPTH_MAX) {
  if (!error || typeof error !== "object" || depth === 0) return [];
  const { condition, description, amqpError, innerError, transportError, response, responseBody, result, statusCode, info } = error;
  const status = statusCode || (response && (response.statusCode || response.status));
  const inner = [amqpError, innerError, transportError].filter((one) => one && one !== error);
  return [
    condition && `AMQP ${condition}`,
    status && `HTTP ${status}`,
    // Of Event Hubs' SDK, in place of the condition.
    error.name === "MessagingError" && error.code,
    info && info.address && "address of another endpoint",
    codeIn(responseBody) || codeIn(description) || codeIn(result) || (response && response.headers && response.headers["iothub-errorcode"]),
    ...inner.flatMap((one) => [!one.condition && typeof one.message === "string" && told(one), ...carried(one, depth - 1)]),
  ].filter((word, nth, all) => word && all.indexOf(word) === nth);
}

// Class and text, then in brackets what it carries beside them.
function words(error) {
  if (!error) return "classless: nothing at all";
  // Where there is no class, `told` puts the condition.
  const text = told(error).replace(new RegExp(`^${error.condition}`), "classless");
  const more = carried(error).filter((word) => !text.includes(word.replace(/^\w*Error: /, "")));
  return more.length > 0 ? `${text} [${more.join(", ")}]` : text;
}

module.exports = { words };
