// The few things that every part of the page does with the document. Text is only ever set as text.

import { classOf } from "./words.js";

export const $ = (id) => document.getElementById(id);

/** An element with a class and, where given, its text or children. */
export function make(tag, className = "", ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** Set a text, and touch nothing where it is the same. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function dress(element, className) {
  if (element.className !== className) element.className = className;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Each state has a form of its own in a square of ten, so that colour is never all that tells it.
const FORMS = {
  up: { fill: "M0 0H10V10H0Z" },
  reloading: { fill: "M0 0H10V10H0Z M3 3V7H7V3Z" },
  starting: { fill: "M5 0L10 10H0Z" },
  stopping: { fill: "M0 0H10L5 10Z" },
  queued: { fill: "M3 3H7V7H3Z" },
  "on demand": { line: "M5 1A4 4 0 1 0 5 9A4 4 0 1 0 5 1" },
  blacklisted: { fill: "M5 -0.5L10.5 5L5 10.5L-0.5 5Z" },
  failed: { line: "M1 1L9 9M9 1L1 9", width: 3 },
  exiled: { line: "M1 1H9V9H1ZM1 9L9 1", width: 1.8 },
  stopped: { line: "M1 1H9V9H1Z", width: 1.6 },
};
const UNKNOWN = { line: "M0 5H10", width: 2 };

export const formOf = (state) => FORMS[state] ?? UNKNOWN;

/** The mark of a state, in its colour. */
export function mark(state) {
  const element = svg("svg", { class: "mark", viewBox: "-1 -1 12 12", "aria-hidden": "true" }, svg("path"));
  turn(element, state);
  return element;
}

/** Make a mark that of another state. */
export function turn(element, state) {
  if (element.dataset.state === state) return;
  element.dataset.state = state;
  element.setAttribute("class", `mark is-${classOf(state)}`);
  const { fill, line, width = 2 } = formOf(state);
  const path = element.firstChild;
  path.setAttribute("d", fill ?? line);
  path.setAttribute("fill", fill ? "currentColor" : "none");
  path.setAttribute("fill-rule", "evenodd");
  path.setAttribute("stroke", line ? "currentColor" : "none");
  path.setAttribute("stroke-width", line ? width : 0);
}

/** A dialog that is asked a question: true once its form was sent. Escape and "cancel" say no. */
export function asked(dialog) {
  return new Promise((resolve) => {
    const form = dialog.querySelector("form");
    let agreed = false;
    form.onsubmit = (event) => {
      event.preventDefault();
      agreed = true;
      dialog.close();
    };
    for (const button of dialog.querySelectorAll("[data-close]")) button.onclick = () => dialog.close();
    dialog.onclose = () => resolve(agreed);
    dialog.showModal();
  });
}
