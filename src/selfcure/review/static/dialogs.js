// Dialogs: choosing a class, several classes, a reviewer's name, help.

import { find, h } from "./dom.js";

/** A modal dialog with a heading; resolves with what `build(finish)` hands to finish, or null when it is closed. */
function open(title, build) {
  return new Promise((resolve) => {
    let result = null;
    const before = document.activeElement;
    const dialog = h("dialog", { "aria-label": title });
    const finish = (value) => {
      result = value;
      dialog.close();
    };
    dialog.append(h("h2", {}, title), ...build(finish, dialog));
    dialog.addEventListener("close", () => {
      dialog.remove();
      before?.focus?.();
      resolve(result);
    });
    document.body.append(dialog);
    dialog.showModal();
    const first = dialog.querySelector("[autofocus]");
    first?.focus();
    if (first?.type === "text") first.setSelectionRange(first.value.length, first.value.length);
  });
}

const matches = (name, number, text) => {
  const wanted = text.trim().toLocaleLowerCase();
  return !wanted || name.toLocaleLowerCase().includes(wanted) || String(number + 1).startsWith(wanted);
};

/** One class by name or number; `typed` is already in the box. Resolves with its number or null. */
export function chooseClass(classNames, typed = "") {
  return open("Choose a class", (finish) => {
    let at = 0;
    let shown = [];
    const list = h("ul", { role: "listbox", id: "class-list", class: "class-list", "aria-label": "Classes" });
    const input = h("input", {
      type: "text", role: "combobox", autofocus: true, value: typed, "aria-expanded": "true", autocomplete: "off",
      "aria-controls": "class-list", "aria-label": "Class, by name or number", placeholder: "name or number",
    });
    const draw = () => {
      shown = classNames.map((name, label) => ({ name, label })).filter(({ name, label }) => matches(name, label, input.value));
      // An exact number comes first, or 1 could not be chosen where there is a 10.
      shown.sort((a, b) => (String(b.label + 1) === input.value.trim()) - (String(a.label + 1) === input.value.trim()));
      at = Math.max(0, Math.min(at, shown.length - 1));
      list.replaceChildren(...shown.map(({ name, label }, index) =>
        h("li", { role: "option", id: `class-${label}`, "aria-selected": String(index === at), onclick: () => finish(label) },
          h("span", { class: "number" }, String(label + 1)), h("bdi", {}, name))));
      input.setAttribute("aria-activedescendant", shown.length ? `class-${shown[at].label}` : "");
      list.children[at]?.scrollIntoView({ block: "nearest" });
    };
    input.addEventListener("input", () => { at = 0; draw(); });
    input.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown") at += 1;
      else if (event.key === "ArrowUp") at -= 1;
      else if (event.key === "Enter" && shown.length) { event.preventDefault(); return finish(shown[at].label); }
      else return;
      event.preventDefault();
      draw();
    });
    draw();
    return [input, list, h("p", { class: "hint" }, "↑ ↓ and Enter choose, Escape leaves.")];
  });
}

