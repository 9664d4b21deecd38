// The page: views, keys, what is being saved, progress.

import { showDashboard } from "./dashboard.js";
import { Desk } from "./desk.js";
import { askName, help } from "./dialogs.js";
import { count, find, h } from "./dom.js";
import { buildFilters } from "./filters.js";
import { Grid } from "./grid.js";
import { One } from "./one.js";

const desk = new Desk();

function trouble(text, retry) {
  const place = find("trouble");
  place.hidden = !text;
  place.replaceChildren(text ?? "", retry ? h("button", { type: "button", onclick: retry }, "Try now") : "");
}

/** Nothing goes wrong in silence. */
addEventListener("unhandledrejection", (event) => {
  trouble(`Something went wrong: ${event.reason?.message ?? event.reason}.`, () => { trouble(null); desk.ask(); });
});

function showSaving({ waiting, error }) {
  const place = find("save");
  place.className = `save ${error ? "failed" : waiting ? "waiting" : "saved"}`;
  place.textContent = error ? `${waiting} not saved` : waiting ? `saving ${waiting} …` : "all saved";
  if (error) trouble(`Cannot save: ${error}. ${waiting} waiting; trying again. Do not clear this browser's data.`, () => desk.saver.now());
  else trouble(null);
}

function showProgress(progress) {
  const done = progress.states.decided;
  find("meter").style.width = `${(100 * done) / Math.max(progress.num_samples, 1)}%`;
  const parts = [`${count(done)} of ${count(progress.num_samples)} decided`, `you ${count(progress.mine)}`];
  if (progress.pace) parts.push(`${Math.round(progress.pace)} a minute`);
  if (progress.states.disputed) parts.push(`${count(progress.states.disputed)} disputed`);
  if (progress.states.skipped) parts.push(`${count(progress.states.skipped)} skipped`);
  parts.push(expected(progress));
  if (progress.num_lost) parts.push(`${count(progress.num_lost)} decisions on faces that are gone`);
  find("progress").title = progress.expected_wrong?.calibrated ? "The sum of the run's own P(label wrong) over what nobody has decided"
    : "Suspicion is no probability. Decide 50 to 100 faces in the order 'at random', and the guess is much better";
  find("progress").textContent = parts.join(" · ");
}

function expected(progress) {
  const wrong = progress.expected_wrong;
  if (!wrong) return `how many labels are wrong is guessed from ${progress.enough} decisions on`;
  const number = `${count(wrong.guess)} wrong labels (${count(wrong.low)} to ${count(wrong.high)}) among the other ${count(wrong.num_samples)}`;
  if (!wrong.calibrated) return `a rough guess from your decisions, as this run has no calibrated P(wrong): ${number}`;
  const seen = wrong.decided;
  return `expected by the run's P(wrong): ${number}${seen ? `; of ${count(seen.num_samples)} decided it foretold ${count(seen.foretold)} wrong, ${count(seen.found)} were` : ""}`;
}

function main() {
  const one = new One(desk);
  const grid = new Grid(desk);
  const filters = buildFilters(desk);
  const showView = () => {
    for (const name of ["one", "grid", "dashboard"]) find(name).hidden = desk.view !== name;
    for (const button of document.querySelectorAll("nav [data-view]")) {
      if (button.dataset.view === desk.view) button.setAttribute("aria-current", "page");
      else button.removeAttribute("aria-current");
    }
    document.body.dataset.shown = desk.view;
    if (desk.view === "dashboard") showDashboard(desk);
    if (desk.view === "one") one.resume();
    if (desk.view === "grid") grid.box.focus({ preventScroll: true });
  };
  desk.on("view", showView);
  desk.on("saving", showSaving);
  desk.on("progress", showProgress);
  desk.on("refused", (message) => trouble(`The server refused a decision: ${message}.`, () => { trouble(null); desk.ask(); }));
  desk.on("reviewer", () => { find("reviewer").textContent = desk.reviewer; find("reviewer").setAttribute("aria-label", `Reviewer: ${desk.reviewer}`); });
  desk.on("open", (position) => { one.at(position); desk.show("one"); });
  for (const button of document.querySelectorAll("nav [data-view]")) button.addEventListener("click", () => desk.show(button.dataset.view));
  find("help").addEventListener("click", () => help(desk));
  find("reviewer").addEventListener("click", rename);
  addEventListener("popstate", () => { desk.readAddress(); showView(); desk.ask(); });
  addEventListener("keydown", (event) => onKey(event, one, grid, filters));
  showView();
  start();
}

async function rename() {
  const name = await askName(desk.reviewer);
  if (name) {
    desk.setReviewer(name);
    await desk.refreshProgress();
    await desk.ask();
  }
}

async function start() {
  if (!desk.reviewer) desk.setReviewer((await askName("")) ?? "reviewer");
  else desk.setReviewer(desk.reviewer);
  showSaving({ waiting: desk.saver.waiting, error: null });
  await Promise.all([desk.ask(), desk.refreshProgress()]);
  if (desk.view === "grid") find("grid").querySelector(".cards").focus();
  setInterval(() => { if (document.visibilityState === "visible" && !desk.saver.waiting) desk.refreshProgress().catch(() => {}); }, 15000);
}

function onKey(event, one, grid, filters) {
  if (document.querySelector("dialog[open]") || event.altKey || event.metaKey) return;
  const field = event.target.closest?.("input, select, textarea");
  if (event.ctrlKey) {
    if (event.key === "z" && !field) { event.preventDefault(); desk.undo(); }
    if (event.key === "a" && desk.view === "grid" && !field) { event.preventDefault(); grid.selectAll(); }
    return;
  }
  if (field) {
    if (event.key === "Escape") field.blur();
    return;
  }
  // Enter and Space press a button that has the focus.
  if (["Enter", " "].includes(event.key) && event.target.closest?.("button, summary, a")) return;
  if (event.key.length === 1 && !desk.keysOn && !(event.key === " " && desk.view === "grid")) return;
  const everywhere = {
    "?": () => help(desk), o: () => desk.show("one"), g: () => desk.show("grid"), d: () => desk.show("dashboard"), f: () => filters.focus(), u: () => desk.undo(),
  };
  const act = everywhere[event.key.toLowerCase()];
  if (act) act();
  const meant = act || (desk.view === "one" && one.key(event)) || (desk.view === "grid" && grid.key(event));
  if (meant) event.preventDefault();
}

desk.open().then(main, (error) => trouble(`The review desk cannot be opened: ${error.message}.`, () => location.reload()));
