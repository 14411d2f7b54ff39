// Everything that turns facts into words: states, times, sizes, names. Pure; no DOM.

// Troubled ones first: the order of legends, of groups and of sorting by state.
export const STATES = {
  failed: "restarted too often; parked until its config changes or a command starts it",
  blacklisted: "died before it was loyal; started again after a delay",
  exiled: "went away for good; stays so until its config changes or a command starts it",
  stopping: "on its way out",
  starting: "its process is coming up",
  reloading: "taking its new config",
  queued: "waiting for its turn to start",
  up: "running and ready",
  "on demand": "waiting for its first connection",
  stopped: "stopped by a command, until it is started",
};
export const STATE_ORDER = Object.keys(STATES);
export const TROUBLED = new Set(["failed", "blacklisted", "exiled"]);

const rank = new Map(STATE_ORDER.map((state, index) => [state, index]));
export const rankOf = (state) => rank.get(state) ?? STATE_ORDER.length;

/** A class name of a state: `on demand` is `on-demand`; one that this page doesn't know is `unknown`. */
export const classOf = (state) => (rank.has(state) ? state.replaceAll(" ", "-") : "unknown");

/** `5 s`, `3 min 20 s`, `2 h 5 min`, `12 d 3 h`. */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return pair(whole, 60, "min", 1, "s");
  if (whole < 86400) return pair(whole, 3600, "h", 60, "min");
  return pair(whole, 86400, "d", 3600, "h");
}

function pair(whole, large, one, small, other) {
  const rest = Math.floor((whole % large) / small);
  return rest ? `${Math.floor(whole / large)} ${one} ${rest} ${other}` : `${Math.floor(whole / large)} ${one}`;
}

export function bytes(size) {
  if (size < 1024) return `${size} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = size / 1024;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** A share of one processor: `0.4 %`, `120 %`. */
export const percent = (share) => `${share * 100 < 10 ? (share * 100).toFixed(1) : Math.round(share * 100)} %`;

export const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", {
  year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
});
export const timeOfDay = (at) => clock.format(at * 1000);
export const moment = (at) => day.format(at * 1000);

/** What a stranger named, fit to be shown: characters that show nothing, or turn lines around, are written out. */
export function shown(text) {
  return text
    .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\u200b-\u200f]/g, (c) =>
      c < "\u0100" ? `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}` : `\\u${c.charCodeAt(0).toString(16)}`)
    .replace(/[\ud800-\udfff]/gu, (c) =>
      c >= "\udc80" && c <= "\udcff" ? `\\x${(c.charCodeAt(0) - 0xdc00).toString(16)}` : "\ufffd");
}

/** A vassal's name as its emperor logs it: zergs carry their number. */
export const nameOf = (vassal) => shown(vassal.name) + (vassal.ordinal ? `:zerg#${vassal.ordinal}` : "");

/** How often its process was replaced, for whatever reason. */
export const restartsOf = (vassal) => Math.max(vassal.generation - 1, 0);

/** Why a vassal is where it is: "" where there is nothing to say. */
export function why(vassal, now) {
  if (vassal.held) return shown(vassal.held);
  const parts = [];
  if (vassal.next_spawn > now) parts.push(`next start in ${duration(Math.ceil(vassal.next_spawn - now))}`);
  else if (vassal.state === "blacklisted") parts.push("starts any moment");
  if (vassal.cursed_at && vassal.pid) parts.push("cursed");
  if (vassal.reason) parts.push(shown(vassal.reason));
  else if (vassal.state === "on demand" && vassal.on_demand) parts.push(`waits on ${shown(vassal.on_demand)}`);
  if (["blacklisted", "failed", "queued"].includes(vassal.state) && vassal.exit_code !== null && !vassal.reason) {
    parts.push(`last ended with ${ending(vassal.exit_code)}`);
  }
  return parts.join("; ");
}

export const ending = (code) => (code < 0 ? `signal ${-code}` : `exit code ${code}`);

// --- addresses of this page ------------------------------------------------------------------------------------------

const utf8 = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** As `encodeURIComponent`, but for names that are no UTF-8: their bytes come as surrogates, and go as bytes. */
export function encodePart(text) {
  return text
    .split(/([\udc80-\udcff])/u)
    .map((part, index) => (index % 2 ? `%${(part.charCodeAt(0) - 0xdc00).toString(16).toUpperCase()}`
      : encodeURIComponent(part.toWellFormed ? part.toWellFormed() : part)))
    .join("");
}

export function decodePart(text) {
  return text.replace(/(?:%[0-9a-fA-F]{2})+/g, (run) => {
    const raw = Uint8Array.from(run.slice(1).split("%"), (pair) => Number.parseInt(pair, 16));
    let decoded = "";
    for (let at = 0; at < raw.length; ) {
      const length = [1, 2, 3, 4].find((size) => at + size <= raw.length && isText(raw.subarray(at, at + size)));
      decoded += length ? strict.decode(raw.subarray(at, at + length)) : String.fromCharCode(0xdc00 + raw[at]);
      at += length ?? 1;
    }
    return decoded;
  });
}

function isText(part) {
  try {
    strict.decode(part);
    return true;
  } catch {
    return false;
  }
}

export const linkTo = (vassal) =>
  `#/vassal/${encodePart(vassal.monitor)}/${encodePart(vassal.name)}${vassal.ordinal ? `/${vassal.ordinal}` : ""}`;

/** The vassal that an address names, `null` where it names none. */
export function linked(hash) {
  const found = /^#\/vassal\/([^/]*)\/([^/]+)(?:\/(\d{1,9}))?$/.exec(hash);
  return found && { monitor: decodePart(found[1]), name: decodePart(found[2]), ordinal: Number(found[3] ?? 0) };
}

/** A token as it may stand in the name of a websocket's subprotocol. */
export const tokenProtocol = (token) =>
  `emperor-trio.token.${btoa(String.fromCharCode(...utf8.encode(token)))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
