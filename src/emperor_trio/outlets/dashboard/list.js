// The list: one row a vassal, of which only those in sight are in the page; and what these rows use of the machine.

import { $, dress, make, mark, say, turn } from "./dom.js";
import { COLUMNS, arranged } from "./state.js";
import { VirtualRows } from "./virtual.js";
import { bytes, count, duration, linkTo, nameOf, percent, restartsOf, shown, why } from "./words.js";

const MOST_MEASURED = 200;
const SETTLED = 250; // ms without scrolling before rows are measured

export class List {
  #store;
  #connection;
  #open;
  #rows;
  #view = [];
  #passes = () => true;
  #column = "name";
  #descending = false;
  #active = null; // key of the row that the keyboard is on
  #stale = true;
  #due = 0;
  #measured = "";
  #unmeasure = null;
  #timer = null;
  #grid = $("list");
  #watching = true;

  constructor({ store, connection, open }) {
    this.#store = store;
    this.#connection = connection;
    this.#open = (entry) => {
      this.#active = entry.key;
      open(entry);
    };
    this.#rows = new VirtualRows({
      scroller: $("list"), body: $("list-rows"), height: 32,
      make: () => this.#makeRow(), fill: (row, index) => this.#fill(row, index), seen: () => this.#measureSoon(),
    });
    for (const head of this.#grid.querySelectorAll("[role=columnheader]")) {
      head.firstElementChild.addEventListener("click", () => this.#sort(head.dataset.column));
    }
    this.#grid.addEventListener("keydown", (event) => this.#key(event));
    this.#grid.addEventListener("focus", () => this.#active ?? this.#moveTo(this.#rows.first));
    document.addEventListener("visibilitychange", () => this.watch(this.#watching));
  }

  /** Measure what is in sight, or nothing while another page is shown. */
  watch(watching) {
    this.#watching = watching;
    if (watching) this.#measureSoon();
    else this.#measure(); // at once: a connection measures one thing at a time
  }

  filter(passes) {
    this.#passes = passes;
    this.#stale = true;
    this.#arrange();
    this.#grid.scrollTop = 0;
    this.#rows.draw();
  }

  focus() {
    this.#grid.focus();
    const at = this.#view.findIndex((entry) => entry.key === this.#active);
    if (at >= 0) this.#rows.reveal(at); // what was not in sight has forgotten how far it was scrolled
  }

  /** Whether the order is to be looked at again, when its time comes. */
  get stale() {
    return this.#stale;
  }

  update(difference, now) {
    if (difference.vassals.size || difference.whole) this.#stale = true;
    if (this.#stale && now >= this.#due) {
      // Whatever changes may change the order; that of thousands is looked at less often than it is shown.
      this.#due = now + (this.#store.entries.size > 1000 ? 400 : 100);
      this.#arrange();
      return;
    }
    this.#rows.draw();
  }

  /** Times go on. */
  tick() {
    this.#rows.draw();
  }

  #arrange() {
    this.#stale = false;
    this.#view = arranged(this.#store, this.#passes, this.#column, this.#descending);
    this.#grid.setAttribute("aria-rowcount", String(this.#view.length + 1));
    const all = this.#store.entries.size;
    say($("list-count"), this.#view.length === all
      ? count(all, "vassal") : `${this.#view.length.toLocaleString("en")} of ${count(all, "vassal")}`);
    $("list-empty").hidden = this.#view.length > 0 || !this.#store.complete;
    say($("list-empty-text"), all ? "No vassal matches." : "No vassals yet: the emperor's monitors have found none.");
    $("list-empty").querySelector("button").hidden = all === 0;
    this.#rows.show(this.#view.length);
    this.#measureSoon(false);
  }

  #sort(column) {
    this.#descending = column === this.#column && !this.#descending;
    this.#column = column;
    for (const head of this.#grid.querySelectorAll("[role=columnheader]")) {
      const sorted = head.dataset.column === column;
      head.setAttribute("aria-sort", sorted ? (this.#descending ? "descending" : "ascending") : "none");
    }
    this.#arrange();
  }

  // --- rows ----------------------------------------------------------------------------------------------------------

  #makeRow() {
    const cell = (name, ...children) => {
      const element = make("div", `cell ${name}`, ...children);
      element.setAttribute("role", "gridcell");
      return element;
    };
    const link = make("a", "", make("bdi"));
    link.tabIndex = -1;
    const cells = [cell("name", link), cell("state", mark("up"), make("span"))];
    for (const name of Object.keys(COLUMNS).slice(2)) cells.push(cell(name));
    cells.at(-1).append(make("bdi"));
    cells.at(-2).append(make("bdi"));
    const row = make("div", "row", ...cells);
    row.setAttribute("role", "row");
    row.addEventListener("click", (event) => {
      if (getSelection().type === "Range" || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.#open(this.#view[Number(row.dataset.index)]);
    });
    return row;
  }

  #fill(row, index) {
    const entry = this.#view[index];
    const { vassal } = entry;
    const now = this.#store.now(this.clock());
    const [name, state, pid, uptime, restarts, cpu, memory, monitor, reason] = row.children;
    if (row.dataset.index !== String(index)) {
      row.dataset.index = index;
      row.id = `row-${index}`;
      row.setAttribute("aria-rowindex", String(index + 2));
    }
    const called = nameOf(vassal);
    const link = name.firstChild;
    if (link.firstChild.textContent !== called || row.dataset.key !== entry.key) {
      row.dataset.key = entry.key;
      link.firstChild.textContent = called;
      link.href = linkTo(vassal);
      name.title = called;
    }
    turn(state.firstChild, vassal.state);
    say(state.lastChild, vassal.state);
    say(pid, vassal.pid ? String(vassal.pid) : "–");
    say(uptime, vassal.pid ? duration(now - vassal.first_run) : "–");
    say(restarts, String(restartsOf(vassal)));
    say(cpu, vassal.pid && entry.cpu !== null ? percent(entry.cpu) : "–");
    say(memory, vassal.pid && entry.memory !== null ? bytes(entry.memory) : "–");
    const source = shown(vassal.monitor);
    say(monitor.firstChild, source);
    if (monitor.title !== source) monitor.title = source;
    const because = why(vassal, now);
    say(reason.firstChild, because);
    if (reason.title !== because) reason.title = because;
    const active = entry.key === this.#active;
    dress(row, active ? "row active" : "row");
    row.setAttribute("aria-selected", String(active));
    if (active && this.#grid.getAttribute("aria-activedescendant") !== row.id) {
      this.#grid.setAttribute("aria-activedescendant", row.id);
    }
  }

  clock = () => Date.now() / 1000;

  // --- keyboard ------------------------------------------------------------------------------------------------------

  #key(event) {
    if (event.target !== this.#grid || !this.#view.length) return;
    const at = this.#view.findIndex((entry) => entry.key === this.#active);
    const steps = {
      ArrowDown: 1, ArrowUp: -1, PageDown: this.#rows.page, PageUp: -this.#rows.page,
      Home: -this.#view.length, End: this.#view.length,
    };
    if (event.key === "Enter" && at >= 0) this.#open(this.#view[at]);
    else if (event.key in steps) this.#moveTo(at < 0 ? this.#rows.first : at + steps[event.key]);
    else return;
    event.preventDefault();
  }

  #moveTo(index) {
    if (!this.#view.length) return;
    const at = Math.min(this.#view.length - 1, Math.max(0, index));
    this.#active = this.#view[at].key;
    this.#rows.reveal(at);
  }

  // --- CPU and memory ------------------------------------------------------------------------------------------------

  // While one scrolls it is put off; what merely changes its order must not put it off for ever.
  #measureSoon(scrolling = true) {
    if (scrolling) clearTimeout(this.#timer);
    else if (this.#timer) return;
    this.#timer = setTimeout(() => this.#measure(), SETTLED);
  }

  #measure() {
    this.#timer = null;
    const wanted = this.#watching && !document.hidden
      ? this.#view.slice(this.#rows.first, this.#rows.last).slice(0, MOST_MEASURED).filter(({ vassal }) => vassal.pid)
      : [];
    const keys = wanted.map(({ vassal }) => ({ monitor: vassal.monitor, name: vassal.name, ordinal: vassal.ordinal }));
    const text = JSON.stringify(keys.map((key) => Object.values(key)).sort());
    if (text === this.#measured) return;
    this.#measured = text;
    this.#unmeasure?.();
    this.#unmeasure = keys.length ? this.#connection.subscribe("measure", { vassals: keys }) : null;
  }
}
