// Questions to the server that the page came from. What goes wrong is thrown as a Problem.

export class Problem extends Error {
  constructor(status, title, detail) {
    super(detail || title || `HTTP ${status}`);
    Object.assign(this, { status, title });
  }
}

const read = async (response) => {
  const text = await response.text();
  let body = null;
  try { body = JSON.parse(text); } catch { /* no JSON */ }
  if (response.ok) return body;
  const detail = body?.detail ?? body?.Message ?? text.slice(0, 300);
  throw new Problem(response.status, body?.title ?? "", detail);
};

const ask = async (path, options) => {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "no_answer", "The server does not answer.");
  }
  return read(response);
};

// Values that are empty are left out.
export const address = (path, query = {}) => {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return pairs.length ? `${path}?${new URLSearchParams(pairs)}` : path;
};

export const get = (path, query, signal) => ask(address(path, query), { signal });

export const post = (path, body = {}, signal) =>
  ask(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal });

// A path of parts that may have any characters.
export const below = (root, ...parts) => [root, ...parts.map(encodeURIComponent)].join("/");
