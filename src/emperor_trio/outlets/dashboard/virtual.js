// Long lists of rows of one height, of which only those in sight are in the page.

const SPARE = 4; // rows above and below what is in sight

/**
 * `scroller` scrolls, `body` within it holds the rows. `make()` gives an empty row, `fill(row, index)` shows one in it.
 * `seen(first, last)` is told which are in sight (`last` is one behind).
 */
export class VirtualRows {
  count = 0;
  first = 0;
  last = 0;

  #scroller;
  #body;
  #height;
  #make;
  #fill;
  #seen;
  #rows = [];
  #asked = false;

  constructor({ scroller, body, height, make, fill, seen = () => {} }) {
    this.#scroller = scroller;
    this.#body = body;
    this.#height = height;
    this.#make = make;
    this.#fill = fill;
    this.#seen = seen;
    scroller.addEventListener("scroll", () => this.#ask(), { passive: true });
    new ResizeObserver(() => this.#ask()).observe(scroller);
  }

  /** So many rows there are now; those in sight are filled again. */
  show(count) {
    this.count = count;
    this.#body.style.height = `${count * this.#height}px`;
    this.draw();
  }

  /** Rows came before those in sight: keep these where they are, unless the very beginning is in sight. */
  grew(rows) {
    if (this.#scroller.scrollTop > this.#height / 2) this.#scroller.scrollTop += rows * this.#height;
  }

  /** The element of a row, if it is in sight. */
  row(index) {
    return index >= this.first && index < this.last ? this.#rows[index - this.first] : null;
  }

  /** Scroll as little as needed to see a row. */
  reveal(index) {
    const top = index * this.#height;
    const above = this.#body.offsetTop; // a head that stays in sight covers as much
    const room = this.#scroller.clientHeight - above;
    if (top < this.#scroller.scrollTop) this.#scroller.scrollTop = top;
    else if (top + this.#height > this.#scroller.scrollTop + room) this.#scroller.scrollTop = top + this.#height - room;
    this.draw();
  }

  get page() {
    return Math.max(1, Math.floor(this.#scroller.clientHeight / this.#height) - 1);
  }

  draw() {
    const top = this.#scroller.scrollTop;
    const room = this.#scroller.clientHeight;
    const first = Math.max(0, Math.min(this.count, Math.floor(top / this.#height) - SPARE));
    const last = room ? Math.min(this.count, Math.ceil((top + room) / this.#height) + SPARE) : first;
    while (this.#rows.length < last - first) this.#rows.push(this.#body.appendChild(this.#make()));
    while (this.#rows.length > last - first) this.#rows.pop().remove();
    this.#rows.forEach((row, offset) => {
      const y = `translateY(${(first + offset) * this.#height}px)`;
      if (row.style.transform !== y) row.style.transform = y;
      this.#fill(row, first + offset);
    });
    if (first === this.first && last === this.last) return;
    this.first = first;
    this.last = last;
    this.#seen(first, last);
  }

  #ask() {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      this.draw();
    });
  }
}
