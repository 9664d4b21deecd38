// What the views share: the run, the reviewer, the filters with their list of faces, and deciding.

import { get, post } from "./api.js";
import { count, say } from "./dom.js";
import { Saver } from "./saver.js";

const PLAIN = {
  sort: "suspicion", reverse: false, state: "open", given: null, suggested: null, split: "", source: null,
  differs: false, changed: false, text: "", rows: null,
};
const NUMBERS = ["given", "suggested", "source"];
const FLAGS = ["reverse", "differs", "changed"];

export class Desk extends EventTarget {
  about = null;
  reviewer = localStorage.getItem("selfcure-reviewer") ?? "";
  keysOn = localStorage.getItem("selfcure-keys") !== "off";
  view = "one";
  filters = { ...PLAIN };
  list = null;
  numRows = 0;
  #asked = 0;

  async open() {
    this.about = await get("/api/about");
    // Training's suspicion and that of other splits are not on one scale.
    PLAIN.split = this.about.splits[0].name;
    this.readAddress();
    this.saver = new Saver(this.about.version, (state) => this.#tell("saving", state));
  }

  get classNames() {
    return this.about.class_names;
  }

  /** Ask for the list again; whoever shows it hears "list". */
  async ask() {
    const asked = ++this.#asked;
    const answer = await post("/api/query", { ...this.filters, reviewer: this.reviewer });
    if (asked !== this.#asked) return; // overtaken by a later question
    this.list = answer.query;
    this.numRows = answer.num_rows;
    this.#tell("list");
  }

  /** Change filters; those that are not named stay. */
  async filter(changes) {
    Object.assign(this.filters, changes);
    this.writeAddress();
    await this.ask();
  }

  clearFilters(changes) {
    this.filters = { ...PLAIN };
    return this.filter(changes ?? {});
  }

  /** A request that needs the list: asked again where the server has forgotten it (it may have been restarted). */
  async withList(call) {
    if (!this.list) await this.ask();
    try {
      return await call(this.list);
    } catch (error) {
      if (error.status !== 410) throw error;
      await this.ask();
      return call(this.list);
    }
  }

  cards(start, stop) {
    return this.withList((list) => get(`/api/query/${list}`, { start, stop, reviewer: this.reviewer }));
  }

  next(start, step = 1) {
    return this.withList((query) => post("/api/next", { query, start, step, reviewer: this.reviewer }));
  }

  sample(row) {
    return get(`/api/sample/${row}`, { reviewer: this.reviewer });
  }

  /** Decide faces; `weights` is class → weight for "choose" and "ambiguous". */
  decide(rows, kind, { weights = null, seconds = null } = {}) {
    const body = {
      reviewer: this.reviewer, rows, kind, weights, settles: this.filters.state === "disputed",
      seconds: seconds === null ? null : Math.min(seconds, 86400),
    };
    this.saver.push("/api/decide", body, (answer) => {
      say(rows.length > 1 ? `Saved ${count(rows.length)} decisions` : "Saved");
      this.#saved(answer);
    }, (error) => this.#tell("refused", error.message));
  }

  undo() {
    this.saver.push("/api/undo", { reviewer: this.reviewer }, (answer) => {
      say(answer.cards.length ? `Undone: ${answer.cards.map((card) => card.id).slice(0, 3).join(", ")}` : "Nothing to undo");
      this.#saved(answer);
      this.#tell("undone", answer.cards);
    }, (error) => this.#tell("refused", error.message));
  }

  async refreshProgress() {
    this.#tell("progress", await get("/api/progress", { reviewer: this.reviewer }));
  }

  setReviewer(name) {
    this.reviewer = name;
    localStorage.setItem("selfcure-reviewer", name);
    this.#tell("reviewer");
  }

  setKeys(on) {
    this.keysOn = on;
    localStorage.setItem("selfcure-keys", on ? "on" : "off");
  }

  show(view) {
    this.view = view;
    this.writeAddress();
    this.#tell("view");
  }

  thumbnail(row) {
    return `/thumbnail/${this.about.version}/${row}`;
  }

  image(row) {
    return `/image/${this.about.version}/${row}`;
  }

  readAddress() {
    const given = new URLSearchParams(location.hash.slice(1));
    this.view = ["one", "grid", "dashboard"].includes(given.get("view")) ? given.get("view") : "one";
    this.filters = { ...PLAIN };
    const { sorts, states, splits, class_names: classes, source_names: sources } = this.about;
    const numRows = splits.reduce((sum, split) => sum + split.num_samples, 0);
    // An address may be of another run, or typed: what does not fit is left out.
    const fits = {
      sort: (value) => sorts.includes(value), state: (value) => states.includes(value),
      split: (value) => value === "" || splits.some((split) => split.name === value),
      given: (value) => value < classes.length, suggested: (value) => value < classes.length, source: (value) => value < sources.length,
      rows: (value) => value.every((row) => row < numRows), text: (value) => value.length <= 200,
    };
    for (const [name, text] of given) {
      if (!(name in PLAIN)) continue;
      let value = text;
      if (NUMBERS.includes(name)) value = /^\d{1,9}$/.test(text) ? Number(text) : Infinity;
      else if (FLAGS.includes(name)) value = text === "true";
      else if (name === "rows") value = /^\d{1,9}(,\d{1,9})*$/.test(text) ? text.split(",").map(Number) : [Infinity];
      if (!fits[name] || fits[name](value)) this.filters[name] = value;
    }
  }

  writeAddress() {
    const changed = Object.entries(this.filters).filter(([name, value]) => value !== PLAIN[name]);
    const address = `#${new URLSearchParams([["view", this.view], ...changed])}`;
    if (address !== location.hash) history.pushState(null, "", address);
  }

  #saved(answer) {
    this.#tell("cards", answer.cards);
    this.#tell("progress", answer.progress);
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  on(name, listener) {
    this.addEventListener(name, (event) => listener(event.detail));
  }
}

/** "anger", or "60 % anger, 40 % sadness", or "rejected". */
export function verdictText(verdict, classNames) {
  if (!verdict) return "";
  if (verdict.rejected) return "rejected";
  if (verdict.weights.length === 1) return classNames[verdict.weights[0][0]];
  return verdict.weights.map(([label, weight]) => `${Math.round(100 * weight)} % ${classNames[label]}`).join(", ");
}
