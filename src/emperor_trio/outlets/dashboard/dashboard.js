// The page as a whole: where its parts are put together, and when they are drawn.

import { Connection } from "./connection.js";
import { $, asked, dress, say } from "./dom.js";
import { Field, Legend } from "./field.js";
import { List } from "./list.js";
import { Monitors } from "./monitors.js";
import { Filter, Store } from "./state.js";
import { Steering } from "./steering.js";
import { Stream } from "./stream.js";
import { VassalPage } from "./vassal.js";
import { TROUBLED, count, duration, linkTo, linked, shown } from "./words.js";

const TOKEN = "emperor-trio.token"; // in the session's storage: gone with the tab
const THEME = "emperor-trio.theme";

const store = new Store();
const filter = new Filter();
const local = () => Date.now() / 1000;

/** The emperor's time; while nothing comes from it, that of its last message, so that nothing seems to go on. */
function now() {
  const silent = connection.live ? 0 : (performance.now() - connection.since) / 1000;
  return store.now(local() - silent);
}

let asking = false; // whether a frame is asked for

function soon() {
  if (asking) return;
  asking = true;
  requestAnimationFrame(frame);
}

function frame() {
  asking = false;
  const difference = store.take();
  const time = now();
  const began = performance.now();
  header(difference);
  monitors.update(difference, time);
  if (!page.open) {
    field.update(difference, began);
    list.update(difference, began);
    stream.update(difference);
    if (field.stale || list.stale) setTimeout(soon, 100);
  } else {
    missed.add(difference);
    page.update(difference, time);
  }
  steering.update(difference);
}

// What happened while a vassal's page was open, for the parts that were not in sight.
const missed = {
  events: 0,
  any: false,
  add(difference) {
    this.events += difference.events;
    this.any ||= difference.any;
  },
};

