// The field: every vassal as one small mark, all of them in one canvas.

import { dress, formOf, make, mark, say } from "./dom.js";
import { STATES, STATE_ORDER, TROUBLED, classOf, nameOf, rankOf, shown, why } from "./words.js";

const SMALLEST = 4;
const LARGEST = 18;
const ROOM = 220;      // CSS pixels of height that it should not exceed, as long as cells are large enough
const LABEL = 18;
const DIMMED = 0.13;
const QUIET = new Set(["on demand", "stopped", "queued"]);

export class Field {
  #canvas;
  #tip;
  #store;
  #passes;
  #open;
  #place = new Map(); // key → [x, y]
  #cells = [];        // entries in the order in which they are drawn
  #labels = [];
  #size = LARGEST;
  #sprites = new Map();
  #cursor = -1;
  #order = "monitor";
  #width = 0;
  #stale = true;
  #due = 0;

  /** `open(entry)` is called for the one that was chosen. */
  constructor({ canvas, tip, store, open }) {
    this.#canvas = canvas;
    this.#tip = tip;
    this.#store = store;
    this.#open = open;
    this.#passes = () => true;
    new ResizeObserver(() => this.#resized()).observe(canvas.parentElement);
    canvas.addEventListener("pointermove", (event) => this.#hover(event));
    canvas.addEventListener("pointerleave", () => this.#leave());
    canvas.addEventListener("click", (event) => {
      this.#hover(event);
      if (this.#cells[this.#cursor]) this.#open(this.#cells[this.#cursor]);
    });
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("focus", () => canvas.matches(":focus-visible") && this.#moveTo(Math.max(this.#cursor, 0)));
    canvas.addEventListener("blur", () => this.#leave());
  }

  order(order) {
    this.#order = order;
    this.#stale = true;
    this.draw();
  }

  filter(passes) {
    this.#passes = passes;
    this.#paint();
  }

  /** Colours changed. */
  repaint() {
    this.#sprites.clear();
    this.#paint();
  }

  update(difference, now) {
    if (difference.membership || difference.whole || (this.#order === "state" && difference.vassals.size)) {
      this.#stale = true;
    }
    if (this.#stale) this.#later(now);
    else if (difference.vassals.size > this.#cells.length / 4) this.#paint();
    else for (const key of difference.vassals) this.#cell(this.#store.entries.get(key));
    if (difference.vassals.size && this.#cells[this.#cursor]) this.#tell();
  }

  // Laying out thousands takes some ms: at most four times a second while they come and go.
  #later(now) {
    if (now < this.#due) return;
    this.#due = now + (this.#store.entries.size > 1000 ? 250 : 0);
    this.draw();
  }

  /** Lay out and paint, if anything moved. */
  draw() {
    if (!this.#width) this.#width = this.#canvas.parentElement.clientWidth;
    if (!this.#stale || !this.#width) return;
    this.#stale = false;
    const kept = this.#cells[this.#cursor]?.key;
    const groups = this.#groups();
    this.#fit(groups);
    this.#lay(groups);
    this.#cursor = kept === undefined ? -1 : this.#cells.findIndex((entry) => entry.key === kept);
    this.#paint();
    const { size } = this.#store.entries;
    this.#canvas.setAttribute("aria-label", `Field of ${size} vassals. Arrow keys move, Enter opens.`);
  }

  get stale() {
    return this.#stale;
  }

  #groups() {
    const entries = this.#store.ordered;
    if (this.#order === "name") return [["", entries]];
    const groups = new Map();
    for (const entry of entries) {
      const name = this.#order === "state" ? entry.vassal.state : entry.vassal.monitor;
      const group = groups.get(name);
      if (group) group.push(entry);
      else groups.set(name, [entry]);
    }
    const found = [...groups];
    if (this.#order === "state") found.sort(([a], [b]) => rankOf(a) - rankOf(b));
    return found.length === 1 ? [["", found[0][1]]] : found;
  }

  // The largest cells with which all fits into the room; on narrow screens the field grows instead.
  #fit(groups) {
    for (this.#size = LARGEST; this.#size > SMALLEST; this.#size -= 1) {
      if (this.#height(groups) <= ROOM) return;
    }
  }

  #height(groups) {
    const columns = Math.max(1, Math.floor(this.#width / this.#size));
    return groups.reduce(
      (sum, [label, entries]) => sum + (label ? LABEL + 4 : 0) + Math.ceil(entries.length / columns) * this.#size, 0);
  }

  #lay(groups) {
    const columns = Math.max(1, Math.floor(this.#width / this.#size));
    const height = Math.max(this.#size, this.#height(groups));
    this.#cells = [];
    this.#labels = [];
    this.#place.clear();
    let y = 0;
    for (const [label, entries] of groups) {
      if (label) {
        this.#labels.push([`${shown(label)}  ${entries.length}`, y + 12]);
        y += LABEL;
      }
      entries.forEach((entry, index) => {
        this.#place.set(entry.key, [(index % columns) * this.#size, y + Math.floor(index / columns) * this.#size]);
        this.#cells.push(entry);
      });
      y += Math.ceil(entries.length / columns) * this.#size + (label ? 4 : 0);
    }
    const ratio = devicePixelRatio;
    if (this.#canvas.width !== Math.round(this.#width * ratio) || this.#canvas.height !== Math.round(height * ratio)) {
      this.#canvas.width = Math.round(this.#width * ratio);
      this.#canvas.height = Math.round(height * ratio);
      this.#canvas.style.height = `${height}px`;
    }
  }

  #paint() {
    const context = this.#context();
    context.clearRect(0, 0, this.#width, this.#canvas.height);
    context.fillStyle = getComputedStyle(this.#canvas).color;
    context.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    for (const [text, y] of this.#labels) context.fillText(text, 0, y, this.#width);
    for (const entry of this.#cells) this.#cell(entry, context);
    this.#outline(context);
  }

  #cell(entry, context = this.#context()) {
    const place = entry && this.#place.get(entry.key);
    if (!place) return;
    const [x, y] = place;
    context.clearRect(x, y, this.#size, this.#size);
    context.globalAlpha = this.#passes(entry) ? 1 : DIMMED;
    context.drawImage(this.#sprite(entry.vassal.state), x, y, this.#size, this.#size);
    context.globalAlpha = 1;
    if (this.#cells[this.#cursor] === entry) this.#outline(context);
  }

  #outline(context) {
    const place = this.#place.get(this.#cells[this.#cursor]?.key);
    if (!place) return;
    context.strokeStyle = getComputedStyle(this.#canvas).color;
    context.lineWidth = 1.5;
    context.strokeRect(place[0] + 0.75, place[1] + 0.75, this.#size - 1.5, this.#size - 1.5);
  }

  #context() {
    const context = this.#canvas.getContext("2d");
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    return context;
  }

  // One picture a state, made once a size and theme. Its colour is what the style sheet gives to the state's class.
  #sprite(state) {
    const id = `${state} ${this.#size} ${devicePixelRatio}`;
    let sprite = this.#sprites.get(id);
    if (sprite) return sprite;
    const pixels = Math.round(this.#size * devicePixelRatio);
    const tiny = this.#size < 8; // forms can't be told apart any more: size does it, and trouble is the largest
    const gap = !tiny ? 2 : TROUBLED.has(state) ? 0 : QUIET.has(state) ? this.#size / 2 : 1;
    sprite = document.createElement("canvas");
    sprite.width = sprite.height = pixels;
    const probe = this.#canvas.parentElement.appendChild(make("i", `is-${classOf(state)}`));
    const colour = getComputedStyle(probe).color;
    probe.remove();
    const context = sprite.getContext("2d");
    const scale = ((this.#size - gap) * devicePixelRatio) / 10;
    context.translate((gap / 2) * devicePixelRatio, (gap / 2) * devicePixelRatio);
    context.scale(scale, scale);
    const { fill, line, width = 2 } = tiny ? { fill: "M0 0H10V10H0Z" } : formOf(state);
    if (fill) {
      context.fillStyle = colour;
      context.fill(new Path2D(fill), "evenodd");
    } else {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.stroke(new Path2D(line));
    }
    this.#sprites.set(id, sprite);
    return sprite;
  }

  #resized() {
    const width = this.#canvas.parentElement.clientWidth;
    if (width === this.#width) return;
    this.#width = width;
    this.#stale = true;
    this.draw();
  }

  // --- pointing ------------------------------------------------------------------------------------------------------

  #hover(event) {
    const found = this.#at(event.offsetX, event.offsetY);
    if (found < 0) this.#leave();
    else this.#moveTo(found);
  }

  #at(x, y) {
    return this.#cells.findIndex(({ key }) => {
      const [left, top] = this.#place.get(key);
      return x >= left && x < left + this.#size && y >= top && y < top + this.#size;
    });
  }

  #leave() {
    this.#moveTo(-1);
  }

  #moveTo(index) {
    const before = this.#cells[this.#cursor];
    this.#cursor = index < this.#cells.length ? index : -1;
    const entry = this.#cells[this.#cursor];
    if (before && before !== entry) this.#cell(before);
    this.#tip.hidden = !entry;
    if (!entry) return;
    this.#cell(entry);
    this.#tell();
    const [x, y] = this.#place.get(entry.key);
    const right = x > this.#width / 2;
    this.#tip.style.left = right ? "auto" : `${x + this.#size + 6}px`;
    this.#tip.style.right = right ? `${this.#width - x + 6}px` : "auto";
    this.#tip.style.top = `${y + this.#size + 4}px`;
  }

  #tell() {
    const { vassal } = this.#store.entries.get(this.#cells[this.#cursor].key) ?? this.#cells[this.#cursor];
    const [name, state] = this.#tip.children;
    say(name, nameOf(vassal));
    const reason = why(vassal, this.#store.now(Date.now() / 1000));
    say(state, reason ? `${vassal.state} – ${reason}` : vassal.state);
    dress(state, `is-${classOf(vassal.state)}`);
  }

  #key(event) {
    const columns = Math.max(1, Math.floor(this.#width / this.#size));
    const steps = {
      ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns,
      Home: -this.#cells.length, End: this.#cells.length,
    };
    if (event.key === "Enter" && this.#cells[this.#cursor]) this.#open(this.#cells[this.#cursor]);
    else if (event.key in steps && this.#cells.length) {
      this.#moveTo(Math.min(this.#cells.length - 1, Math.max(0, this.#cursor + steps[event.key])));
    } else return;
    event.preventDefault();
  }
}

/** The legend: what the marks mean, how many there are, and which are looked at. */
export class Legend {
  #buttons = new Map();

  constructor(list, toggled) {
    for (const state of STATE_ORDER) {
      const number = make("span", "number", "0");
      const button = make("button", "", mark(state), make("span", "", state), number);
      button.type = "button";
      button.title = STATES[state];
      button.addEventListener("click", () => toggled(state));
      list.append(make("li", "", button));
      this.#buttons.set(state, [button, number]);
    }
  }

  update(totals, states) {
    for (const [state, [button, number]] of this.#buttons) {
      const many = totals.get(state) ?? 0;
      say(number, many.toLocaleString("en"));
      button.classList.toggle("none", many === 0);
      button.setAttribute("aria-pressed", String(states.has(state)));
    }
  }
}