/** Two classes or more with weights. Resolves with class → weight, or null. */
export function chooseSeveral(classNames, ticked) {
  return open("Ambiguous: which classes?", (finish) => {
    const chosen = new Map(ticked.map((label) => [label, 1]));
    const input = h("input", { type: "text", autofocus: classNames.length > 10, "aria-label": "Filter classes", placeholder: "filter by name or number" });
    const list = h("div", { class: "several", role: "group", "aria-label": "Classes" });
    const save = h("button", { type: "submit", class: "primary" }, "Save ", h("kbd", {}, "Enter"));
    const sum = h("p", { class: "hint", "aria-live": "polite" });
    const note = () => {
      const total = [...chosen.values()].reduce((a, b) => a + b, 0);
      save.disabled = chosen.size < 2;
      sum.textContent = chosen.size < 2 ? "Tick at least two."
        : [...chosen].map(([label, weight]) => `${Math.round((100 * weight) / total)} % ${classNames[label]}`).join(", ");
    };
    const toggle = (label, on) => {
      if (on) chosen.set(label, 1);
      else chosen.delete(label);
      note();
    };
    const line = (name, label) => {
      const box = h("input", { type: "checkbox", id: `tick-${label}`, checked: chosen.has(label), autofocus: classNames.length <= 10 && label === 0 });
      const weight = h("input", {
        type: "number", min: "1", max: "99", step: "1", value: String(chosen.get(label) ?? 1), "aria-label": `Weight of ${name}`,
        oninput: () => {
          const value = Number(weight.value);
          if (value > 0) { box.checked = true; chosen.set(label, value); note(); }
        },
      });
      box.addEventListener("change", () => toggle(label, box.checked));
      return h("div", { class: "tick" }, box,
        h("label", { for: `tick-${label}` }, h("span", { class: "number" }, String(label + 1)), h("bdi", {}, name)), weight);
    };
    const draw = () => list.replaceChildren(
      ...classNames.map((name, label) => [name, label]).filter(([name, label]) => matches(name, label, input.value)).map(([name, label]) => line(name, label)));
    input.addEventListener("input", draw);
    const form = h("form", {
      onsubmit: (event) => {
        event.preventDefault();
        if (chosen.size >= 2) finish(Object.fromEntries(chosen));
      },
      onkeydown: (event) => {
        // Digits tick while a tick box has the focus.
        if (event.target.type !== "checkbox" || !/^[0-9]$/.test(event.key)) return;
        const box = find(`tick-${event.key === "0" ? 9 : Number(event.key) - 1}`);
        if (box) { box.checked = !box.checked; box.dispatchEvent(new Event("change")); box.focus(); event.preventDefault(); }
      },
    }, classNames.length > 10 ? input : null, list, sum, h("div", { class: "buttons" }, save, h("button", { type: "button", onclick: () => finish(null) }, "Cancel")));
    draw();
    note();
    return [form];
  });
}

/** A reviewer's name, or null where there is one already and it stays. */
export function askName(current) {
  return open("Who is reviewing?", (finish, dialog) => {
    const input = h("input", { type: "text", maxlength: "40", required: true, autofocus: true, value: current, "aria-label": "Your name", autocomplete: "nickname" });
    if (!current) dialog.addEventListener("cancel", (event) => event.preventDefault());
    return [h("form", {
      onsubmit: (event) => {
        event.preventDefault();
        const name = input.value.trim().replace(/\s+/g, " ");
        if (name) finish(name);
      },
    }, h("p", {}, "Each decision is recorded with this name."), input,
    h("div", { class: "buttons" }, h("button", { type: "submit", class: "primary" }, "Go on")))];
  });
}

const KEYS = [
  ["Enter or A", "accept the suggestion"], ["K", "keep the given label"], ["1 … 9, 0", "choose that class (with more than ten classes: begin to type its number)"],
  ["C", "choose a class by name"], ["M", "ambiguous: several classes"], ["R", "reject the image"], ["S or Space", "skip (one by one)"],
  ["U or Ctrl+Z", "undo, as often as you like"], ["← →", "look back and forth (one by one)"], ["O", "one by one"], ["G", "grid"], ["D", "dashboard"],
  ["F", "filters"], ["Arrows, Shift+arrows", "move and select (grid)"], ["Space", "select (grid)"], ["Ctrl+A", "select all in the list, at most 5,000 (grid)"],
  ["Enter", "with nothing selected: look at it large (grid)"], ["?", "this help"],
];

export function help(desk) {
  return open("Keys", (finish) => {
    const box = h("input", { type: "checkbox", id: "keys-on", checked: desk.keysOn, onchange: () => desk.setKeys(box.checked) });
    return [
      h("dl", { class: "keys" }, ...KEYS.map(([keys, what]) => h("div", {}, h("dt", {}, h("kbd", {}, keys)), h("dd", {}, what)))),
      h("p", {}, box, h("label", { for: "keys-on" }, " Single keys decide (everything has a button, too)")),
      h("div", { class: "buttons" }, h("button", { type: "button", autofocus: true, class: "primary", onclick: () => finish(null) }, "Close")),
    ];
  });
}
