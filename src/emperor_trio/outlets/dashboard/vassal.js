// The page of one vassal: what it is, what happened to it, what it uses and what it says.

import { Bars, Line } from "./charts.js";
import { $, dress, make, mark, say, turn } from "./dom.js";
import { LogTail } from "./logtail.js";
import { eventKey, keyOf } from "./state.js";
import { VERBS } from "./steering.js";
import { fillEvent, makeEvent } from "./stream.js";
import { STATES, bytes, duration, ending, moment, nameOf, percent, restartsOf, shown, why } from "./words.js";

const SPAN = 600;
const MOST_EVENTS = 300;
const MOST_SHOWN = 60;

export class VassalPage {
  #store;
  #connection;
  #which = null;
  #key = "";
  #ends = [];
  #events = [];
  #known = new Set();
  #details = null;
  #cpu;
  #memory;
  #bars;
  #log;
  #stale = false;
  #asking = 0;
  #processes = 0;

  constructor({ store, connection, steering }) {
    this.#store = store;
    this.#connection = connection;
    this.#bars = new Bars($("restarts-chart"));
    for (const verb of Object.keys(VERBS)) {
      const button = make("button", "commanding", VERBS[verb][0]);
      button.type = "button";
      button.dataset.verb = verb;
      button.title = VERBS[verb][1];
      button.addEventListener("click", () => steering.command(verb, this.#which));
      $("verbs").append(button);
    }
    $("vassal-state").prepend(mark("up"));
  }

  get open() {
    return this.#which !== null;
  }

  show(which) {
    if (this.#which && keyOf(which) === this.#key) return;
    this.hide();
    this.#which = which;
    this.#key = keyOf(which);
    this.#details = null;
    this.#events = [];
    this.#known.clear();
    this.#cpu = new Line($("cpu-chart"), SPAN, percent);
    this.#memory = new Line($("memory-chart"), SPAN, bytes);
    say($("vassal-name"), nameOf(which));
    $("vassal-name").title = nameOf(which);
    say($("vassal-monitor"), shown(which.monitor));
    say($("vassal-error"), "");
    $("vassal-events").replaceChildren();
    const only = { names: [which.name], monitor: which.monitor, exact: true };
    this.#ends = [
      this.#connection.subscribe(
        "subscribe", { which: only, vassals: false, events: true, level: "debug", recent: 0 },
        (message) => this.#happened(message.events ?? [])),
      this.#connection.subscribe("measure", { vassals: [which] }, (message) => this.#measured(message)),
      // Asked for again with each connection, as the two above.
      this.#connection.subscribe("show", { vassal: which }, (message) => this.#told(message)),
    ];
    this.#log = new LogTail(this.#connection, which);
    this.#stale = true;
  }

  hide() {
    for (const end of this.#ends) end();
    this.#ends = [];
    this.#log?.close();
    this.#log = this.#which = null;
    this.#asking += 1;
  }

  update(difference, now) {
    if (!this.open) return;
    if (difference.vassals.has(this.#key) || difference.whole) {
      this.#stale = true;
      const pid = this.#store.entries.get(this.#key)?.vassal.pid;
      if (pid && pid !== this.#details?.vassal.pid) this.#ask();
    }
    if (this.#stale) this.tick(now);
    this.#log.draw();
  }

  tick(now) {
    if (!this.open) return;
    this.#stale = false;
    const vassal = this.#store.entries.get(this.#key)?.vassal;
    $("vassal-gone").hidden = Boolean(vassal) || !this.#store.complete;
    $("vassal-there").hidden = !vassal;
    this.#bars.draw(now, this.#times("VassalSpawned"), this.#deaths());
    this.#list();
    if (!vassal) return;
    turn($("vassal-state").firstChild, vassal.state);
    say($("vassal-state").lastElementChild, vassal.state);
    const because = why(vassal, now);
    say($("vassal-why"), because || STATES[vassal.state] || "");
    this.#facts(vassal, now);
  }

  // --- facts ---------------------------------------------------------------------------------------------------------

  #facts(v, now) {
    const ago = (at) => (at ? `${moment(at)}, ${duration(now - at)} ago` : "never");
    const yes = (value) => (value ? "yes" : "no");
    const facts = [
      ["Process", v.pid
        ? `pid ${v.pid}${this.#processes > 1 ? `, ${this.#processes} processes` : ""}` : "none"],
      ["Up for", v.pid ? duration(now - v.first_run) : "–"],
      ["In this state for", v.since ? duration(now - v.since) : "–"],
      ["Phase", v.phase],
      ["Ready", v.ready ? `yes, since ${moment(v.last_ready)}` : "no"],
      ["Accepting requests", yes(v.accepting)],
      ["Loyal", yes(v.loyal)],
      ["Config", v.wanted > v.revision
        ? `revision ${v.revision}; ${v.wanted} is wanted` : `revision ${v.revision}, as wanted`],
      ["Config modified", v.modified ? moment(v.modified) : "–"],
      ["Restarts", `${restartsOf(v)}, and ${v.reloads} reloads in place`],
      ["Deaths", `${v.deaths} that nobody asked for`],
      ["Last end", v.exit_code === null ? "never ended" : ending(v.exit_code)],
      ["Started", ago(v.first_run)],
      ["Reloaded", v.last_run > v.first_run ? ago(v.last_run) : "not since"],
      ["Last heartbeat", v.last_heartbeat ? ago(v.last_heartbeat) : "sends none"],
      ["Cursed", v.cursed_at ? ago(v.cursed_at) : "no"],
      ["Next start", v.next_spawn > now ? `in ${duration(Math.ceil(v.next_spawn - now))}` : "–"],
      ["Held", v.held ? shown(v.held) : "no"],
      ["Reason", v.reason ? shown(v.reason) : "–"],
      ["Socket on demand", v.on_demand ? shown(v.on_demand) : "none"],
      ["Owner (uid:gid)", v.owner || "the emperor's"],
      ...Object.entries(this.#details?.attributes ?? {}).map(([name, value]) => [shown(name), shown(value)]),
    ];
    const list = $("facts");
    while (list.children.length > facts.length) list.lastChild.remove();
    facts.forEach(([term, description], index) => {
      const pair = list.children[index] ?? list.appendChild(make("div", "", make("dt"), make("dd", "", make("bdi"))));
      say(pair.firstChild, term);
      say(pair.lastChild.firstChild, description);
    });
  }

  #ask() {
    const turn = ++this.#asking;
    this.#connection.ask("show", { vassal: this.#which })
      .then((message) => turn === this.#asking && this.#told(message), () => {}); // it is asked again with the next change
  }

  #told(message) {
    if (message.type !== "details") {
      say($("vassal-error"), message.error ?? "");
      return;
    }
    say($("vassal-error"), "");
    this.#details = message;
    say($("command-line"), message.command.map(quoted).join(" ") || "–");
    say($("log-path"), shown(message.log));
    this.#happened(message.events);
    this.#stale = true;
  }

  // --- events --------------------------------------------------------------------------------------------------------

  #happened(events) {
    for (const event of events) {
      const key = eventKey(event);
      if (keyOf(event) !== this.#key || this.#known.has(key)) continue;
      this.#known.add(key);
      this.#events.push(event);
      this.#stale = true;
    }
    if (!this.#stale) return;
    this.#events.sort((a, b) => a.at - b.at);
    for (const old of this.#events.splice(0, Math.max(0, this.#events.length - MOST_EVENTS))) {
      this.#known.delete(eventKey(old));
    }
  }

  #times(kind) {
    return this.#events.filter((event) => event.kind === kind).map(({ at }) => at);
  }

  #deaths() {
    return this.#events.filter(({ kind, fields }) => kind === "VassalExited" && !fields.expected).map(({ at }) => at);
  }

  #list() {
    const list = $("vassal-events");
    const newest = this.#events.slice(-MOST_SHOWN).reverse();
    while (list.children.length > newest.length) list.lastChild.remove();
    newest.forEach((event, index) => fillEvent(list.children[index] ?? list.appendChild(makeEvent("li")), event));
    $("vassal-events-empty").hidden = newest.length > 0;
  }

  #measured({ type, at, vassals }) {
    if (type !== "usage") return;
    const found = vassals.find((measured) => keyOf(measured) === this.#key);
    this.#processes = found?.processes ?? 0;
    this.#cpu.add(at, found ? found.cpu : null);
    this.#memory.add(at, found ? found.memory : null);
  }
}

const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${shown(word).replaceAll("'", "'\\''")}'`);
