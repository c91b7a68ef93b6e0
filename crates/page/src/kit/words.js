// Numbers, times and sizes as people read them.

const grouped = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const NONE = "–";
const known = (n) => n !== null && n !== undefined && Number.isFinite(Number(n));

export const count = (n) => (known(n) ? grouped.format(n) : NONE);
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${Number(n) === 1 ? one : many}`;

export const decimal = (n, digits = 1) => (known(n) ? Number(n).toFixed(digits) : NONE);

// Few digits, for axes: 1.5k, 20M.
export const short = (n) => {
  const size = Math.abs(n);
  for (const [unit, of] of [["G", 1e9], ["M", 1e6], ["k", 1e3]]) if (size >= of) return `${Number((n / of).toPrecision(3))}${unit}`;
  return String(Number(n.toPrecision(3)));
};

export const bytes = (n) => {
  if (!known(n)) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  for (n = Number(n); n >= 1024 && at < units.length - 1; n /= 1024) at += 1;
  return `${at === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[at]}`;
};

export const duration = (ms) => {
  if (!known(ms)) return NONE;
  const sign = ms < 0 ? "-" : "";
  ms = Math.abs(ms);
  if (ms < 1000) return `${sign}${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 10) return `${sign}${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${sign}${Math.round(seconds)} s`;
  const steps = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = steps.findIndex(([, size]) => seconds >= size);
  const [large, small] = [steps[first], steps[first + 1]];
  const rest = Math.floor((seconds % large[1]) / small[1]);
  return `${sign}${Math.floor(seconds / large[1])} ${large[0]}${rest ? ` ${rest} ${small[0]}` : ""}`;
};

const two = (n) => String(n).padStart(2, "0");
export const clock = (at) => {
  const d = new Date(at);
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
};
export const date = (at) => {
  const d = new Date(at);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
};

// The server's clock counts: a browser's may be off.
let ahead = 0;
export const now = () => Date.now() + ahead;
export const setNow = (at) => { if (known(at)) ahead = at - Date.now(); };

export const ago = (at) => {
  const passed = now() - at;
  if (passed >= 0) return passed < 1500 ? "now" : `${duration(passed < 60000 ? Math.round(passed / 1000) * 1000 : passed)} ago`.replace(".0 s", " s");
  return `in ${duration(-passed)}`;
};
