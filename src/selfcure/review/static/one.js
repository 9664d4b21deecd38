// One face at a time, large, with all that is known of it.

import { get } from "./api.js";
import { chooseClass, chooseSeveral } from "./dialogs.js";
import { verdictText } from "./desk.js";
import { find, h, percent, say } from "./dom.js";
import { curves } from "./draw.js";

export class One {
  position = 0;
  sample = null;
  /** The face shown is not the one at the position: undone, or a neighbour. */
  #detour = false;
  /** On the way to a place that was asked for. */
  #bound = false;
  #desk;
  #place = find("one");
  #since = 0;
  #shown = 0;

  constructor(desk) {
    this.#desk = desk;
    desk.on("list", () => { if (desk.view === "one") this.go(0); });
    desk.on("undone", (cards) => { if (desk.view === "one" && cards.length) this.visit(cards[0].row); });
    desk.on("cards", (cards) => {
      const own = cards.find((card) => card.row === this.sample?.row);
      if (own && desk.view === "one") this.showRow(own.row);
    });
  }

  /** Show the first face from a position on that is to be looked at. */
  async go(position, step = 1) {
    this.sample = null; // until the next one is there, a key decides nothing
    const shown = ++this.#shown;
    const answer = await this.#desk.next(position, step);
    if (shown !== this.#shown) return;
    if (answer.position === null) return this.#showEnd();
    this.position = answer.position;
    this.#detour = false;
    this.#show(answer.sample);
    for (const row of answer.ahead) new Image().src = this.#desk.image(row);
  }

  /** Look at the face before or after in the list, whatever its state. */
  async move(step) {
    const position = this.position + step;
    if (position < 0 || position >= this.#desk.numRows) say(step < 0 ? "This is the first face" : "This is the last face");
    else await this.at(position);
  }

  /** Look at a place of the list, whatever the state of its face. */
  async at(position) {
    this.#bound = true;
    this.sample = null;
    const cards = await this.#desk.cards(position, position + 1);
    this.#bound = false;
    if (!cards.length) return;
    this.position = position;
    this.#detour = false;
    await this.showRow(cards[0].row);
  }

  /** The view is shown again: others may have been decided meanwhile. */
  resume() {
    this.#place.replaceChildren(); // not the face of a while ago
    if (this.#desk.list && !this.#bound) this.go(this.position);
  }

  /** Show a face that is not the next one; deciding it leads back to where the list was left. */
  visit(row) {
    this.#detour = true;
    this.sample = null;
    return this.showRow(row);
  }

  /** Show one face; the place in the list stays. */
  async showRow(row) {
    const shown = ++this.#shown;
    const sample = await this.#desk.sample(row);
    if (shown === this.#shown) this.#show(sample);
  }

  decide(kind, weights = null) {
    if (!this.sample) return;
    const seconds = (performance.now() - this.#since) / 1000;
    this.#desk.decide([this.sample.row], kind, { weights, seconds });
    this.go(this.position + (this.#detour ? 0 : 1));
  }

  async choose(typed = "") {
    const label = await chooseClass(this.#desk.classNames, typed);
    if (label !== null) this.decide("choose", { [label]: 1 });
  }

  async several() {
    const { given, suggested, probs } = this.sample ?? {};
    const first = given !== suggested ? [given, suggested] : [given, ...(probs ?? []).map((p) => p.label).filter((k) => k !== given).slice(0, 1)];
    const weights = this.sample && (await chooseSeveral(this.#desk.classNames, first));
    if (weights) this.decide("ambiguous", weights);
  }

  /** A key press; true where it meant something here. */
  key(event) {
    const digit = /^[0-9]$/.test(event.key) ? (event.key === "0" ? 9 : Number(event.key) - 1) : null;
    if (digit !== null) {
      if (this.#desk.classNames.length > 10) this.choose(event.key);
      else if (digit < this.#desk.classNames.length) this.decide("choose", { [digit]: 1 });
      return true;
    }
    const actions = {
      Enter: () => this.decide("accept"), a: () => this.decide("accept"), k: () => this.decide("keep"), r: () => this.decide("reject"),
      s: () => this.decide("skip"), " ": () => this.decide("skip"), c: () => this.choose(), m: () => this.several(),
      ArrowLeft: () => this.move(-1), ArrowRight: () => this.move(1),
    };
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    action?.();
    return Boolean(action);
  }

  #showEnd() {
    this.sample = null;
    const desk = this.#desk;
    const none = desk.numRows === 0;
    this.#place.replaceChildren(h("div", { class: "end" },
      h("h2", {}, none ? "No face fits these filters" : "That was the last one of this list"),
      h("p", {}, none ? "Show others with the filters above." : "Everything decided is saved."),
      h("div", { class: "buttons" },
        h("button", { type: "button", onclick: () => desk.ask() }, "Ask again"),
        h("button", { type: "button", onclick: () => desk.clearFilters() }, "All open faces"),
        h("button", { type: "button", onclick: () => desk.undo() }, "Undo"))));
    say(none ? "No face fits these filters" : "That was the last face of this list");
  }

  #show(sample) {
    this.sample = sample;
    this.#since = performance.now();
    const names = this.#desk.classNames;
    const image = h("img", { src: this.#desk.image(sample.row), alt: `face ${sample.id}`, class: "face" });
    image.addEventListener("error", () => image.replaceWith(h("p", { class: "broken" }, "This image cannot be shown.")));
    this.#place.replaceChildren(
      h("div", { class: "look" }, h("figure", {}, image, h("figcaption", {}, h("bdi", { class: "id" }, sample.id))), this.#labels(sample)),
      h("div", { class: "choose" }, this.#buttons(sample), this.#classes(sample)),
      h("div", { class: "know" }, this.#facts(sample), this.#history(sample), this.#neighbours(sample), this.#decisions(sample)),
    );
    say(`${sample.id}. Given ${names[sample.given]}, suggested ${names[sample.suggested]}, suspicion ${percent(sample.suspicion)}.`);
  }

  #labels(sample) {
    const names = this.#desk.classNames;
    const same = sample.given === sample.suggested;
    return h("dl", { class: "labels" },
      h("div", {}, h("dt", {}, "given"), h("dd", {}, h("bdi", {}, sample.given_soft ? verdictText(sample.given_soft, names) : names[sample.given]))),
      h("div", { class: same ? "" : "other" }, h("dt", {}, "suggested"), h("dd", {}, h("bdi", {}, names[sample.suggested]))),
      sample.current !== sample.given
        ? h("div", {}, h("dt", {}, "changed in training to"), h("dd", {}, h("bdi", {}, names[sample.current]))) : null,
      h("div", {}, h("dt", {}, "state"), h("dd", {}, stateText(sample, names))));
  }

  #buttons(sample) {
    const button = (text, key, act, name = "") =>
      h("button", { type: "button", class: name, onclick: act }, text, " ", h("kbd", {}, key));
    const same = sample.given === sample.suggested;
    return h("div", { class: "buttons actions", role: "group", "aria-label": "Decide" },
      button("Accept", "A", () => this.decide("accept"), same ? "" : "primary"),
      button("Keep", "K", () => this.decide("keep"), same ? "primary" : ""),
      button("Ambiguous", "M", () => this.several()),
      button("Reject", "R", () => this.decide("reject")),
      button("Skip", "S", () => this.decide("skip")),
      button("Undo", "U", () => this.#desk.undo()));
  }

  /** A bar and a button for each class that matters. */
  #classes(sample) {
    const names = this.#desk.classNames;
    const few = names.length <= 12;
    const prob = new Map((sample.probs ?? []).map((p) => [p.label, p.prob]));
    let shown = few ? names.map((_, label) => label) : (sample.probs ?? []).map((p) => p.label);
    if (!shown.length) shown = [...new Set([sample.given, sample.suggested])];
    const line = (label) => {
      const share = prob.get(label);
      const marks = [label === sample.given ? "given" : "", label === sample.suggested ? "suggested" : ""].filter(Boolean);
      return h("li", {}, h("button", { type: "button", class: `class ${marks.join(" ")}`, onclick: () => this.decide("choose", { [label]: 1 }) },
        h("span", { class: "bar", style: { width: `${100 * (share ?? 0)}%` } }),
        h("span", { class: "number" }, names.length <= 10 ? String((label + 1) % 10) : String(label + 1)),
        h("bdi", { class: "name" }, names[label]),
        h("span", { class: "marks" }, marks.join(", ")),
        h("span", { class: "share" }, share === undefined ? "" : percent(share))));
    };
    return h("section", { class: "classes", "aria-label": "Classes" },
      h("ol", {}, ...shown.map(line)),
      few ? null : h("button", { type: "button", onclick: () => this.choose() }, `One of ${names.length} classes … `, h("kbd", {}, "C")),
      this.#desk.about.prepared ? null
        : h("p", { class: "hint" }, `Confidence in the suggestion ${percent(sample.confidence)}. Probabilities, neighbours and duplicates are there after “selfcure review RUN --prepare”.`));
  }

  #facts(sample) {
    const fact = (name, value) => (value === null || value === "" ? null : h("div", {}, h("dt", {}, name), h("dd", {}, value)));
    return h("dl", { class: "facts" },
      fact("suspicion", percent(sample.suspicion)), fact("P(label wrong)", percent(sample.wrong_probability)),
      fact("confidence", percent(sample.confidence)), fact("importance", sample.importance === null ? null : sample.importance.toFixed(2)),
      fact("loss", sample.loss === null ? null : sample.loss.toFixed(2)), fact("split", sample.split), fact("source", sample.source),
      fact("place", `${(this.position + 1).toLocaleString("en")} of ${this.#desk.numRows.toLocaleString("en")}`));
  }

  #history(sample) {
    const place = h("section", { class: "history", "aria-label": "History" });
    get(`/api/sample/${sample.row}/history`).then((history) => {
      if (this.sample?.row === sample.row) place.append(...curves(history, sample, this.#desk.classNames));
    }).catch((error) => place.append(h("p", { class: "hint" }, `No history: ${error.message}`)));
    return place;
  }

  #neighbours(sample) {
    if (!sample.neighbours?.length) return null;
    const names = this.#desk.classNames;
    return h("section", { class: "neighbours", "aria-label": "Nearest neighbours" }, h("h3", {}, "Nearest in feature space"),
      h("ul", {}, ...sample.neighbours.map((card) => {
        const label = card.verdict && !card.verdict.rejected ? verdictText(card.verdict, names) : names[card.given];
        const agrees = card.given === sample.given ? "as given" : card.given === sample.suggested ? "as suggested" : "";
        return h("li", { class: agrees.replace(" ", "-") },
          h("button", { type: "button", onclick: () => this.visit(card.row), title: card.id, "aria-label": `${label}, ${agrees}, similarity ${percent(card.similarity)}` },
            h("img", { src: this.#desk.thumbnail(card.row), alt: "", loading: "lazy" }), h("bdi", {}, label),
            h("span", { class: "share" }, percent(card.similarity)), sample.duplicates.includes(card.row) ? h("span", { class: "twin" }, "same image") : null));
      })));
  }

  #decisions(sample) {
    if (!sample.decisions.length) return null;
    const names = this.#desk.classNames;
    return h("section", { class: "decisions", "aria-label": "Decisions" }, h("h3", {}, "Decisions"),
      h("ul", {}, ...sample.decisions.map((decision) => h("li", {},
        h("strong", {}, h("bdi", {}, decision.reviewer)), ` ${decision.kind}${decision.settles ? " (last word)" : ""} `,
        h("bdi", {}, verdictText(decision.verdict, names)), " ", h("time", {}, new Date(1000 * decision.time).toLocaleString())))));
  }
}

export function stateText(card, names) {
  if (card.state === "decided") return verdictText(card.verdict, names);
  if (card.state === "disputed") return `disputed${card.mine ? `; you: ${verdictText(card.mine, names)}` : ""}`;
  return card.state;
}