const connection = new Connection(
  new URL("ws", location.href).href.replace(/^http/, "ws").replace(/#.*/, ""),
  {
    take: (message) => {
      if (store.apply(message, local()) || page.open) soon();
    },
    changed: () => showConnection(),
    refused: () => {
      sessionStorage.removeItem(TOKEN);
      say($("announce"), "The token is not accepted any more; commands are locked.");
    },
  });

const steering = new Steering({ store, connection });
const open = (entry) => { location.hash = linkTo(entry.vassal); };
const field = new Field({ canvas: $("field"), tip: $("tip"), store, open });
const legend = new Legend($("legend"), (state) => {
  filter.toggle(state);
  filtered();
});
const list = new List({ store, connection, open });
connection.subscribe("subscribe", { vassals: true, events: false });
const stream = new Stream({ store, connection });
const monitors = new Monitors({ store, steering });
const page = new VassalPage({ store, connection, steering });

// --- header ----------------------------------------------------------------------------------------------------------

function header(difference) {
  if (difference.greeting) {
    const { host, version, pid, commands } = store.greeting;
    say($("host"), host ? shown(host) : location.hostname);
    say($("version"), `emperor-trio ${version}`);
    say($("pid"), `pid ${pid}`);
    dress(document.body, commands ? "commands" : "");
    say($("unlock"), commands ? "Lock" : "Unlock");
  }
  if (difference.vassals.size || difference.whole) {
    legend.update(store.totals, filter.states);
    const trouble = [...TROUBLED].reduce((sum, state) => sum + (store.totals.get(state) ?? 0), 0);
    say($("total"), store.entries.size.toLocaleString("en"));
    say($("up"), (store.totals.get("up") ?? 0).toLocaleString("en"));
    say($("trouble"), trouble.toLocaleString("en"));
    $("trouble").parentElement.classList.toggle("some", trouble > 0);
    document.title = `${trouble ? `${trouble} in trouble – ` : ""}${$("host").textContent} – emperor-trio`;
    const away = store.absent.length;
    say($("absent"), away ? `${count(away, "vassal")} held stopped, not at their source now` : "");
  }
}

let announced = null;

function showConnection() {
  const { live } = connection;
  const never = store.greeting === null;
  document.documentElement.dataset.connection = live ? "live" : never ? "new" : "lost";
  say($("connection"), live ? "live" : never && connection.tries < 2
    ? "connecting …" : `lost ${duration((performance.now() - connection.since) / 1000)} ago, trying again`);
  if (announced !== live && (live || connection.tries !== 1 || !never)) { // once each time: a reader is not told every second
    announced = live;
    say($("announce"), live ? "Live." : "The connection to the emperor is lost. Trying again.");
  }
}

setInterval(() => {
  showConnection();
  if (!connection.live) return;
  const time = now();
  say($("uptime"), `up ${duration(time - store.greeting.started)}`);
  monitors.tick(time);
  if (page.open) page.tick(time);
  else list.tick();
}, 1000);

// --- filters ---------------------------------------------------------------------------------------------------------

function filtered() {
  const passes = filter.compiled();
  field.filter(passes);
  list.filter(passes);
  legend.update(store.totals, filter.states);
  $("clear").hidden = !filter.active;
}

$("search").addEventListener("input", ({ target }) => {
  filter.text = target.value;
  filtered();
});
$("search").addEventListener("keydown", (event) => {
  if (event.key !== "ArrowDown" && event.key !== "Enter") return;
  event.preventDefault();
  list.focus();
});
$("monitor").addEventListener("change", ({ target }) => {
  filter.monitor = target.value;
  filtered();
});
function clear() {
  filter.clear();
  $("search").value = "";
  $("monitor").value = "";
  filtered();
}
$("clear").addEventListener("click", clear);
$("list-empty").querySelector("button").addEventListener("click", clear);
$("order").addEventListener("change", ({ target }) => field.order(target.value));

// --- pages -----------------------------------------------------------------------------------------------------------

function route() {
  const vassal = linked(location.hash);
  const before = page.open;
  $("overview").hidden = Boolean(vassal);
  $("vassal").hidden = !vassal;
  list.watch(!vassal);
  if (vassal) {
    page.show(vassal);
    scrollTo(0, 0);
    $("vassal-title").focus();
  } else if (before) {
    page.hide();
    const everything = { vassals: store.entries, membership: missed.any, whole: missed.any, events: missed.events };
    missed.events = 0;
    missed.any = false;
    field.update(everything, performance.now());
    list.update({ vassals: new Map(), whole: true }, performance.now());
    stream.update(everything);
    field.draw();
    list.focus();
  }
  soon();
}
addEventListener("hashchange", route);

// --- theme, help, token ----------------------------------------------------------------------------------------------

const THEMES = ["auto", "light", "dark"];
const dark = matchMedia("(prefers-color-scheme: dark)");

function theme(name) {
  document.documentElement.dataset.theme = name;
  say($("theme"), `Theme: ${name}`);
  field.repaint();
}
$("theme").addEventListener("click", () => {
  const name = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
  localStorage.setItem(THEME, name);
  theme(name);
});
dark.addEventListener("change", () => field.repaint());
const stored = localStorage.getItem(THEME);
theme(THEMES.includes(stored) ? stored : "auto");

$("help-button").addEventListener("click", () => asked($("help")));

$("unlock").addEventListener("click", async () => {
  if (store.greeting?.commands && connection.token) {
    sessionStorage.removeItem(TOKEN);
    connection.lock();
    return;
  }
  $("token").value = "";
  say($("token-error"), "");
  const dialog = $("token-dialog");
  for (const button of dialog.querySelectorAll("[data-close]")) button.onclick = () => dialog.close();
  dialog.querySelector("form").onsubmit = async (event) => {
    event.preventDefault();
    say($("token-error"), "Asking …");
    const token = $("token").value.trim();
    if (await connection.unlock(token)) {
      sessionStorage.setItem(TOKEN, token);
      dialog.close();
    } else {
      say($("token-error"), "The emperor does not accept this token.");
      $("token").select();
    }
  };
  dialog.onclose = () => { $("token").value = ""; };
  dialog.showModal();
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
  const typing = event.target.matches("input, select, textarea");
  if (event.key === "Escape") {
    if (event.target === $("search") && filter.active) clear();
    else if (page.open) location.hash = "#/";
    else if (typing) event.target.blur();
    else if (filter.active) clear();
  } else if (typing) return;
  else if (event.key === "/") {
    if (page.open) $("log-search").focus();
    else $("search").focus();
  } else if (event.key === "?") asked($("help"));
  else return;
  event.preventDefault();
});

route();
connection.start(sessionStorage.getItem(TOKEN));
