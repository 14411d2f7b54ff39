// What this page knows of the empire: messages of the control channel go in, tables come out. Pure; no DOM, no clock.

import { rankOf } from "./words.js";

export const MOST_EVENTS = 1000;

/** One string for one vassal. A monitor's name holds no NUL: it was typed on a command line. */
export const keyOf = (vassal) => `${vassal.ordinal}\0${vassal.monitor}\0${vassal.name}`;

// So that app-9 comes before app-10, with plain comparison, which is ten times as fast as a collator.
const sortable = (name) => name.toLowerCase().replace(/\d+/g, (digits) => digits.padStart(12, "0"));

const byName = (a, b) =>
  a.sort < b.sort ? -1 : a.sort > b.sort ? 1 : a.key < b.key ? -1 : a.key > b.key ? 1 : 0;

/** What changed since it was last asked for. */
class Difference {
  vassals = new Set(); // keys of those that changed, came or went
  membership = false;  // whether any came or went
  monitors = false;
  events = 0;          // new ones, all of which are at the end of the list
  greeting = false;
  whole = false;       // a snapshot replaced everything

  get any() {
    return this.vassals.size > 0 || this.membership || this.monitors || this.events > 0 || this.greeting || this.whole;
  }
}

export class Store {
  greeting = null;
  entries = new Map();  // key → { key, vassal, sort, cpu, memory }
  monitors = new Map(); // name → Monitor
  absent = [];
  events = [];          // oldest first, MOST_EVENTS at most
  totals = new Map();   // state → number
  complete = false;     // whether a whole snapshot has come

  #ordered = [];
  #sorted = true;
  #coming = null;
  #difference = new Difference();
  #skew = null;

  /** All entries by name. The same list until vassals come or go. */
  get ordered() {
    if (!this.#sorted) {
      this.#ordered = [...this.entries.values()].sort(byName);
      this.#sorted = true;
    }
    return this.#ordered;
  }

  /** What changed since the last call. */
  take() {
    const taken = this.#difference;
    this.#difference = new Difference();
    return taken;
  }

  /** The emperor's time, where ours is `local` (both in seconds): its clock may be another one. */
  now(local) {
    return local + (this.#skew ?? 0);
  }

  /** Take one message, which came at `local`. True where it says something new. */
  apply(message, local) {
    if (typeof message.at === "number" && message.type !== "usage") this.#hear(message.at - local);
    switch (message.type) {
      case "greeting":
        this.greeting = message;
        this.#coming = null;
        this.#difference.greeting = true;
        break;
      case "snapshot":
        this.#snapshot(message);
        break;
      case "changes":
        this.#changes(message);
        break;
      case "usage":
        this.#usage(message);
        break;
      case "lagged":
        this.#happened([{
          at: this.now(local), level: "warning", kind: "Lagged", monitor: "", name: "", ordinal: 0, fields: {},
          text: `${message.events} events were dropped here: this page was too slow`,
        }]);
        break;
    }
    return this.#difference.any;
  }

  // Messages are never early: the largest of what is heard is nearest to the truth, unless a clock was set.
  #hear(skew) {
    if (this.#skew === null || skew > this.#skew || this.#skew - skew > 1) this.#skew = skew;
  }

  #snapshot({ vassals, monitors, absent, last }) {
    this.#coming ??= { vassals: new Map(), monitors: new Map(), absent: [] };
    for (const vassal of vassals) this.#coming.vassals.set(keyOf(vassal), vassal);
    for (const monitor of monitors) this.#coming.monitors.set(monitor.name, monitor);
    this.#coming.absent.push(...(absent ?? []));
    if (last) this.#replace();
  }

  #replace() {
    const { vassals, monitors, absent } = this.#coming;
    this.#coming = null;
    for (const key of [...this.entries.keys()]) if (!vassals.has(key)) this.#remove(key);
    for (const [key, vassal] of vassals) this.#put(key, vassal);
    this.monitors = monitors;
    this.absent = absent;
    this.complete = true;
    this.#difference.monitors = true;
    this.#difference.whole = true;
  }

  #changes({ vassals = [], gone = [], monitors = [], events = [] }) {
    if (this.#coming) { // between two parts of a snapshot: the next parts may be older, but never of the same vassal
      for (const vassal of vassals) this.#coming.vassals.set(keyOf(vassal), vassal);
      for (const key of gone) this.#coming.vassals.delete(keyOf(key));
      for (const monitor of monitors) this.#coming.monitors.set(monitor.name, monitor);
    } else {
      for (const vassal of vassals) this.#put(keyOf(vassal), vassal);
      for (const key of gone) this.#remove(keyOf(key));
      for (const monitor of monitors) this.monitors.set(monitor.name, monitor);
      if (monitors.length) this.#difference.monitors = true;
    }
    this.#happened(events);
  }

  #put(key, vassal) {
    const entry = this.entries.get(key);
    if (entry) {
      if (entry.vassal.state !== vassal.state) {
        this.#count(entry.vassal.state, -1);
        this.#count(vassal.state, 1);
      }
      if (entry.vassal.pid !== vassal.pid) entry.cpu = entry.memory = null;
      entry.vassal = vassal;
    } else {
      this.entries.set(key, { key, vassal, sort: sortable(vassal.name), cpu: null, memory: null });
      this.#count(vassal.state, 1);
      this.#moved();
    }
    this.#difference.vassals.add(key);
  }

  #remove(key) {
    const entry = this.entries.get(key);
    if (!entry) return;
    this.entries.delete(key);
    this.#count(entry.vassal.state, -1);
    this.#moved();
    this.#difference.vassals.add(key);
  }

  #moved() {
    this.#sorted = false;
    this.#difference.membership = true;
  }

  #count(state, by) {
    const number = (this.totals.get(state) ?? 0) + by;
    if (number) this.totals.set(state, number);
    else this.totals.delete(state);
  }

  #usage({ vassals }) {
    for (const measured of vassals) {
      const key = keyOf(measured);
      const entry = this.entries.get(key);
      if (!entry) continue;
      entry.cpu = measured.cpu;
      entry.memory = measured.memory;
      this.#difference.vassals.add(key);
    }
  }

  #happened(events) {
    if (!events.length) return;
    const newest = this.events.at(-1)?.at ?? 0;
    const known = events[0].at <= newest ? new Set(this.events.map(eventKey)) : null; // told again after a reconnect
    for (const event of events) {
      if (known?.has(eventKey(event))) continue;
      this.events.push(event);
      this.#difference.events += 1;
    }
    if (this.events.length > MOST_EVENTS) this.events.splice(0, this.events.length - MOST_EVENTS);
  }
}

