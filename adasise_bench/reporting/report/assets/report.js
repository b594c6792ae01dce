"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const index = JSON.parse(byId("index").textContent);
  const methods = index.methods.map((_, method) => method);
  const metrics = index.metrics.map((_, metric) => metric);
  const arrows = { up: " ↑", down: " ↓" };

  /** An element with properties and children; strings become text, never markup. */
  function make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  // Data

  const classOf = (pair) => index.classes[index.className[pair]] ?? "no class";
  const networkOf = (pair) => index.models[index.model[pair]];
  const idOf = (pair) => index.pictures[index.picture[pair]];
  const valueOf = (pair, method, metric) => index.values[method][metric][pair];
  const errorOf = (pair, method) => index.errors[method][pair];
  const isDegenerate = (pair, method) => index.degenerate[method][pair] === true;
  const shortTitle = (metric) => index.metrics[metric].title.split(",")[0];

  function printed(value, unit) {
    if (value === null) return "–";
    return unit === "seconds" && value < 1 ? value.toPrecision(2) : value.toFixed(2);
  }

  /** Whether a value is the pair's best of its metric, at the printed precision, and not all are equal. */
  function isBest(pair, method, metric) {
    const { direction, unit, comparable } = index.metrics[metric];
    if (!comparable || index.controls.includes(method)) return false;
    const competing = methods.filter((other) => !index.controls.includes(other));
    const values = competing.map((other) => valueOf(pair, other, metric)).filter((value) => value !== null);
    const numbers = values.map((value) => Number(printed(value, unit)));
    const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
    const own = valueOf(pair, method, metric);
    return own !== null && low < high && Number(printed(own, unit)) === (direction === "up" ? high : low);
  }

  const held = index.held && new Set(index.held);
  const absent = { size: null, boxes: [], webp: null, problem: "Not in this file", maps: {}, absent: true };
  const parsed = new Map();

  /** Pixels, boxes and maps of a pair's picture; the last few are kept parsed. */
  function blockOf(pair) {
    const picture = index.picture[pair];
    if (held && !held.has(picture)) return absent;
    const block = parsed.get(picture) ?? JSON.parse(byId(`picture-${picture}`).textContent);
    parsed.delete(picture);
    parsed.set(picture, block);
    if (parsed.size > 48) parsed.delete(parsed.keys().next().value);
    return block;
  }

  // Choosing and ordering pairs

  const controls = byId("controls").elements;

  function isWanted(pair) {
    const { model, class: chosen, state, search } = controls;
    if (model.value && index.model[pair] !== Number(model.value)) return false;
    if (chosen.value && index.className[pair] !== Number(chosen.value)) return false;
    if (!idOf(pair).toLowerCase().includes(search.value.trim().toLowerCase())) return false;
    if (!state.value) return true;
    if (state.value === "held") return held.has(index.picture[pair]);
    const failed = methods.some((method) => errorOf(pair, method) !== undefined);
    const degenerate = methods.some((method) => isDegenerate(pair, method));
    return { error: failed, degenerate, sound: !failed && !degenerate }[state.value];
  }

  /** Whether the list is sorted by a metric, which every method has a value of. */
  const byMethod = () => /^\d+$/.test(controls.metric.value);

  function sortValue(pair) {
    const { metric, method, minus } = controls;
    if (metric.value === "score") return index.score[pair];
    if (metric.value === "box_share") return index.boxShare[pair];
    const value = valueOf(pair, Number(method.value), Number(metric.value));
    if (!minus.value) return value;
    if (!index.metrics[Number(metric.value)].comparable) return null;
    const other = valueOf(pair, Number(minus.value), Number(metric.value));
    return value === null || other === null ? null : value - other;
  }

  /** Pairs in the wanted order; those without a value come last, equal ones stay in the records' order. */
  function chosenPairs() {
    const pairs = index.picture.map((_, pair) => pair).filter(isWanted);
    if (!controls.metric.value) return pairs;
    const sign = controls.order.value === "up" ? 1 : -1;
    const keys = new Map(pairs.map((pair) => [pair, sortValue(pair)]));
    return pairs.sort((a, b) => {
      const [x, y] = [keys.get(a), keys.get(b)];
      if (x === null || y === null) return (x === null) - (y === null);
      return sign * (x - y);
    });
  }

  // Drawing a pair

  const overlay = index.overlay;
  const colors = Uint8Array.from(atob(overlay.colors), (letter) => letter.charCodeAt(0));
  document.documentElement.style.setProperty("--dimming", overlay.dimming);

  const source = (webp) => `data:image/webp;base64,${webp}`;

  /** Colour a grey map: opaque when it stands alone, else the more opaque the higher it is. */
  async function paint(canvas, webp, alone) {
    const image = new Image();
    image.src = source(webp);
    await image.decode();
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < pixels.data.length; i += 4) {
      const level = pixels.data[i];
      pixels.data.set(colors.subarray(3 * level, 3 * level + 3), i);
      pixels.data[i + 3] = alone ? 255 : Math.round(overlay.opacity * level);
    }
    context.putImageData(pixels, 0, 0);
  }

  function boxesOf(block, className) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", `0 0 ${block.size.join(" ")}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    const own = block.boxes.filter(([name]) => name === className);
    const others = block.boxes.filter(([name]) => name !== className);
    for (const kind of ["other", "edge", "own"]) {
      for (const [, x, y, width, height, degrees] of kind === "other" ? others : own) {
        const rectangle = document.createElementNS(svg.namespaceURI, "rect");
        Object.entries({ x, y, width, height }).forEach((side) => rectangle.setAttribute(...side));
        if (degrees) rectangle.setAttribute("transform", `rotate(${degrees} ${x + width / 2} ${y + height / 2})`);
        rectangle.setAttribute("class", kind);
        svg.append(rectangle);
      }
    }
    return svg;
  }

  const notice = (text, kind = "") => make("p", { className: `notice ${kind}`, title: text }, text);

  /** A frame that holds a picture's proportions. */
  function framed(block, ...layers) {
    const [width, height] = block.size ?? [1, 1];
    const stage = make("div", { className: "stage" }, ...layers);
    stage.style.aspectRatio = `${width} / ${height}`;
    stage.classList.toggle("tall", height > width);
    return make("div", { className: "frame" }, stage);
  }

  function pictureFrame(pair, block) {
    if (!block.webp) return make("div", { className: "frame" }, notice(block.problem ?? "No picture"));
    const alt = `Picture ${idOf(pair)} with boxes around every ${classOf(pair)}`;
    return framed(block, make("img", { src: source(block.webp), alt }), boxesOf(block, classOf(pair)));
  }

  function mapFrame(pair, block, method, alone) {
    const error = errorOf(pair, method);
    if (error !== undefined) return make("div", { className: "frame" }, notice(error, "error"));
    if (block.absent) return make("div", { className: "frame" }, notice(block.problem));
    const map = block.maps[pair][method];
    const bare = metrics.every((metric) => valueOf(pair, method, metric) === null);
    if (map === null && bare) return make("div", { className: "frame" }, notice("Not explained"));
    if (map === null)
      return make("div", { className: "frame" }, notice("No map saved; --save-maps keeps them"));
    if (map.problem) return make("div", { className: "frame" }, notice(map.problem, "error"));
    const canvas = make("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Map of ${index.methods[method]}`);
    paint(canvas, map.webp, alone || !block.webp);
    const layers = block.webp ? [make("img", { src: source(block.webp), alt: "", className: "dim" })] : [];
    layers.push(canvas);
    if (block.size) layers.push(boxesOf({ ...block, boxes: block.boxes.filter(([name]) => name === classOf(pair)) }, classOf(pair)));
    return framed(block, ...layers);
  }

  function tiles(pair, alone = false) {
    const block = blockOf(pair);
    const picture = make("figure", { className: "tile" }, pictureFrame(pair, block), make("figcaption", {}, "Picture"));
    return [
      picture,
      ...methods.map((method) => {
        const frame = mapFrame(pair, block, method, alone);
        if (isDegenerate(pair, method)) frame.append(make("p", { className: "badge" }, "degenerate"));
        return make("figure", { className: "tile" }, frame, make("figcaption", {}, index.methods[method]));
      }),
    ];
  }

  const fact = (name, value, kind = "") =>
    make("div", { className: kind }, make("dt", {}, name), make("dd", {}, value));

  /** What is known of a pair whatever the method, and the difference that the list is sorted by. */
  function facts(pair) {
    const { metric, minus } = controls;
    const keyed = (name) => (metric.value === name ? "key" : "");
    const share = index.boxShare[pair];
    const listed = [
      fact("Score Ψ", index.scoreText[pair] ?? "–", keyed("score")),
      fact("Boxes' area", share === null ? "–" : `${share.toFixed(1)} %`, keyed("box_share")),
    ];
    if (byMethod() && minus.value) {
      const difference = sortValue(pair);
      const sign = difference > 0 ? "+" : "";
      listed.push(fact("Difference", difference === null ? "–" : sign + difference.toFixed(2), "key"));
    }
    return make("dl", {}, ...listed);
  }

  function numbers(pair, method) {
    const chosen = [controls.method.value, controls.minus.value].includes(String(method));
    return make("dl", {}, ...metrics.map((metric) => {
      const best = isBest(pair, method, metric) ? "best" : "";
      const key = chosen && controls.metric.value === String(metric) ? "key" : "";
      const value = printed(valueOf(pair, method, metric), index.metrics[metric].unit);
      return fact(shortTitle(metric), value, `${best} ${key}`);
    }));
  }

  function card(pair, position) {
    const name = `${idOf(pair)}, ${classOf(pair)}, ${networkOf(pair)}`;
    const button = make("button", { type: "button", className: "open", tabIndex: position === list.active ? 0 : -1 },
      idOf(pair), make("b", {}, classOf(pair)));
    button.setAttribute("aria-label", `Open ${name}`);
    const [picture, ...maps] = tiles(pair);
    picture.append(facts(pair));
    maps.forEach((tile, method) => tile.append(numbers(pair, method)));
    const item = make("li", { className: "pair" },
      make("div", { className: "title" }, button, make("span", {}, index.models.length > 1 ? networkOf(pair) : "")),
      make("div", { className: "tiles" }, picture, ...maps));
    item.setAttribute("aria-posinset", position + 1);
    item.setAttribute("aria-setsize", list.pairs.length);
    item.dataset.pair = pair;
    return item;
  }

  // The list: only what is near the window is in the document

  const list = {
    element: byId("list"),
    pairs: [],
    items: new Map(),
    active: 0,
    columns: 1,
    width: 0,
    height: 0,
    gap: 16,
    laidOutFor: 0,

    fill(pairs) {
      this.pairs = pairs;
      this.active = 0;
      this.layOut();
    },

    layOut() {
      this.items.clear();
      this.element.replaceChildren();
      const width = this.laidOutFor = this.element.clientWidth;
      const wanted = 148 * (methods.length + 1);
      this.columns = Math.max(1, Math.floor((width + this.gap) / (wanted + this.gap)));
      this.width = (width - this.gap * (this.columns - 1)) / this.columns;
      if (this.pairs.length) this.height = this.put(0).offsetHeight + this.gap;
      const rows = Math.ceil(this.pairs.length / this.columns);
      this.element.style.height = `${rows * this.height}px`;
      this.update();
    },

    put(position) {
      const known = this.items.get(position);
      if (known) return known;
      const item = card(this.pairs[position], position);
      const left = (position % this.columns) * (this.width + this.gap);
      const top = Math.floor(position / this.columns) * this.height;
      item.style.width = `${this.width}px`;
      item.style.transform = `translate(${left}px, ${top}px)`;
      this.items.set(position, item);
      const after = [...this.items.keys()].filter((other) => other > position).sort((a, b) => a - b)[0];
      this.element.insertBefore(item, this.items.get(after) ?? null);
      return item;
    },

    /** Draw the rows within half a window of the window, and at least the first or the last one. */
    update() {
      if (!this.pairs.length) return;
      const top = -this.element.getBoundingClientRect().top;
      const margin = window.innerHeight / 2;
      const end = Math.ceil(this.pairs.length / this.columns);
      const firstRow = Math.min(Math.max(0, Math.floor((top - margin) / this.height)), end - 1);
      const lastRow = Math.max(Math.ceil((top + window.innerHeight + margin) / this.height), firstRow + 1);
      const [first, last] = [firstRow * this.columns, lastRow * this.columns];
      const held = this.element.contains(document.activeElement) ? this.active : -1;
      for (const [position, item] of this.items) {
        if ((position < first || position >= last) && position !== held) {
          item.remove();
          this.items.delete(position);
        }
      }
      for (let position = first; position < Math.min(last, this.pairs.length); position++) this.put(position);
      if (held < 0 && !this.items.has(this.active)) this.activate([...this.items.keys()].sort((a, b) => a - b)[0] ?? 0);
    },

    activate(position) {
      for (const [other, item] of this.items) item.querySelector("button").tabIndex = other === position ? 0 : -1;
      this.active = position;
    },

    focus(position) {
      const item = this.put(position);
      this.activate(position);
      item.scrollIntoView({ block: "nearest" });
      item.querySelector("button").focus({ preventScroll: true });
    },

    onKey(event) {
      if (!this.pairs.length || event.ctrlKey || event.metaKey || event.altKey) return;
      const page = this.columns * Math.max(1, Math.floor(window.innerHeight / this.height));
      const end = this.pairs.length - 1;
      const steps = {
        ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns,
        PageDown: page, PageUp: -page, Home: -end, End: end,
      };
      const step = steps[event.key];
      if (step === undefined) return;
      event.preventDefault();
      this.focus(Math.min(Math.max(this.active + step, 0), end));
    },
  };

  // One pair, large

  const dialog = {
    element: byId("pair"),
    position: 0,

    open(position) {
      this.show(position);
      this.element.showModal();
      byId("next").focus();
    },

    show(position) {
      this.position = position;
      const pair = list.pairs[position];
      byId("pair-title").replaceChildren(idOf(pair), make("b", {}, classOf(pair)));
      byId("pair-facts").replaceChildren(networkOf(pair), facts(pair));
      byId("position").textContent = `${position + 1} / ${list.pairs.length}`;
      byId("previous").ariaDisabled = position === 0;
      byId("next").ariaDisabled = position === list.pairs.length - 1;
      byId("pair-tiles").replaceChildren(...tiles(pair, byId("map-only").checked));
      byId("pair-table").replaceChildren(...this.table(pair));
    },

    table(pair) {
      const scoped = (scope, ...children) => make("th", { scope }, ...children);
      const head = make("tr", {}, make("td"), ...methods.map((method) => scoped("col", index.methods[method])));
      const rows = metrics.map((metric) => {
        const { title, direction, unit } = index.metrics[metric];
        return make("tr", {}, scoped("row", title + (arrows[direction] ?? "")), ...methods.map((method) => {
          const value = printed(valueOf(pair, method, metric), unit);
          return make("td", {}, isBest(pair, method, metric) ? make("strong", {}, value) : value);
        }));
      });
      const remarks = methods.map((method) => errorOf(pair, method) ?? (isDegenerate(pair, method) ? "degenerate map" : ""));
      if (remarks.some(Boolean))
        rows.push(make("tr", { className: "remarks" }, scoped("row", "Remarks"), ...remarks.map((text) => make("td", {}, text))));
      return [make("thead", {}, head), make("tbody", {}, ...rows)];
    },

    move(step) {
      const position = Math.min(Math.max(this.position + step, 0), list.pairs.length - 1);
      if (position === this.position) return;
      this.show(position);
    },

    onKey(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -list.pairs.length, End: list.pairs.length };
      if (steps[event.key] === undefined) return;
      event.preventDefault();
      this.move(steps[event.key]);
    },

    /** A finger drawn sideways turns the page. */
    onTouch(start, end) {
      const [across, along] = [end.clientX - start.clientX, end.clientY - start.clientY];
      if (Math.abs(across) > 60 && Math.abs(across) > 2 * Math.abs(along)) this.move(across < 0 ? 1 : -1);
    },
  };

  // Wiring

  function addOptions(select, entries) {
    select.append(...entries.map(([value, text]) => make("option", { value, textContent: text })));
  }

  function fillControls() {
    const classes = index.classes.map((name, number) => [number, name]);
    if (index.className.includes(-1)) classes.push([-1, "no class"]);
    const pairsOf = new Map();
    for (const number of index.className) pairsOf.set(number, (pairsOf.get(number) ?? 0) + 1);
    const counted = classes.map(([number, name]) => [number, `${name} (${pairsOf.get(number)})`]);
    addOptions(controls.model, index.models.map((title, model) => [model, title]));
    addOptions(controls.class, counted);
    addOptions(controls.metric, [["", "order of the run"], ...metrics.map((metric) => [metric, shortTitle(metric)]),
      ["score", "Score Ψ"], ["box_share", "Boxes' area"]]);
    addOptions(controls.method, index.methods.map((title, method) => [method, title]));
    addOptions(controls.minus, index.methods.map((title, method) => [method, title]));
    controls.model.closest("label").hidden = index.models.length < 2;
    byId("controls").hidden = false;
  }

  function choose() {
    for (const control of [controls.method, controls.minus]) control.closest("label").hidden = !byMethod();
    controls.order.closest("label").hidden = !controls.metric.value;
    list.fill(chosenPairs());
    byId("count").textContent = `${list.pairs.length} of ${index.picture.length} pairs`;
    byId("list").classList.toggle("empty", !list.pairs.length);
    if (list.element.getBoundingClientRect().top < 0) byId("pairs").scrollIntoView();
  }

  fillControls();
  choose();
  new ResizeObserver(() => {
    if (list.element.clientWidth !== list.laidOutFor) list.layOut();
  }).observe(list.element);
  let waiting = false;
  addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      list.update();
    });
  }, { passive: true });

  const form = byId("controls");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", choose);
  form.addEventListener("reset", () => setTimeout(choose));
  const positionOf = (target) => {
    const item = target.closest("li.pair");
    return item ? Number(item.getAttribute("aria-posinset")) - 1 : null;
  };
  list.element.addEventListener("keydown", (event) => list.onKey(event));
  list.element.addEventListener("focusin", (event) => list.activate(positionOf(event.target)));
  list.element.addEventListener("click", (event) => {
    const position = positionOf(event.target);
    if (position !== null) dialog.open(position);
  });

  dialog.element.addEventListener("keydown", (event) => dialog.onKey(event));
  dialog.element.addEventListener("close", () => list.focus(dialog.position));
  dialog.element.addEventListener("click", (event) => {
    if (event.target === dialog.element) dialog.element.close();
  });
  byId("previous").addEventListener("click", () => dialog.move(-1));
  byId("next").addEventListener("click", () => dialog.move(1));
  byId("close").addEventListener("click", () => dialog.element.close());
  byId("show-boxes").addEventListener("change", (event) =>
    dialog.element.classList.toggle("without-boxes", !event.target.checked));
  byId("map-only").addEventListener("change", () => dialog.show(dialog.position));
  let start = null;
  byId("pair-tiles").addEventListener("touchstart", (event) => {
    start = event.touches.length === 1 ? event.touches[0] : null;
  }, { passive: true });
  byId("pair-tiles").addEventListener("touchend", (event) => {
    if (start) dialog.onTouch(start, event.changedTouches[0]);
    start = null;
  });
})();
