// Events as they come: newest first, of a level, paused where one reads.

import { $, dress, make, say } from "./dom.js";
import { VirtualRows } from "./virtual.js";
import { linkTo, moment, nameOf, shown, timeOfDay } from "./words.js";

const LEVELS = ["debug", "info", "warning", "error"];

/** Fill a row with one event. */
export function fillEvent(row, event) {
  const [time, name, text] = row.children;
  const at = timeOfDay(event.at);
  say(time, at);
  time.title = moment(event.at);
  say(name.firstChild, event.name ? nameOf(event) : event.monitor ? shown(event.monitor) : "emperor");
  if (event.name && name.tagName === "A") name.href = linkTo(event);
  else name.removeAttribute("href");
  const told = shown(event.text);
  say(text, told);
  if (row.title !== told) row.title = told;
  dress(row, `event ${event.level}`);
}

export function makeEvent(tag = "div") {
  const name = make("a", "who", make("bdi"));
  const row = make(tag, "event", make("time"), name, make("span", "what"));
  return row;
}

export class Stream {
  #store;
  #connection;
  #rows;
  #shown = [];
  #paused = false;
  #missed = 0;
  #level = "info";
  #end;

  constructor({ store, connection }) {
    this.#store = store;
    this.#connection = connection;
    this.#rows = new VirtualRows({
      scroller: $("events"), body: $("events-rows"), height: 44,
      make: () => {
        const row = makeEvent();
        row.setAttribute("role", "listitem");
        return row;
      },
      fill: (row, index) => fillEvent(row, this.#shown[this.#shown.length - 1 - index]),
    });
    $("events-pause").addEventListener("click", () => this.#pause(!this.#paused));
    $("events-level").addEventListener("change", ({ target }) => this.#listen(target.value));
    this.#listen(this.#level);
  }

  // The emperor sends only what is shown; what came before stays, as far as its level is shown.
  #listen(level) {
    this.#end?.();
    this.#level = level;
    this.#end = this.#connection.subscribe("subscribe", { vassals: false, events: true, level, recent: 200 });
    this.#show(0);
  }

  update(difference) {
    if (!difference.events) return;
    const least = LEVELS.indexOf(this.#level);
    const fresh = this.#store.events.slice(-difference.events);
    const many = fresh.filter((event) => LEVELS.indexOf(event.level) >= least).length;
    if (!this.#paused) this.#show(many);
    else if (many) {
      this.#missed += many;
      say($("events-missed"), `${this.#missed} newer`);
    }
  }

  #show(more) {
    const least = LEVELS.indexOf(this.#level);
    this.#shown = this.#store.events.filter((event) => LEVELS.indexOf(event.level) >= least);
    if (more) this.#rows.grew(more);
    this.#rows.show(this.#shown.length);
    $("events-empty").hidden = this.#shown.length > 0;
  }

  #pause(paused) {
    this.#paused = paused;
    $("events-pause").setAttribute("aria-pressed", String(paused));
    say($("events-pause"), paused ? "Go on" : "Pause");
    this.#missed = 0;
    say($("events-missed"), "");
    if (!paused) this.#show(0);
  }
}
