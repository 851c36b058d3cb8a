// Bars, strips and the chart of the last requests. Every number that they draw also stands in text.

import { make, svg } from "./dom.js";
import { known, short } from "./words.js";

// One quantity of a source, before and after: two bars where steering made two of it, else one.
export class Bars {
  constructor(name) {
    this.node = make("div", "bars");
    this.node.append(make("span", "label", name));
    this.rows = ["before", "after"].map((kind) => {
      const row = make("div", `bar ${kind}`);
      const track = make("span", "track");
      const fill = make("span", "fill");
      const value = make("b", "value");
      track.append(fill);
      const phase = make("span", "hidden", kind);
      row.append(phase, track, value);
      this.node.append(row);
      return { row, phase, fill, value };
    });
  }

  set(values, largest, format, steered) {
    this.rows.forEach(({ row, phase, fill, value }, place) => {
      phase.hidden = !steered;
      row.hidden = !steered && place === 0;
      const size = known(values[place]) && largest > 0 ? Math.min(Number(values[place]) / largest, 1) : 0;
      fill.style.setProperty("--size", String(size));
      value.textContent = format(values[place]);
    });
  }
}

// Heads that a layer has, and thus of which there is a choice; 0 where nothing was measured.
export const headCount = (reports) =>
  Math.max(0, ...reports.flatMap((report) => (report.layers || []).map((layer) => (layer.headsAfter || []).length)));

// One number of each layer and what to add to it in words: of all its heads ("mean", "max"), or of the one with a number.
const ofHeads = (layers, field, choice) =>
  layers.map((layer) => {
    const heads = (layer[field] || []).map(Number);
    if (choice === "mean") return { value: heads.reduce((sum, value) => sum + value, 0) / (heads.length || 1), at: "" };
    const head = choice === "max" ? heads.indexOf(Math.max(...heads)) : Number(choice);
    return { value: heads[head] ?? 0, at: choice === "max" && head >= 0 ? `, head ${head}` : "" };
  });

const strip = (values, largest, label) => {
  const box = make("div", "strip");
  box.setAttribute("role", "img");
  const said = ({ value, at }) => `${short(value)}${at}`;
  const most = values.reduce((best, { value }, layer) => (value > values[best].value ? layer : best), 0);
  box.setAttribute("aria-label", `${label}: most in layer ${most}, ${said(values[most])}`);
  values.forEach((one, layer) => {
    const cell = make("span", "cell");
    cell.style.setProperty("--heat", `${Math.round((100 * one.value) / (largest || 1))}%`);
    cell.title = `layer ${layer}: ${said(one)}`;
    box.append(cell);
  });
  return box;
};

// Strips of layers, one or two for each source, of a choice of heads. Gives whether there was anything to draw.
export const heat = (box, numbers, reports, steered, choice) => {
  const rows = [];
  for (const report of reports) {
    if (!(report.layers || []).length) continue;
    if (steered) rows.push([report.spanId, "before", ofHeads(report.layers, "headsBefore", choice)]);
    rows.push([report.spanId, steered ? "after" : "", ofHeads(report.layers, "headsAfter", choice)]);
  }
  const largest = Math.max(0, ...rows.flatMap((row) => row[2].map(({ value }) => value)));
  box.replaceChildren();
  for (const [span, phase, values] of rows) {
    const line = make("div", phase === "after" ? "heat-row" : "heat-row first");
    const name = make("span", "heat-name");
    name.append(make("span", "badge", span));
    if (phase) name.append(make("span", "quiet", phase));
    line.append(name, strip(values, largest, [span, phase].filter(Boolean).join(", ")));
    box.append(line);
  }
  if (rows.length) {
    const axis = make("div", "heat-row axis");
    const ends = make("span", "ends");
    ends.append(make("span", "", "first layer"), make("span", "", `last, ${rows[0][2].length - 1}`));
    axis.append(make("span", "heat-name"), ends);
    box.append(axis);
  }
  numbers.replaceChildren(table(rows));
  return rows.length > 0;
};

const table = (rows) => {
  const made = make("table");
  const head = made.createTHead().insertRow();
  for (const name of ["layer", ...rows.map(([span, phase]) => [span, phase].filter(Boolean).join(", "))]) {
    const cell = make("th", "", name);
    cell.scope = "col";
    head.append(cell);
  }
  const body = made.createTBody();
  for (let layer = 0; layer < (rows[0] ? rows[0][2].length : 0); layer += 1) {
    const row = body.insertRow();
    const name = make("th", "", String(layer));
    name.scope = "row";
    row.append(name);
    for (const [, , values] of rows) row.insertCell().textContent = short(values[layer].value);
  }
  return made;
};

const WIDTH = 420;
const HEIGHT = 150;
const LEFT = 34;
const BOTTOM = 18;
const SLOTS = 50;
const TICKS = [[1, 1.5, 2, 3], [1, 2, 4, 8, 16], [1, 10, 100, 1000], [1, 1e3, 1e6, 1e9]];

const median = (values) => {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

// How many times as much the most used source had as the least used, of each request; a ring before, a dot after.
export const recentChart = (box, summary, choice, requests, measure) => {
  choice.hidden = true;
  const points = requests
    .map((request) => [request[`${measure}Before`], request[`${measure}After`]])
    .filter(([before, after]) => known(before) || known(after));
  if (!points.length) {
    summary.textContent = requests.length
      ? "The last requests had a single source each, or an engine that measures nothing."
      : "No request has finished yet.";
    box.replaceChildren();
    return;
  }
  const befores = points.map(([before]) => before).filter(known);
  const afters = points.map(([, after]) => after).filter(known);
  const top = Math.max(Math.log(2), ...befores, ...afters) * 1.08;
  const x = (place) => LEFT + ((WIDTH - LEFT) * (place + 0.5 + SLOTS - points.length)) / SLOTS;
  const y = (value) => 6 + (HEIGHT - BOTTOM - 6) * (1 - value / top);
  const said = (values) => (values.length ? `${Math.exp(median(values)).toPrecision(2)} times` : "unknown");
  summary.textContent =
    `How many times as much the most used source contributed as the least used, in this server’s last ` +
    `${points.length === 1 ? "request" : `${points.length} requests`} with several sources: a ring before steering (median ${said(befores)}), a dot after (${said(afters)}).`;
  const chart = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": summary.textContent, class: "chart" });
  for (const ratio of TICKS.find((ticks) => Math.log(ticks.at(-1)) > 0.75 * top) || TICKS.at(-1)) {
    const at = y(Math.log(ratio));
    if (Math.log(ratio) > top) continue;
    chart.append(svg("line", { x1: LEFT, x2: WIDTH, y1: at, y2: at, class: "grid" }));
    chart.append(svg("text", { x: LEFT - 6, y: at + 4 }, `${ratio}×`));
  }
  points.forEach(([before, after], place) => {
    const both = known(before) && known(after);
    if (both) chart.append(svg("line", { x1: x(place), x2: x(place), y1: y(before), y2: y(after), class: "move" }));
    if (known(before)) chart.append(svg("circle", { cx: x(place), cy: y(before), r: 3.4, class: "before" }));
    if (known(after)) chart.append(svg("circle", { cx: x(place), cy: y(after), r: 2.4, class: "after" }));
  });
  chart.append(svg("text", { x: WIDTH, y: HEIGHT - 3, class: "axis-name" }, "latest"));
  choice.hidden = false;
  box.replaceChildren(chart);
};

