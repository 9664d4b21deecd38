// The queue: its order and its filters.

import { count, find, h } from "./dom.js";

const SORTS = {
  suspicion: "most suspicious", importance: "least trusted", ambiguity: "most ambiguous", loss: "highest loss", class: "by given class",
  changed: "changed by training", random: "at random", recent: "last decided", order: "as stored",
};
const STATES = {
  open: "nobody decided", mine_open: "I have not decided", decided: "decided", disputed: "reviewers disagree", skipped: "skipped", mine: "I have decided", all: "all",
};

export function buildFilters(desk) {
  const form = find("filter-form");
  const { about } = desk;
  const fields = {};
  const select = (name, title, options) => {
    fields[name] = h("select", { name, onchange: () => desk.filter({ [name]: read(name, fields[name].value) }) },
      ...options.map(([value, text]) => h("option", { value }, text)));
    return h("label", {}, h("span", {}, title), fields[name]);
  };
  const tick = (name, title) => {
    fields[name] = h("input", { type: "checkbox", name, onchange: () => desk.filter({ [name]: fields[name].checked }) });
    return h("label", { class: "tick" }, fields[name], h("span", {}, title));
  };
  const classes = [["", "any"], ...about.class_names.map((name, label) => [String(label), name])];
  let typing = null;
  fields.text = h("input", { type: "search", name: "text", placeholder: "part of an id", oninput: () => {
    clearTimeout(typing);
    typing = setTimeout(() => desk.filter({ text: fields.text.value }), 200);
  } });
  form.append(
    select("state", "Faces", about.states.map((state) => [state, STATES[state] ?? state])),
    select("sort", "Order", about.sorts.filter((sort) => sort !== "importance" || about.has_importance).map((sort) => [sort, SORTS[sort] ?? sort])),
    tick("reverse", "reversed"),
    select("given", "Given", classes), select("suggested", "Suggested", classes),
    ...(about.splits.length > 1 ? [select("split", "Split", [["", "any"], ...about.splits.map(({ name }) => [name, name])])] : []),
    ...(about.source_names.length ? [select("source", about.source_column, [["", "any"], ...about.source_names.map((name, index) => [String(index), name])])] : []),
    tick("differs", "suggestion differs"), tick("changed", "changed by training"),
    h("label", {}, h("span", {}, "Id"), fields.text),
    h("button", { type: "button", onclick: () => desk.clearFilters() }, "Clear"));
  form.addEventListener("submit", (event) => event.preventDefault());
  find("filters").open = innerWidth >= 1600;
  const show = () => {
    for (const [name, field] of Object.entries(fields)) {
      const value = desk.filters[name];
      if (field.type === "checkbox") field.checked = value;
      else if (document.activeElement !== field) field.value = value === null ? "" : String(value);
    }
    const { filters } = desk;
    const parts = [STATES[filters.state] ?? filters.state, `${SORTS[filters.sort] ?? filters.sort} first`];
    if (filters.split && about.splits.length > 1) parts.push(filters.split);
    if (filters.given !== null) parts.push(`given ${about.class_names[filters.given]}`);
    if (filters.suggested !== null) parts.push(`suggested ${about.class_names[filters.suggested]}`);
    if (filters.rows) parts.push(`${filters.rows.length} chosen`);
    if (filters.text) parts.push(`id with “${filters.text}”`);
    find("filter-summary").textContent = `${count(desk.numRows)} faces: ${parts.join(", ")}`;
  };
  desk.on("list", show);
  return { focus: () => { find("filters").open = true; fields.state.focus(); } };
}

const read = (name, value) => (["given", "suggested", "source"].includes(name) ? (value === "" ? null : Number(value)) : value);
