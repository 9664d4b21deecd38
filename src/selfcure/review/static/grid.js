// Many faces at once. Only those in sight are elements; the others are asked for when they come near.

import { chooseClass, chooseSeveral } from "./dialogs.js";
import { verdictText } from "./desk.js";
import { count, find, h, percent, say } from "./dom.js";

const CHUNK = 120;
const KEPT_CHUNKS = 60;
const MOST_SELECTED = 5000;
const OVERSCAN = 2; // lines above and below that are drawn as well
// Browsers draw nothing below some 17 million pixels; a longer list is scrolled in larger steps.
const TALLEST = 8e6;

export class Grid {
  #desk;
  #place = find("grid");
  #chunks = new Map();
  #selected = new Set();
  #focus = 0;
  #anchor = 0;
  #columns = 1;
  #line = 1;
  #drawn = "";
  #elements = new Map();
  #list = null;

  constructor(desk) {
    this.#desk = desk;
    this.box = h("div", { class: "cards", role: "listbox", tabindex: "0", "aria-multiselectable": "true", "aria-label": "Faces" });
    this.space = h("div", { class: "space" });
    this.box.append(this.space);
    this.bar = h("div", { class: "buttons grid-bar", role: "toolbar", "aria-label": "Decide on the selected faces" });
    this.#place.append(this.bar, this.box);
    this.#buildBar();
    this.box.addEventListener("scroll", () => requestAnimationFrame(() => this.draw()), { passive: true });
    this.space.addEventListener("click", (event) => this.#click(event));
    this.space.addEventListener("dblclick", (event) => this.#openAt(this.#positionOf(event)));
    new ResizeObserver(() => this.#measure()).observe(this.box);
    desk.on("list", () => this.reset());
    desk.on("cards", (cards) => this.#update(cards));
    desk.on("view", () => { if (desk.view === "grid") requestAnimationFrame(() => this.#measure()); });
  }

  reset() {
    if (this.#list === this.#desk.list) return;
    this.#list = this.#desk.list;
    this.#chunks.clear();
    this.#elements.clear();
    this.space.replaceChildren();
    this.#selected.clear();
    this.#focus = this.#anchor = 0;
    this.box.scrollTop = 0;
    this.#measure();
    this.#tellSelection();
  }

  /** A key press; true where it meant something here. */
  key(event) {
    const moves = {
      ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.#columns, ArrowDown: this.#columns,
      PageUp: -this.#columns * this.#perPage(), PageDown: this.#columns * this.#perPage(), Home: -this.#desk.numRows, End: this.#desk.numRows,
    };
    if (event.key in moves) {
      this.#moveTo(this.#focus + moves[event.key], event.shiftKey);
      return true;
    }
    const digit = /^[0-9]$/.test(event.key) ? (event.key === "0" ? 9 : Number(event.key) - 1) : null;
    if (digit !== null) {
      if (this.#desk.classNames.length > 10) this.choose(event.key);
      else if (digit < this.#desk.classNames.length) this.decide("choose", { [digit]: 1 });
      return true;
    }
    const actions = {
      Enter: () => (this.#selected.size ? this.decide("accept") : this.#openAt(this.#focus)), " ": () => this.#toggle(this.#focus),
      Escape: () => this.#select(new Set()), a: () => this.decide("accept"), k: () => this.decide("keep"), r: () => this.decide("reject"),
      s: () => this.decide("skip"), c: () => this.choose(), m: () => this.several(),
    };
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    action?.();
    return Boolean(action);
  }

  selectAll() {
    const size = Math.min(this.#desk.numRows, MOST_SELECTED);
    this.#select(new Set(Array(size).keys()));
    if (size < this.#desk.numRows) say(`The first ${count(size)} are selected; more cannot be decided at once`);
  }

  /** Decide the selected faces, or the one in focus. */
  async decide(kind, weights = null) {
    const positions = this.#selected.size ? [...this.#selected].sort((a, b) => a - b) : [this.#focus];
    const cards = await this.#cardsAt(positions);
    if (!cards.length) return;
    this.#desk.decide(cards.map((card) => card.row), kind, { weights });
    const after = positions.at(-1) + 1;
    this.#select(new Set());
    this.#moveTo(after, false);
  }

  async choose(typed = "") {
    const label = await chooseClass(this.#desk.classNames, typed);
    if (label !== null) this.decide("choose", { [label]: 1 });
  }

  async several() {
    const [card] = await this.#cardsAt([[...this.#selected][0] ?? this.#focus]);
    const weights = card && (await chooseSeveral(this.#desk.classNames, [...new Set([card.given, card.suggested])]));
    if (weights) this.decide("ambiguous", weights);
  }

  draw() {
    if (this.#desk.view !== "grid" || !this.#list) return;
    const first = Math.max(0, Math.floor(this.#offset() / this.#line) - OVERSCAN);
    const lines = this.#perPage() + 2 * OVERSCAN + 1;
    const start = first * this.#columns;
    const stop = Math.min(this.#desk.numRows, (first + lines) * this.#columns);
    for (let chunk = Math.floor(start / CHUNK); chunk * CHUNK < stop; chunk += 1) this.#load(chunk);
    const state = `${start} ${stop} ${this.box.scrollTop} ${this.#focus} ${this.#version}`;
    if (state === this.#drawn) return;
    this.#drawn = state;
    // Where the list is too tall for the browser, lines stand where the scroll bar says, not at their own height.
    const shift = this.box.scrollTop - this.#offset();
    const before = this.#elements;
    this.#elements = new Map();
    for (let position = start; position < stop; position += 1) this.#elements.set(position, this.#placed(position, shift, before.get(position)));
    for (const [position, { element }] of before) if (this.#elements.get(position)?.element !== element) element.remove();
    this.space.append(...[...this.#elements.values()].map(({ element }) => element).filter((element) => !element.isConnected));
    if (!this.#desk.numRows) this.space.replaceChildren(h("p", { class: "end" }, "No face fits these filters."));
    this.box.setAttribute("aria-activedescendant", this.#desk.numRows ? `face-${this.#focus}` : "");
  }

  #version = 0;

  /** The element at a position, in its place: the one there was if it shows the same. */
  #placed(position, shift, before) {
    const card = this.#chunks.get(Math.floor(position / CHUNK))?.[position % CHUNK];
    const chosen = this.#selected.has(position);
    const focus = position === this.#focus;
    const same = before && before.card === card && before.chosen === chosen && before.focus === focus;
    const element = same ? before.element : this.#card(position, card);
    element.style.transform =
      `translate(${(position % this.#columns) * this.#width}px, ${Math.floor(position / this.#columns) * this.#line + shift}px)`;
    element.style.width = `${this.#width - 8}px`;
    return { element, card, chosen, focus };
  }

  #card(position, card) {
    const common = {
      role: "option", id: `face-${position}`, "data-position": position, "aria-selected": String(this.#selected.has(position)),
      "aria-posinset": position + 1, "aria-setsize": this.#desk.numRows,
    };
    if (!card) return h("div", { ...common, class: "card empty", "aria-label": "loading" });
    const names = this.#desk.classNames;
    const { verdict } = card;
    const kept = verdict?.weights.length === 1 && verdict.weights[0][0] === card.given;
    const differs = verdict ? !kept : card.given !== card.suggested;
    const state = card.state === "decided" ? `✓ ${verdictText(card.verdict, names)}` : card.state === "open" ? "" : card.state;
    const label = `${names[card.given]}${card.given === card.suggested ? "" : `, suggested ${names[card.suggested]}`}, suspicion ${percent(card.suspicion)}${state ? `, ${state}` : ""}`;
    return h("div", { ...common, class: `card ${card.state} ${position === this.#focus ? "focus" : ""}`, "aria-label": label, title: `${card.id}: ${label}` },
      h("img", { src: this.#desk.thumbnail(card.row), alt: "", draggable: "false" }),
      h("div", { class: "card-text" },
        h("bdi", { class: differs ? "old" : "" }, names[card.given]), differs && !verdict ? h("bdi", { class: "new" }, names[card.suggested]) : null,
        h("span", { class: "card-state" }, state || percent(card.suspicion))));
  }

  #width = 120;

  #measure() {
    if (this.#desk.view !== "grid") return;
    const wide = this.box.clientWidth || 320;
    this.#columns = Math.max(1, Math.floor(wide / (wide < 480 ? 116 : 136)));
    this.#width = Math.floor(wide / this.#columns);
    this.#line = this.#width + 66;
    const lines = Math.ceil(this.#desk.numRows / this.#columns);
    this.#height = lines * this.#line;
    this.space.style.height = `${Math.min(this.#height, TALLEST)}px`;
    this.#drawn = "";
    this.draw();
  }

  #height = 0;

  /** Pixels from the first line to what is in sight. */
  #offset() {
    if (this.#height <= TALLEST) return this.box.scrollTop;
    const most = TALLEST - this.box.clientHeight;
    return most > 0 ? (this.box.scrollTop / most) * (this.#height - this.box.clientHeight) : 0;
  }

  #scrollTo(offset) {
    const most = TALLEST - this.box.clientHeight;
    this.box.scrollTop = this.#height <= TALLEST ? offset : (offset / (this.#height - this.box.clientHeight)) * most;
  }

  #perPage() {
    return Math.max(1, Math.floor(this.box.clientHeight / this.#line));
  }

  async #load(chunk) {
    if (this.#chunks.has(chunk)) return;
    this.#chunks.set(chunk, []);
    const list = this.#list;
    try {
      const cards = await this.#desk.cards(chunk * CHUNK, Math.min((chunk + 1) * CHUNK, this.#desk.numRows));
      if (list !== this.#list) return;
      this.#chunks.set(chunk, cards);
      while (this.#chunks.size > KEPT_CHUNKS) this.#chunks.delete(this.#chunks.keys().next().value);
      this.#redraw();
    } catch (error) {
      this.#chunks.delete(chunk); // asked for again when it comes into sight again
      say(`Faces cannot be loaded: ${error.message}`);
    }
  }

  async #cardsAt(positions) {
    const list = this.#list;
    const found = [];
    for (const position of positions) {
      const chunk = Math.floor(position / CHUNK);
      if (!this.#chunks.get(chunk)?.length) {
        this.#chunks.set(chunk, await this.#desk.cards(chunk * CHUNK, Math.min((chunk + 1) * CHUNK, this.#desk.numRows)));
      }
      const card = this.#chunks.get(chunk)[position % CHUNK];
      if (card) found.push(card);
    }
    return list === this.#list ? found : [];
  }

  #update(cards) {
    const byRow = new Map(cards.map((card) => [card.row, card]));
    for (const chunk of this.#chunks.values()) {
      chunk.forEach((card, index) => { if (byRow.has(card.row)) chunk[index] = byRow.get(card.row); });
    }
    this.#redraw();
  }

  #redraw() {
    this.#version += 1;
    this.draw();
  }

  #positionOf(event) {
    const card = event.target.closest("[data-position]");
    return card ? Number(card.dataset.position) : null;
  }

  #click(event) {
    const position = this.#positionOf(event);
    if (position === null) return;
    this.box.focus();
    if (event.shiftKey) this.#moveTo(position, true);
    else { this.#focus = this.#anchor = position; this.#toggle(position); }
  }

  #moveTo(position, extend) {
    if (!this.#desk.numRows) return;
    this.#focus = Math.max(0, Math.min(position, this.#desk.numRows - 1));
    if (extend) {
      const [from, to] = [this.#anchor, this.#focus].sort((a, b) => a - b);
      this.#select(new Set(Array.from({ length: Math.min(to - from + 1, MOST_SELECTED) }, (_, index) => from + index)));
    } else this.#anchor = this.#focus;
    const top = Math.floor(this.#focus / this.#columns) * this.#line;
    const offset = this.#offset();
    if (top < offset) this.#scrollTo(top);
    else if (top + this.#line > offset + this.box.clientHeight) this.#scrollTo(top + this.#line - this.box.clientHeight);
    this.#redraw();
  }

  #toggle(position) {
    const selected = new Set(this.#selected);
    if (!selected.delete(position)) selected.add(position);
    this.#select(selected);
  }

  #select(selected) {
    this.#selected = selected;
    this.#tellSelection();
    this.#redraw();
  }

  #openAt(position) {
    if (position !== null) this.#desk.dispatchEvent(new CustomEvent("open", { detail: position }));
  }

  #buildBar() {
    const button = (text, key, act) => h("button", { type: "button", onclick: act }, text, " ", h("kbd", {}, key));
    this.tally = h("span", { class: "tally", role: "status" });
    this.bar.append(this.tally,
      button("Accept", "A", () => this.decide("accept")), button("Keep", "K", () => this.decide("keep")),
      button("Class …", "C", () => this.choose()), button("Ambiguous …", "M", () => this.several()),
      button("Reject", "R", () => this.decide("reject")), button("Skip", "S", () => this.decide("skip")),
      button("Undo", "U", () => this.#desk.undo()),
      button("Large", "Enter", () => this.#openAt([...this.#selected][0] ?? this.#focus)),
      h("button", { type: "button", onclick: () => this.#desk.ask() }, "Ask again"));
  }

  #tellSelection() {
    const size = this.#selected.size;
    this.tally.textContent = size ? `${count(size)} selected` : `${count(this.#desk.numRows)} faces`;
  }
}
