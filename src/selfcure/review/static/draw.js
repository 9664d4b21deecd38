// Small pictures: a face's history, and histograms.

import { h, percent, svg } from "./dom.js";

const WIDTH = 320;
const HEIGHT = 64;

/** Elements that show one face epoch by epoch. */
export function curves(history, sample, names) {
  const { epochs } = history;
  if (!epochs.length) return [h("p", { class: "hint" }, "Not in the training split: no history.")];
  const shown = [h("h3", {}, `${epochs.length} epochs of training`), curve("probability of the given label", history.given_prob, "curve-prob")];
  if (history.importance.some((value) => value !== null)) shown.push(curve("importance", history.importance, "curve-importance"));
  shown.push(predictions(history.prediction, sample, names));
  if (history.changes.length) {
    shown.push(h("p", {}, "Label changed: ", history.changes.map((change) => `epoch ${change.epoch} to ${names[change.label]}`).join("; ")));
  }
  return shown;
}

function curve(name, values, kind) {
  const known = values.filter((value) => value !== null);
  const step = WIDTH / Math.max(values.length - 1, 1);
  const at = (value, index) => `${(index * step).toFixed(1)},${((1 - value) * (HEIGHT - 4) + 2).toFixed(1)}`;
  const pieces = [];
  let piece = [];
  values.forEach((value, index) => {
    if (value === null) { pieces.push(piece); piece = []; } else piece.push(at(value, index));
  });
  pieces.push(piece);
  const text = known.length ? `${name}: ${percent(known[0])} in its first epoch, ${percent(known.at(-1))} in its last` : `${name}: unknown`;
  return h("figure", { class: "curve" },
    svg("svg", { viewBox: `-3 -3 ${WIDTH + 6} ${HEIGHT + 6}`, role: "img", "aria-label": text, class: kind },
      svg("rect", { x: 0, y: 0, width: WIDTH, height: HEIGHT, class: "frame" }),
      svg("line", { x1: 0, x2: WIDTH, y1: HEIGHT / 2, y2: HEIGHT / 2, class: "middle" }),
      ...pieces.filter((points) => points.length).map((points) =>
        points.length > 1 ? svg("polyline", { points: points.join(" ") })
          : svg("circle", { cx: points[0].split(",")[0], cy: points[0].split(",")[1], r: 3 }))),
    h("figcaption", {}, name, " ", h("span", { class: "share" }, known.length ? percent(known.at(-1)) : "–")));
}

function predictions(labels, sample, names) {
  const width = WIDTH / labels.length;
  const kind = (label) => (label === null ? "unseen" : label === sample.given ? "given" : label === sample.suggested ? "suggested" : "else");
  const tally = new Map();
  for (const label of labels) if (label !== null) tally.set(label, (tally.get(label) ?? 0) + 1);
  const text = [...tally].sort((a, b) => b[1] - a[1]).slice(0, 3).map(([label, times]) => `${names[label]} ${times} ×`).join(", ");
  return h("figure", { class: "curve" },
    svg("svg", { viewBox: `0 0 ${WIDTH} 14`, role: "img", "aria-label": `predicted: ${text}`, class: "predictions" },
      ...labels.map((label, index) => svg("rect", { x: index * width + 0.5, y: 1, width: Math.max(width - 1, 0.5), height: 12, class: kind(label) },
        svg("title", {}, `epoch ${index + 1}: ${label === null ? "not drawn" : names[label]}`)))),
    h("figcaption", {}, `predicted: ${text}`));
}

/** A histogram over [0, 1]; two parts stacked. */
export function histogram(name, data) {
  const bars = data.same.map((value, index) => [value, data.differs[index]]);
  const most = Math.max(1, ...bars.map(([a, b]) => a + b));
  const width = WIDTH / bars.length;
  const tall = 140;
  const scale = (value) => (tall * value) / most;
  const total = bars.reduce((sum, [a, b]) => sum + a + b, 0);
  return h("figure", { class: "histogram" },
    svg("svg", { viewBox: `-2 -2 ${WIDTH + 4} ${tall + 22}`, role: "img", "aria-label": `${name} of ${total} faces from 0 to 1; highest bar ${most}` },
      ...bars.flatMap(([same, differs], index) => [
        svg("rect", { x: index * width + 0.5, width: width - 1, y: tall - scale(same), height: scale(same), class: "same" }),
        svg("rect", { x: index * width + 0.5, width: width - 1, y: tall - scale(same + differs), height: scale(differs), class: "differs" },
          svg("title", {}, `${data.edges[index].toFixed(2)} to ${data.edges[index + 1].toFixed(2)}: ${same + differs}, ${differs} with another suggestion`))]),
      svg("line", { x1: 0, x2: WIDTH, y1: tall, y2: tall, class: "axis" }),
      ...[0, 0.5, 1].map((value) => svg("text", { x: value * WIDTH, y: tall + 15, "text-anchor": value === 0 ? "start" : value === 1 ? "end" : "middle" }, String(value)))),
    h("figcaption", {}, name, ": ", h("span", { class: "key same" }, "suggestion as given"), " ", h("span", { class: "key differs" }, "another")));
}
