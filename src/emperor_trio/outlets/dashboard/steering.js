// Commands: asked for, confirmed by name, answered, and followed until their effect is really there.

import { $, asked, make, say } from "./dom.js";
import { keyOf } from "./state.js";
import { duration, nameOf, shown } from "./words.js";

export const VERBS = {
  reload: ["Reload", "It takes its config again, in place: no request is lost."],
  restart: ["Restart", "Its process is stopped and a new one is started."],
  stop: ["Stop", "It stays stopped, through touches, reloads and restarts of the emperor, until it is started."],
  start: ["Start", "It is started, whatever kept it away."],
  forgive: ["Forgive", "Its deaths are forgotten: it needs not wait any longer."],
};

const FORGOTTEN = 12_000; // ms for which a result stays

export class Steering {
  #store;
  #connection;
  #followed = new Map(); // key → { verb, revision, note, began }

  constructor({ store, connection }) {
    this.#store = store;
    this.#connection = connection;
  }

  /** Ask whether it is meant, and do it. */
  async command(verb, vassal) {
    const [word, meaning] = VERBS[verb];
    const dialog = $("confirm");
    say($("confirm-verb"), word);
    say($("confirm-name"), nameOf(vassal));
    say($("confirm-monitor"), shown(vassal.monitor));
    say($("confirm-meaning"), meaning);
    say($("confirm-yes"), word);
    $("confirm-yes").classList.toggle("danger", verb === "stop");
    if (!(await asked(dialog))) return;
    const note = this.#note(`${word} ${nameOf(vassal)}`, "asking the emperor …");
    const began = performance.now();
    try {
      const which = { names: [vassal.name], monitor: vassal.monitor, exact: true };
      const { verdicts } = await this.#connection.ask("command", { verb, which });
      const verdict = verdicts.find((found) => keyOf(found) === keyOf(vassal)) ?? verdicts[0];
      if (!verdict) return this.#settle(note, "no such vassal is here now", "bad");
      if (!verdict.ok) return this.#settle(note, shown(verdict.text), "bad");
      if (verb === "forgive") return this.#settle(note, shown(verdict.text), "good");
      note.tell(`${shown(verdict.text)}; waiting until it is so …`);
      this.#followed.set(keyOf(vassal), { verb, revision: verdict.revision, note, began });
      this.#look(keyOf(vassal));
    } catch (error) {
      this.#settle(note, error.message, "bad");
    }
  }

  async scan(monitor) {
    const note = this.#note(monitor === null ? "Scan of all monitors" : `Scan of ${shown(monitor)}`, "looking …");
    try {
      const { text } = await this.#connection.ask("scan", { monitor });
      this.#settle(note, shown(text) || "done", "good");
    } catch (error) {
      this.#settle(note, error.message, "bad");
    }
  }

  update(difference) {
    for (const key of this.#followed.keys()) if (difference.vassals.has(key)) this.#look(key);
  }

  #look(key) {
    const { verb, revision, note, began } = this.#followed.get(key);
    const vassal = this.#store.entries.get(key)?.vassal;
    const after = `, ${duration2((performance.now() - began) / 1000)} after it was asked for`;
    if (!vassal) {
      this.#followed.delete(key);
      this.#settle(note, "the vassal is gone", "bad");
    } else if (verb === "stop" ? vassal.state === "stopped" : vassal.ready && vassal.revision >= revision) {
      this.#followed.delete(key);
      this.#settle(note, verb === "stop" ? `stopped${after}` : `ready${after}`, "good");
    } else if (verb !== "stop" && vassal.wanted >= revision && (vassal.state === "on demand" || vassal.held)) {
      this.#followed.delete(key);
      this.#settle(note, vassal.held ? "stopped meanwhile" : "waits for its first connection", "good");
    } else {
      note.tell(`waiting until it is ${verb === "stop" ? "stopped" : "ready"}: it is ${vassal.state} now …`);
    }
  }

  // --- notes ---------------------------------------------------------------------------------------------------------

  #note(title, text) {
    const told = make("span", "told", text);
    const away = make("button", "quiet", "✕");
    away.type = "button";
    away.setAttribute("aria-label", "Dismiss");
    const element = make("li", "note", make("strong", "", make("bdi", "", title)), told, away);
    away.addEventListener("click", () => element.remove());
    $("notes").append(element);
    while ($("notes").children.length > 5) $("notes").firstChild.remove();
    return { element, tell: (words) => say(told, words) };
  }

  #settle(note, text, how) {
    note.tell(text);
    note.element.classList.add(how);
    if (how === "good") setTimeout(() => note.element.remove(), FORGOTTEN);
  }
}

const duration2 = (seconds) => (seconds < 60 ? `${seconds.toFixed(1)} s` : duration(seconds));
