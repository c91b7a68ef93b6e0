// Events that the server sends, as long as it can; after that again and again. Over `fetch`, which says why it was refused.

const AGAIN_MS = [500, 1000, 2000, 5000, 10000];
// Ticks come each second: so much silence is none.
const SILENCE_MS = 6000;

const pause = (ms, signal) => new Promise((done) => {
  const timer = setTimeout(done, ms);
  signal.addEventListener("abort", () => { clearTimeout(timer); done(); }, { once: true });
});

// The lines of one event.
const event = (block) => {
  let name = "message";
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
  return data.length ? { name, data: JSON.parse(data.join("\n")) } : null;
};

const listen = async (path, tell, opened, signal) => {
  const cut = new AbortController();
  const end = () => cut.abort();
  signal.addEventListener("abort", end, { once: true });
  let silence = setTimeout(end, SILENCE_MS);
  try {
    const response = await fetch(path, { signal: cut.signal, cache: "no-store", headers: { accept: "text/event-stream" } });
    if (!response.ok) {
      const problem = await response.json().catch(() => ({}));
      throw new Error(problem.detail ?? `HTTP ${response.status}`);
    }
    opened();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(silence);
      silence = setTimeout(end, SILENCE_MS);
      const blocks = (rest + value.replaceAll("\r\n", "\n")).split("\n\n");
      rest = blocks.pop();
      for (const one of blocks.map(event).filter(Boolean)) tell(one.name, one.data);
    }
  } finally {
    clearTimeout(silence);
    signal.removeEventListener("abort", end);
  }
};

const hidden = (signal) => new Promise((done) => {
  if (!document.hidden) return done();
  const look = () => { if (!document.hidden) { document.removeEventListener("visibilitychange", look); done(); } };
  document.addEventListener("visibilitychange", look);
  signal.addEventListener("abort", done, { once: true });
});

// Calls `tell(name, data)` for each event and `state("live" | "lost", why)` when that changes. A page that nobody sees does not
// listen: places are few.
export const live = async (path, tell, state, signal) => {
  let failures = 0;
  while (!signal.aborted) {
    await hidden(signal);
    const round = new AbortController();
    const leave = () => { if (document.hidden || signal.aborted) round.abort(); };
    document.addEventListener("visibilitychange", leave);
    signal.addEventListener("abort", leave, { once: true });
    let why = "the server ended it";
    try {
      await listen(path, tell, () => { failures = 0; state("live"); }, round.signal);
    } catch (error) {
      why = error.name === "AbortError" ? "nothing comes" : error.message;
    }
    document.removeEventListener("visibilitychange", leave);
    signal.removeEventListener("abort", leave);
    if (signal.aborted) return;
    if (document.hidden) continue;
    state("lost", why);
    await pause(AGAIN_MS[Math.min(failures, AGAIN_MS.length - 1)], signal);
    failures += 1;
  }
};
