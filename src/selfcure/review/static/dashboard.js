// The whole run at a glance.

import { get } from "./api.js";
import { count, find, h, percent } from "./dom.js";
import { histogram } from "./draw.js";

const PLACE = find("dashboard");
const MOST_CLASSES = 30;

export async function showDashboard(desk) {
  if (!PLACE.childElementCount) PLACE.append(h("p", { class: "hint" }, "Counting …"));
  const data = await get("/api/dashboard");
  PLACE.replaceChildren(
    matrix(desk, data.matrix),
    h("section", {}, h("h2", {}, "Scores"),
      ...[["suspicion", data.suspicion], ["importance", data.importance]].map(([name, values]) =>
        values ? histogram(name, values) : h("p", { class: "hint" }, `No ${name}: this method has none.`))),
    reviewers(desk, data),
    duplicates(desk, data.duplicates));
}

function to(desk, filters) {
  desk.clearFilters({ state: "all", split: "", ...filters });
  desk.show("grid");
}

function matrix(desk, data) {
  const names = desk.classNames;
  const most = Math.max(1, ...data.cells.map((cell) => cell.num_samples));
  const button = (cell) => h("button", {
    type: "button", "aria-label": `${cell.num_samples} given ${names[cell.given]}, suggested ${names[cell.suggested]}: show them`,
    onclick: () => to(desk, { given: cell.given, suggested: cell.suggested }),
  }, count(cell.num_samples));
  const heading = h("h2", {}, "Suggested changes");
  if (names.length > MOST_CLASSES) {
    return h("section", {}, heading, h("p", { class: "hint" }, "The most frequent pairs of given and suggested class."),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Suggested changes" }, h("table", { class: "pairs" },
        h("thead", {}, h("tr", {}, ...["given", "suggested", "faces"].map((text) => h("th", { scope: "col" }, text)))),
        h("tbody", {}, ...data.cells.slice(0, 200).map((cell) =>
          h("tr", {}, h("td", {}, h("bdi", {}, names[cell.given])), h("td", {}, h("bdi", {}, names[cell.suggested])), h("td", {}, button(cell))))))));
  }
  const at = new Map(data.cells.map((cell) => [cell.given * names.length + cell.suggested, cell]));
  return h("section", {}, heading, h("p", { class: "hint" }, "Rows: given class. Columns: what the run takes the face for. A number shows those faces."),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Suggested changes" }, h("table", { class: "matrix" },
      h("thead", {}, h("tr", {}, h("td", {}), ...names.map((name) => h("th", { scope: "col" }, h("bdi", {}, name))))),
      h("tbody", {}, ...names.map((name, given) => h("tr", {}, h("th", { scope: "row" }, h("bdi", {}, name), " ", h("small", {}, count(data.num_given[given]))),
        ...names.map((_, suggested) => {
          const cell = at.get(given * names.length + suggested);
          const heat = cell ? 0.08 + 0.5 * (cell.num_samples / most) : 0;
          return h("td", { class: given === suggested ? "same" : "", style: heat ? { "--heat": heat } : {} }, cell ? withHeat(button(cell), heat) : "");
        })))))));
}

function withHeat(button, heat) {
  button.style.setProperty("--heat", `${Math.round(100 * heat)}%`);
  return button;
}

function reviewers(desk, data) {
  const rows = data.reviewers.map((one) =>
    h("tr", {}, h("td", {}, h("bdi", {}, one.name)), h("td", {}, count(one.num_decided)), h("td", {}, one.pace ? `${Math.round(one.pace)} a minute` : "–")));
  return h("section", {}, h("h2", {}, "Reviewers"),
    rows.length ? h("table", {}, h("thead", {}, h("tr", {}, ...["name", "decided", "pace"].map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, ...rows))
      : h("p", { class: "hint" }, "Nobody has decided anything yet."),
    data.agreement.length ? h("table", {},
      h("caption", {}, "Agreement of two reviewers on the faces that both decided"),
      h("thead", {}, h("tr", {}, ...["reviewers", "both", "same", "Cohen’s κ"].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, ...data.agreement.map((pair) => h("tr", {}, h("td", {}, h("bdi", {}, pair.reviewers.join(", "))), h("td", {}, count(pair.num_both)),
        h("td", {}, percent(pair.same)), h("td", {}, pair.kappa === null ? "–" : pair.kappa.toFixed(2)))))) : null,
    h("div", { class: "buttons" }, h("button", { type: "button", onclick: () => { desk.clearFilters({ state: "disputed", split: "" }); desk.show("one"); } }, "Settle disagreements")));
}

function duplicates(desk, data) {
  const heading = h("h2", {}, "Duplicates with conflicting labels");
  if (!data) return h("section", {}, heading, h("p", { class: "hint" }, "“selfcure review RUN --prepare” looks for them."));
  const names = desk.classNames;
  return h("section", {}, heading,
    h("p", {}, `${count(data.num_groups)} groups of ${count(data.num_images)} images are the same or nearly so; in ${count(data.num_conflicts)} of them labels differ.`),
    ...data.conflicts.slice(0, 60).map((cards) => h("button", {
      type: "button", class: "group", "aria-label": `${cards.length} images: ${cards.map((card) => names[card.given]).join(", ")}`,
      onclick: () => to(desk, { rows: cards.map((card) => card.row) }),
    }, ...cards.slice(0, 6).map((card) => h("span", {}, h("img", { src: desk.thumbnail(card.row), alt: "", loading: "lazy" }), h("bdi", {}, names[card.given]))))),
    data.conflicts.length > 60 ? h("p", { class: "hint" }, "The first 60 are shown.") : null);
}
