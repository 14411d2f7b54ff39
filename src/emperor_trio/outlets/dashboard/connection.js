// The control channel: one websocket, opened again when it is lost, and the requests that go over it. No DOM.

import { tokenProtocol } from "./words.js";

const SILENCE = 2000;        // ms without a message, after which what is shown may be stale
const PATIENCE = 5000;       // ms for a connection to come about
const TOKEN_PATIENCE = 20000; // the same with a new token: the gateway takes its time over wrong ones
const FIRST_PAUSE = 500;     // ms until the next try, doubled each time
const LONGEST_PAUSE = 5000;
const CHECK = 250;           // ms between two looks at the clock

/** What the emperor refused, or what can't be asked since the connection is lost. */
export class Refusal extends Error {}

function socketOf(url, token) {
  return new WebSocket(url, token ? ["emperor-trio.v1", tokenProtocol(token)] : ["emperor-trio.v1"]);
}

/**
 * `take(message)` gets every message; `changed()` is told when `live`, `since` or `tries` become others; `refused()`
 * when the emperor is there, but doesn't take the token. Subscriptions are asked for again after each reconnection.
 */
export class Connection {
  live = false;
  since = performance.now(); // when the newest message came, in the page's clock
  tries = 0;
  token = null;

  #url;
  #take;
  #changed;
  #refused;
  #socket = null;
  #greeted = false;
  #began = 0;
  #pause = FIRST_PAUSE;
  #retry = null;
  #checked = performance.now();
  #nextId = 1;
  #waiting = new Map();       // id → { resolve, reject }
  #subscriptions = new Map(); // id → subscription

  constructor(url, { take, changed, refused }) {
    this.#url = url;
    this.#take = take;
    this.#changed = changed;
    this.#refused = refused;
    setInterval(() => this.#check(), CHECK);
    addEventListener("online", () => this.now());
    document.addEventListener("visibilitychange", () => document.hidden || this.now());
  }

  start(token) {
    this.token = token;
    this.#connect();
  }

  /** Try at once, if a try is being waited for. */
  now() {
    if (!this.#retry) return;
    this.#pause = FIRST_PAUSE;
    this.#connect();
  }

  /** One request and its one answer. */
  ask(type, fields = {}) {
    if (!this.live) return Promise.reject(new Refusal("the connection to the emperor is lost"));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#send({ type, id, ...fields });
    });
  }

  /**
   * A request with answers until it is ended; the function that ends it is returned. `answer` gets each message, and
   * `{ type: "again" }` where it is asked for once more, over a new connection.
   */
  subscribe(type, fields, answer = () => {}) {
    const subscription = { type, fields, answer, id: 0 };
    this.#begin(subscription);
    return () => {
      const { id } = subscription;
      if (!this.#subscriptions.delete(id) || !this.#greeted) return;
      this.ask("unsubscribe", { subscription: id }).catch(() => {}); // it may have ended by itself
    };
  }

  /** Whether the emperor takes this token; then the connection goes on with it. */
  unlock(token) {
    return new Promise((resolve) => {
      const socket = socketOf(this.#url, token);
      const settle = (accepted) => {
        clearTimeout(limit);
        socket.onmessage = socket.onclose = null;
        socket.close();
        if (accepted) this.#reopen(token);
        resolve(accepted);
      };
      const limit = setTimeout(() => settle(false), TOKEN_PATIENCE);
      socket.onmessage = ({ data }) => settle(JSON.parse(data).commands === true);
      socket.onclose = () => settle(false);
    });
  }

  /** Go on without the token. */
  lock() {
    this.#reopen(null);
  }

  #reopen(token) {
    this.token = token;
    this.#drop();
    this.#connect();
  }

  #begin(subscription) {
    subscription.id = this.#nextId++;
    this.#subscriptions.set(subscription.id, subscription);
    if (this.#greeted) this.#send({ type: subscription.type, id: subscription.id, ...subscription.fields });
  }

  #send(message) {
    // JSON keeps lone surrogates, of names that are no UTF-8, as escapes.
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #connect() {
    clearTimeout(this.#retry);
    this.#retry = null;
    this.#greeted = false;
    this.#began = performance.now();
    this.tries += 1;
    const socket = (this.#socket = socketOf(this.#url, this.token));
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    socket.onclose = () => this.#lost();
    this.#changed();
  }

  #receive(message) {
    this.since = performance.now();
    if (message.type === "greeting") this.#greet(message.commands);
    if (!this.live && this.#greeted) {
      this.live = true;
      this.tries = 0;
      this.#pause = FIRST_PAUSE;
      this.#changed();
    }
    this.#take(message);
    const waiting = this.#waiting.get(message.id);
    if (waiting) {
      this.#waiting.delete(message.id);
      if (message.type === "refused") waiting.reject(new Refusal(message.error));
      else waiting.resolve(message);
    } else {
      this.#subscriptions.get(message.id)?.answer(message);
    }
  }

  #greet(commands) {
    this.#greeted = true;
    if (this.token && !commands) { // changed meanwhile: what can be seen is seen without one, too
      this.token = null;
      this.#refused();
    }
    const again = [...this.#subscriptions.values()];
    this.#subscriptions.clear();
    for (const subscription of again) {
      subscription.answer({ type: "again" });
      this.#begin(subscription);
    }
  }

  #check() {
    const now = performance.now();
    const late = now - this.#checked > 4 * CHECK; // we were not run: messages may be waiting behind us
    this.#checked = now;
    if (late || this.#retry) return;
    if (this.live ? now - this.since > SILENCE : now - this.#began > PATIENCE) this.#lost();
  }

  #lost() {
    this.#drop();
    this.#retry = setTimeout(() => this.#connect(), this.#pause * (0.8 + 0.4 * Math.random()));
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE);
    this.#changed();
  }

  #drop() {
    clearTimeout(this.#retry);
    this.#retry = null;
    this.live = this.#greeted = false;
    const socket = this.#socket;
    if (socket) {
      socket.onmessage = socket.onclose = null;
      socket.close();
    }
    this.#socket = null;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of waiting) reject(new Refusal("the connection to the emperor was lost before it answered"));
  }
}
