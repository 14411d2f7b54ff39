// The emperor's monitors and how they are.

import { $, dress, make, say } from "./dom.js";
import { count, duration, shown } from "./words.js";

export class Monitors {
  #store;
  #steering;
  #items = new Map();
  #options = "";

  constructor({ store, steering }) {
    this.#store = store;
    this.#steering = steering;
    $("scan-all").addEventListener("click", () => steering.scan(null));
  }

  update(difference, now) {
    if (!difference.monitors && !difference.whole && !difference.greeting) return;
    const { monitors } = this.#store;
    for (const [name, item] of this.#items) {
      if (monitors.has(name)) continue;
      item.remove();
      this.#items.delete(name);
    }
    for (const name of monitors.keys()) {
      if (!this.#items.has(name)) this.#items.set(name, $("monitors").appendChild(this.#make(name)));
    }
    this.#choices();
    this.tick(now);
  }

  tick(now) {
    for (const [name, item] of this.#items) {
      const monitor = this.#store.monitors.get(name);
      const [health, , state, error] = item.children;
      dress(health, monitor.healthy ? "health well" : "health ill");
      const since = monitor.since ? ` for ${duration(now - monitor.since)}` : "";
      const again = monitor.next_try > now ? `, next try in ${duration(Math.ceil(monitor.next_try - now))}` : "";
      say(state, monitor.healthy
        ? `${count(monitor.vassals, "vassal")}, healthy${since}`
        : `${count(monitor.vassals, "vassal")}, failing${since}${again}`);
      say(error, shown(monitor.healthy ? "" : monitor.error));
      error.hidden = monitor.healthy;
      item.title = monitor.healthy && monitor.last_error ? `last error: ${shown(monitor.last_error)}` : "";
    }
  }

  #make(name) {
    const scan = make("button", "quiet commanding", "Scan");
    scan.type = "button";
    scan.setAttribute("aria-label", `Scan ${shown(name)} now`);
    scan.addEventListener("click", () => this.#steering.scan(name));
    const called = make("bdi", "name", shown(name));
    called.title = shown(name);
    const health = make("span", "health");
    health.setAttribute("aria-hidden", "true");
    return make("li", "", health, called, make("span", "state"), make("span", "error"), scan);
  }

  #choices() {
    const names = [...this.#store.monitors.keys()];
    const select = $("monitor");
    if (names.join("\0") === this.#options) return;
    this.#options = names.join("\0");
    const chosen = select.value;
    select.replaceChildren(new Option("All monitors", ""), ...names.map((name) => new Option(shown(name), name)));
    select.value = names.includes(chosen) ? chosen : "";
    select.parentElement.hidden = names.length < 2;
  }
}
