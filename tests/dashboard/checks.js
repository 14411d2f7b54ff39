// What a reader with other eyes, or none, would trip over. Evaluated in the page by test_page.py.
({
  /** What can be used, but has no name. */
  nameless() {
    const usable = "button, a[href], input, select, canvas, dialog, [role=grid], [role=log], [tabindex='0']";
    const named = (e) =>
      e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.[0]?.textContent.trim() ||
      document.getElementById(e.getAttribute("aria-labelledby"))?.textContent.trim();
    return [...document.querySelectorAll(usable)].filter((e) => !named(e)).map((e) => e.outerHTML.slice(0, 100));
  },

  /** Texts and marks in sight with too little contrast for WCAG AA: 4.5 for texts, 3 for marks. */
  pale() {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgb = (colour) => {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
      return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
    const behind = (e) => {
      for (; e; e = e.parentElement) {
        const colour = rgb(getComputedStyle(e).backgroundColor);
        if (colour[3] === 255) return colour;
      }
      return [255, 255, 255, 255];
    };
    const contrast = (a, b) => {
      const [bright, dark] = [light(a), light(b)].sort((x, y) => y - x);
      return (bright + 0.05) / (dark + 0.05);
    };
    const found = new Set();
    for (const e of document.querySelectorAll("body *")) {
      if (!e.checkVisibility({ visibilityProperty: true }) || e.closest(".unseen, canvas")) continue;
      const mark = e.matches("svg.mark");
      if (!mark && ![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
      const value = contrast(rgb(getComputedStyle(e).color), behind(e));
      if (value < (mark ? 3 : 4.5)) {
        found.add(`${value.toFixed(2)} ${e.tagName}.${e.getAttribute("class")} ${e.textContent.slice(0, 30)}`);
      }
    }
    return [...found];
  },
})
