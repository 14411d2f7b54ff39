// The end of a vassal's log: followed, paused, searched.

import { $, make, say } from "./dom.js";
import { count, shown } from "./words.js";

const MOST_LINES = 1000;
const COLOURS = /\u001b\[[0-?]*[ -/]*[@-~]/g; // what a terminal would turn into colours

export class LogTail {
  #end;
  #lines = [];   // not shown yet
  #paused = false;
  #wanted = "";
  #list = $("log");
  #controls = new AbortController();

  constructor(connection, vassal) {
    const { signal } = this.#controls;
    $("log-pause").addEventListener("click", () => this.#pause(!this.#paused), { signal });
    $("log-search").addEventListener("input", ({ target }) => this.#search(target.value), { signal });
    $("log-search").value = "";
    this.#pause(false);
    this.#end = connection.subscribe("tail", { vassal, lines: 200, follow: true }, (message) => this.#take(message));
    this.#list.replaceChildren();
    say($("log-note"), "");
  }

  close() {
    this.#controls.abort();
    this.#list.replaceChildren();
    this.#end();
  }

  get waiting() {
    return this.#lines.length > 0 && !this.#paused;
  }

  #take(message) {
    if (message.type === "again") { // the same lines come once more
      this.#lines = [];
      this.#list.replaceChildren();
      return;
    }
    if (message.type === "refused") {
      say($("log-note"), message.error);
      return;
    }
    if (message.type !== "loglines") return;
    if (message.dropped) this.#lines.push(`… ${count(message.dropped, "line")} lost here …`);
    for (const line of message.lines) this.#lines.push(line);
    if (this.#lines.length > MOST_LINES) this.#lines.splice(0, this.#lines.length - MOST_LINES);
    if (message.last) say($("log-note"), "This is the end of it: no more will come.");
    if (this.#paused) this.#count();
  }

  draw() {
    if (!this.waiting) return;
    const follows = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 24;
    const rows = this.#lines.map((line) => {
      const row = make("div", "", shown(line.replace(COLOURS, "").replaceAll("\t", "    ")));
      row.hidden = !this.#matches(row);
      return row;
    });
    this.#lines = [];
    this.#list.append(...rows);
    while (this.#list.children.length > MOST_LINES) this.#list.firstChild.remove();
    if (follows) this.#list.scrollTop = this.#list.scrollHeight;
  }

  #matches(row) {
    return this.#wanted === "" || row.textContent.toLowerCase().includes(this.#wanted);
  }

  #search(text) {
    this.#wanted = text.toLowerCase();
    for (const row of this.#list.children) row.hidden = !this.#matches(row);
    this.#list.scrollTop = this.#list.scrollHeight;
  }

  #pause(paused) {
    this.#paused = paused;
    $("log-pause").setAttribute("aria-pressed", String(paused));
    say($("log-pause"), paused ? "Follow" : "Pause");
    this.#count();
    this.draw();
  }

  #count() {
    say($("log-missed"), this.#paused && this.#lines.length ? `${this.#lines.length} more` : "");
  }
}