export const eventKey = (event) => `${event.at}\0${event.kind}\0${event.monitor}\0${event.name}\0${event.ordinal}\0${event.text}`;

// --- what is looked at -----------------------------------------------------------------------------------------------

/** Which vassals are looked at: part of the name, states (none: all), one monitor ("": all). */
export class Filter {
  text = "";
  states = new Set();
  monitor = "";

  get active() {
    return this.text !== "" || this.states.size > 0 || this.monitor !== "";
  }

  clear() {
    this.text = "";
    this.states.clear();
    this.monitor = "";
  }

  toggle(state) {
    if (!this.states.delete(state)) this.states.add(state);
  }

  /** A function that says of an entry whether it is looked at. */
  compiled() {
    const words = this.text.toLowerCase().split(/\s+/).filter(Boolean);
    const states = new Set(this.states);
    const monitor = this.monitor;
    return ({ vassal }) =>
      (states.size === 0 || states.has(vassal.state)) &&
      (monitor === "" || vassal.monitor === monitor) &&
      (words.length === 0 || matches(vassal, words));
  }
}

function matches(vassal, words) {
  const name = vassal.name.toLowerCase();
  return words.every((word) => name.includes(word) || (vassal.pid && word === String(vassal.pid)));
}

const uptime = (vassal) => (vassal.pid ? vassal.first_run : Infinity);

/** What each column sorts by: numbers or strings. Where they are equal, the name decides. */
export const COLUMNS = {
  name: null,
  state: ({ vassal }) => rankOf(vassal.state),
  pid: ({ vassal }) => vassal.pid || Infinity,
  uptime: ({ vassal }) => uptime(vassal),
  restarts: ({ vassal }) => -vassal.generation,
  cpu: (entry) => -(entry.cpu ?? -1),
  memory: (entry) => -(entry.memory ?? -1),
  monitor: ({ vassal }) => vassal.monitor,
  why: ({ vassal }) => (vassal.next_spawn ? vassal.next_spawn : vassal.reason || vassal.held ? 1e12 : Infinity),
};

/** Entries that pass, in the order of a column. */
export function arranged(store, passes, column, descending) {
  const value = COLUMNS[column];
  const found = store.ordered.filter(passes);
  if (value) {
    const values = new Map(found.map((entry) => [entry, value(entry)]));
    found.sort((a, b) => { // stable: what is equal stays in the order of names
      const [one, other] = [values.get(a), values.get(b)];
      return one < other ? -1 : one > other ? 1 : 0;
    });
  }
  return descending ? found.reverse() : found;
}
