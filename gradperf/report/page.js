"use strict";
// Draws the figures from the data of the page. Texts of records are only ever set as text, never as markup.
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const main = document.getElementById("content");
const FRAMEWORKS = ["numpy", "torch", "tensorflow", "jax"];
const FAMILIES = ["training", "matmul", "derivative"];
const BY_HAND = new Set(["numpy.by_hand", "numpy.by_hand_inplace", "numpy.outer_product", "torch.tensors"]);
const state = { run: null, group: 0, baseline: "", metric: "step", steps: 1000, history: "", one: "", other: "" };
const detailed = Object.keys(data.details).map(Number);
state.run = detailed.find((place) => !data.runs[place].partial) ?? detailed[0];

// ---- small helpers -------------------------------------------------------------------------------------------
function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "g", "line", "path", "circle", "rect", "text", "title", "polygon"].includes(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat()) if (child !== null && child !== undefined) node.append(child);
  return node;
}
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const framework = (label) => (FRAMEWORKS.includes(label.split(".")[0]) ? label.split(".")[0] : "other");
function prefixed(value, units) {
  if (!isNumber(value)) return "–";
  if (value === 0) return `0 ${units[0][1]}`;
  const [size, unit] = units.find(([size]) => Math.abs(value) >= size) ?? units[units.length - 1];
  return `${Number((value / size).toPrecision(3))} ${unit}`;
}
const seconds = (value) => prefixed(value, [[1, "s"], [1e-3, "ms"], [1e-6, "µs"], [1e-9, "ns"]]);
const duration = (value) => {
  if (!isNumber(value) || value < 120) return seconds(value);
  const [size, unit] = [[31557600, "years"], [86400, "days"], [3600, "h"], [60, "min"]].find(([size]) => value >= 2 * size);
  return `${Number((value / size).toPrecision(3))} ${unit}`;
};
const bytes = (value) => prefixed(value, [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [1, "B"]]);
const rate = (value) => prefixed(value, [[1e12, "TFLOP/s"], [1e9, "GFLOP/s"], [1e6, "MFLOP/s"], [1e3, "kFLOP/s"], [1, "FLOP/s"]]);
const share = (value) => (isNumber(value) ? `${Number((100 * value).toPrecision(2))} %` : "–");
const plain = (value) => (isNumber(value) ? String(Number(value.toPrecision(3))) : "–");
const small = (value) => (isNumber(value) ? value.toExponential(1) : "–");
const count = (value) => Math.round(value).toLocaleString("en");
const ratio = (value) => (isNumber(value) ? (value >= 100 ? count(value) : Number(value.toPrecision(value < 10 ? 3 : 2)).toString()) : "–");
const titled = (group) => `${group.problem}, ${group.device}, ${group.dtype}`;
const details = () => data.details[state.run];
const group = () => details().groups[Math.min(state.group, details().groups.length - 1)];
const when = (run) => (run.at ? run.at.slice(0, 16).replace("T", " ") : "at an unknown time");

// ---- scales and axes -----------------------------------------------------------------------------------------
function scale(low, high, from, to, logarithmic) {
  const f = logarithmic ? Math.log10 : (value) => value;
  if (low === high) { if (logarithmic) { low /= 2; high *= 2; } else { low -= 1; high += 1; } }
  const at = (value) => from + ((f(value) - f(low)) / (f(high) - f(low))) * (to - from);
  return Object.assign(at, { low, high, logarithmic, from, to });
}
const spread = (found, most) => (found.length > most ? spread(found.filter((_, place) => place % 2 === 0), most) : found);
function ticks(axis, most) {
  if (!axis.logarithmic || axis.high / axis.low < 3.5) {
    const raw = (axis.high - axis.low) / most, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= raw);
    const found = [];
    for (let value = Math.ceil(axis.low / step) * step; value <= axis.high + step * 1e-9; value += step) found.push(value);
    return found;
  }
  const decades = Math.log10(axis.high / axis.low), steps = decades > most ? [1] : decades > 1.2 ? [1, 3] : [1, 1.5, 2, 3, 5, 7];
  const skip = Math.max(1, Math.ceil(decades / most)), found = [];
  for (let power = Math.floor(Math.log10(axis.low)); power <= Math.ceil(Math.log10(axis.high)); power += skip)
    for (const step of steps) { const value = step * 10 ** power; if (value >= axis.low * 0.999 && value <= axis.high * 1.001) found.push(value); }
  return found;
}
function extent(values, padding = 1.25) {
  const kept = values.filter((value) => isNumber(value) && value > 0);
  return kept.length ? [Math.min(...kept) / padding, Math.max(...kept) * padding] : [0.1, 10];
}
function xAxis(svg, axis, top, bottom, format, title) {
  const width = Math.abs(axis.to - axis.from);
  for (const value of spread(ticks(axis, Math.max(2, Math.floor(width / 85))), Math.max(2, Math.floor(width / 55)))) {
    svg.append(make("line", { class: "grid", x1: axis(value), x2: axis(value), y1: top, y2: bottom }),
      make("text", { class: "tick", x: axis(value), y: bottom + 16, "text-anchor": "middle" }, format(value)));
  }
  svg.append(make("text", { class: "tick", x: axis.to, y: bottom + 33, "text-anchor": "end" }, title));
}
const DURATIONS = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10, 60, 600, 3600, 36000, 2 * 86400, 20 * 86400, 365.25 * 86400];
function yAxis(svg, axis, left, right, format, title, values = ticks(axis, Math.max(3, Math.floor(Math.abs(axis.to - axis.from) / 28)))) {
  for (const value of values)
    svg.append(make("line", { class: "grid", x1: left, x2: right, y1: axis(value), y2: axis(value) }),
      make("text", { class: "tick", x: left - 6, y: axis(value) + 4, "text-anchor": "end" }, format(value)));
  svg.append(make("text", { class: "tick", x: left, y: axis.to - 8 }, title));
}
function mark(label, x, y, text, extra = "") {
  const kind = framework(label), size = 5.5, common = { class: `mark ${kind} ${extra}`, tabindex: "0", role: "img", "aria-label": text };
  const shape = {
    numpy: () => make("circle", { cx: x, cy: y, r: size, ...common }),
    torch: () => make("rect", { x: x - size, y: y - size, width: 2 * size, height: 2 * size, ...common }),
    tensorflow: () => make("polygon", { points: `${x},${y - 7} ${x + 6.5},${y + 5} ${x - 6.5},${y + 5}`, ...common }),
    jax: () => make("polygon", { points: `${x},${y - 7} ${x + 7},${y} ${x},${y + 7} ${x - 7},${y}`, ...common }),
    other: () => make("rect", { x: x - size, y: y - 2.5, width: 2 * size, height: 5, ...common }),
  }[kind]();
  explain(shape, text);
  return shape;
}
const tip = document.getElementById("tip");
function explain(node, text) {
  const show = () => {
    const box = node.getBoundingClientRect();
    tip.textContent = text; tip.hidden = false;
    tip.style.left = `${Math.max(8, Math.min(box.left + box.width / 2 - tip.offsetWidth / 2, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${box.top > tip.offsetHeight + 12 ? box.top - tip.offsetHeight - 8 : box.bottom + 8}px`;
  };
  const hide = () => { tip.hidden = true; };
  node.addEventListener("pointerenter", show); node.addEventListener("focus", show);
  node.addEventListener("pointerleave", hide); node.addEventListener("blur", hide);
}
function legend(labels) {
  const kinds = [...new Set(labels.map(framework))];
  return make("ul", { class: "legend" }, kinds.map((kind) => {
    const svg = make("svg", { width: 14, height: 14, viewBox: "0 0 14 14", "aria-hidden": "true" });
    const shape = mark(`${kind}.`, 7, 7, kind);
    for (const name of ["tabindex", "role", "aria-label"]) shape.removeAttribute(name);
    svg.append(shape);
    return make("li", {}, svg, kind === "other" ? "other" : kind);
  }));
}
const width = () => Math.max(300, Math.min(main.clientWidth, 1200) - (innerWidth < 640 ? 28 : 48));
function canvas(height, label) {
  const w = width();
  const svg = make("svg", { class: "plot", viewBox: `0 0 ${w} ${height}`, width: w, height, role: "group", "aria-label": label });
  return [svg, w];
}

// ---- figures: each has its numbers as a table, its command, and can be saved ------------------------------------
const figures = [];
function figure(id, title, lead, draw, ofRun = true) {
  const body = make("div", { class: "body" });
  const table = make("details", {}, make("summary", {}, "The numbers"));
  const tools = make("div", { class: "tools" });
  const section = make("section", { class: "figure", id, "aria-labelledby": `${id}-title` },
    make("h2", { id: `${id}-title` }, title), make("p", { class: "lead" }, lead), body, table, tools);
  main.append(section);
  figures.push(() => {
    const drawn = ofRun && !detailed.length ? null : draw();
    section.hidden = drawn === null;
    if (drawn === null) return;
    body.replaceChildren(...drawn.nodes);
    const svg = drawn.nodes.flatMap((node) => [node, ...node.querySelectorAll("*")]).find((node) => node.classList.contains("plot"));
    table.replaceChildren(make("summary", {}, "The numbers"), numbers(drawn.columns, drawn.rows, title));
    tools.replaceChildren(
      ...(svg ? [make("button", { type: "button", onclick: () => saveSvg(svg, id) }, "Save SVG")] : []),
      make("button", { type: "button", onclick: () => save(csv(drawn.columns, drawn.rows), `${id}.csv`, "text/csv") }, "Save CSV"),
      make("span", {}, "Made by ", make("code", {}, drawn.command ?? (data.runs[state.run].command || "pytest perf"))));
  });
}
function numbers(columns, rows, title) {
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Numbers: ${title}` }, make("table", {},
    make("thead", {}, make("tr", {}, columns.map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", {}, rows.map((row) => make("tr", {}, row.map((cell, place) =>
      make(place ? "td" : "th", place ? {} : { scope: "row" }, cell === null || cell === undefined ? "" : String(cell))))))));
}
function csv(columns, rows) {
  const cell = (value) => {
    if (value === null || value === undefined) return "";
    let text = String(value);
    if (typeof value !== "number" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`; // a spreadsheet would compute it
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}
function save(text, name, type) {
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
function saveSvg(svg, id) {
  const copy = svg.cloneNode(true), originals = [svg, ...svg.querySelectorAll("*")];
  [copy, ...copy.querySelectorAll("*")].forEach((node, place) => {
    const style = getComputedStyle(originals[place]);
    for (const name of ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-family", "font-size", "text-anchor"])
      node.setAttribute(name, style.getPropertyValue(name));
    node.removeAttribute("tabindex");
  });
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  save(new XMLSerializer().serializeToString(copy), `${id}.svg`, "image/svg+xml");
}
function choice(label, values, selected, change) {
  const select = make("select", { onchange: (event) => { change(event.target.value); update(); } },
    values.map(([value, text]) => make("option", { value, selected: String(value) === String(selected) }, text)));
  return make("label", {}, label, select);
}

// ---- what is compared -----------------------------------------------------------------------------------------
function base(of) {
  const wanted = state.baseline || of.baseline, timed = of.rows.filter((row) => isNumber(row.step));
  if (state.baseline === "fastest") return timed[0];
  return timed.find((row) => row.label === wanted) ?? (state.baseline ? undefined : timed[0]);
}
function unsure(row, other) {
  if (row.noisy || other.noisy) return "too noisy";
  const error = Math.hypot(row.error ?? Infinity, other.error ?? Infinity);
  return row !== other && Math.abs(Math.log(row.step / other.step)) <= 2 * error ? "this run cannot tell it from the baseline" : "";
}
const FASTER = [[33, 102, 172], [146, 197, 222], [247, 247, 245]], SLOWER = [[247, 247, 245], [253, 184, 99], [179, 88, 6]];
function colour(value) {
  const at = Math.max(-1, Math.min(1, Math.log2(value) / 4)), [path, place] = at < 0 ? [FASTER, 1 + at] : [SLOWER, at];
  const from = place < 0.5 ? 0 : 1, part = (place - from / 2) * 2;
  const mixed = path[from].map((channel, index) => Math.round(channel + (path[from + 1][index] - channel) * part));
  const bright = (0.2126 * mixed[0] + 0.7152 * mixed[1] + 0.0722 * mixed[2]) / 255;
  return [`rgb(${mixed.join(" ")})`, bright > 0.45 ? "#111" : "#fff"];
}

function told(cell, text) { cell.setAttribute("aria-label", text); explain(cell, text); }
function byArrows(table) { // one stop of the Tab key for all cells
  const rows = [...table.tBodies[0].rows].map((row) => [...row.cells].slice(1));
  rows.flat().forEach((cell, place) => { cell.tabIndex = place ? -1 : 0; });
  table.addEventListener("keydown", (event) => {
    const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] ?? [0, 0];
    const at = rows.findIndex((row) => row.includes(event.target)), next = rows[at + down]?.[rows[at]?.indexOf(event.target) + right];
    if (at < 0 || !next || next === event.target) return;
    event.preventDefault();
    event.target.tabIndex = -1; next.tabIndex = 0; next.focus();
  });
}

figure("matrix", "Every style on every problem",
  "Time per step as a multiple of the baseline: blue is faster, orange slower. Outlined: the baseline, or the fastest where that was not timed. Hatched: noise decides. Grey: no time in this run; a cell says why, and the arrow keys go from cell to cell.", () => {
    // Problems of one family side by side: they have their styles in common.
    const family = (each) => FAMILIES.indexOf(data.families[each.problem]) + 1 || FAMILIES.length + 1;
    const groups = [...details().groups].sort((one, other) => family(one) - family(other) || titled(one).localeCompare(titled(other), "en", { numeric: true }));
    const labels = [...new Set(groups.flatMap((each) => each.rows.map((row) => row.label)))], first = (label) => family(groups.find((each) => each.rows.some((row) => row.label === label)));
    labels.sort((one, other) => FRAMEWORKS.indexOf(framework(one)) - FRAMEWORKS.indexOf(framework(other)) || first(one) - first(other) || one.localeCompare(other));
    const several = new Set(groups.map((each) => each.device)).size > 1;
    const rows = labels.map((label) => make("tr", {}, make("th", { scope: "row" }, label), groups.map((each) => {
      const row = each.rows.find((one) => one.label === label), other = base(each);
      if (!row || !isNumber(row.step)) {
        const why = details().reasons[each.untimed[label]] ?? "not timed in this run";
        const cell = make("td", { class: "missing" }, why.startsWith("failed") ? "failed" : why.startsWith("cannot run") ? "–" : "·");
        told(cell, `${label} on ${titled(each)}\n${why}`);
        return cell;
      }
      if (!other) { const cell = make("td", { class: "missing" }, seconds(row.step)); told(cell, `${label} on ${titled(each)}\nthe baseline was not timed`); return cell; }
      const value = row.step / other.step, doubt = unsure(row, other), [paper, ink] = colour(value);
      const cell = make("td", { class: `${doubt && row !== other ? "unsure" : ""} ${row === other ? "base" : ""}`,
        style: `background-color:${paper};color:${ink}` }, ratio(value));
      told(cell, `${label} on ${titled(each)}\n${seconds(row.step)} per step, ${ratio(value)} × ${other.label}${doubt ? `\n${doubt}` : ""}`);
      return cell;
    })));
    const table = make("table", { class: "matrix" }, make("thead", {}, make("tr", {}, make("td", {}), groups.map((each) =>
      make("th", { scope: "col" }, `${each.problem.replaceAll("_", " ")} ${each.dtype}${several ? ` ${each.device}` : ""}`)))), make("tbody", {}, rows));
    byArrows(table);
    const untimed = details().untimed, missing = untimed.reduce((sum, [, ids]) => sum + ids.length, 0);
    return {
      nodes: [make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Ratios of all styles and problems" }, table),
        ...(missing ? [make("details", { class: "untimed" }, make("summary", {}, `${missing} case${missing === 1 ? "" : "s"} could not run${untimed.some(([why]) => why.startsWith("failed")) ? " or failed" : ""}`),
          make("ul", {}, untimed.map(([why, ids]) => make("li", {}, `${why} (${ids.length}): `, make("span", {}, ids.join(", "))))))] : [])],
      columns: ["style", ...groups.map(titled)],
      rows: labels.map((label) => [label, ...groups.map((each) => {
        const row = each.rows.find((one) => one.label === label), other = base(each);
        return row && other && isNumber(row.step) ? Number((row.step / other.step).toPrecision(4)) : null;
      })]),
    };
  });

const METRICS = {
  step: { name: "step", title: "time per step", value: (row) => row.step, interval: (row) => row.interval, format: seconds },
  first: { name: "first call", title: "preparing and the first call", value: (row) => row.first, format: seconds },
  memory: { name: "memory", title: "growth of the process", value: (row) => row.memory, format: bytes },
  gradient_error: { name: "error", title: "error of the first gradients, share of their norm", value: (row) => row.gradient_error, format: small },
  peak: { name: "share of peak", title: "share of this machine's best speed", value: (row) => row.peak, format: share },
};
figure("times", "One problem, style by style", "The bar is the interval over the moments of the run. Styles with one rank cannot be told apart.", () => {
  const of = group(), available = Object.entries(METRICS).filter(([, each]) => of.rows.some((row) => each.value(row) > 0));
  if (!available.length) return null;
  if (!available.some(([key]) => key === state.metric)) state.metric = available[0][0];
  const metric = METRICS[state.metric];
  const rows = of.rows.filter((row) => metric.value(row) > 0).sort((one, other) => metric.value(one) - metric.value(other));
  const buttons = make("div", { class: "options" }, make("div", { class: "group", role: "group", "aria-label": "What is shown" }, available.map(([key, each]) =>
    make("button", { type: "button", "aria-pressed": String(key === state.metric), onclick: () => { state.metric = key; update("times"); } }, each.name))));
  const height = rows.length * 24 + 58, [svg, w] = canvas(height, `${metric.title} of ${titled(of)}`);
  const left = 168, right = w - 74, x = scale(...extent(rows.flatMap((row) => [metric.value(row), ...(metric.interval?.(row) ?? [])])), left, right, true);
  xAxis(svg, x, 6, height - 44, metric.format, metric.title);
  rows.forEach((row, place) => {
    const y = 18 + place * 24, interval = metric.interval?.(row), rank = row.noisy ? "noisy" : row.rank ? `rank ${row.rank}` : "";
    svg.append(make("text", { class: "name", x: left - 10, y: y + 4, "text-anchor": "end" }, row.label));
    if (interval) svg.append(make("line", { class: `bar ${framework(row.label)}`, x1: x(interval[0]), x2: x(interval[1]), y1: y, y2: y }));
    svg.append(mark(row.label, x(metric.value(row)), y, `${row.label}: ${metric.format(metric.value(row))}` +
      (interval ? ` (${metric.format(interval[0])} to ${metric.format(interval[1])})` : "") + (state.metric === "step" && rank ? `\n${rank}` : ""), row.noisy ? "faint" : ""));
    svg.append(make("text", { class: "tick", x: w, y: y + 4, "text-anchor": "end" }, metric.format(metric.value(row))));
  });
  return { nodes: [buttons, legend(rows.map((row) => row.label)), svg],
    columns: ["style", metric.title, "from", "to", "rank"],
    rows: rows.map((row) => [row.label, metric.value(row), metric.interval?.(row)?.[0], metric.interval?.(row)?.[1], row.noisy ? "noisy" : row.rank]) };
});

const once = (row) => Math.max(0, row.first - (row.first_steps ?? 1) * row.step);
const total = (row, steps) => once(row) + steps * row.step;
function crossings(rows) {
  let steps = 1, best = [...rows].sort((one, other) => total(one, 1) - total(other, 1))[0];
  const found = [[1, best]];
  for (;;) {
    const next = rows.filter((row) => row.step < best.step)
      .map((row) => [Math.max(steps, Math.floor((once(row) - once(best)) / (best.step - row.step)) + 1), row])
      .sort((one, other) => one[0] - other[0] || one[1].step - other[1].step)[0];
    if (!next) return found;
    [steps, best] = next;
    found.push(next);
  }
}
figure("train", "I train for n steps", "The first call and n steps together: what compiles pays off only in longer trainings.", () => {
  const of = group(), rows = of.rows.filter((row) => isNumber(row.first) && isNumber(row.step));
  if (!rows.length) return null;
  const [svg, w] = canvas(330, `Total time of ${titled(of)} over the number of steps`), left = 62, right = w - 20;
  const x = scale(1, 1e8, left, right, true), y = scale(...extent(rows.flatMap((row) => [total(row, 1), total(row, 1e8)])), 285, 22, true);
  xAxis(svg, x, 22, 285, (value) => (value < 1e6 ? count(value) : `${Math.round(value / 1e6)} M`), "steps");
  yAxis(svg, y, left, right, duration, "total time", DURATIONS.filter((value) => value >= y.low && value <= y.high));
  const ranked = [...rows].sort((one, other) => total(one, state.steps) - total(other, state.steps));
  for (const row of rows) {
    const points = []; for (let power = 0; power <= 8; power += 0.1) points.push(`${x(10 ** power).toFixed(1)},${y(total(row, 10 ** power)).toFixed(1)}`);
    const path = make("path", { class: `line ${framework(row.label)} ${ranked.indexOf(row) > 2 ? "faint" : ""}`, d: `M${points.join("L")}` });
    svg.append(path);
  }
  svg.append(make("line", { class: "axis", x1: x(state.steps), x2: x(state.steps), y1: 22, y2: 285, "stroke-width": 2 }));
  ranked.slice(0, 3).forEach((row) => svg.append(mark(row.label, x(state.steps), y(total(row, state.steps)), `${row.label}: ${duration(total(row, state.steps))}`)));
  const output = make("output", {}, count(state.steps));
  const slider = make("input", { type: "range", min: 0, max: 800, value: Math.round(100 * Math.log10(state.steps)), "aria-label": "Steps of the training", "aria-valuetext": `${count(state.steps)} steps`,
    oninput: (event) => { state.steps = Math.round(10 ** (event.target.value / 100)); update("train"); document.querySelector("#train input").focus(); } });
  const path = crossings(rows), last = path.length - 1;
  const words = path.map(([from, row], place) => make("li", {}, place === last ? (place ? `from ${count(from)} steps on: ` : "for any number of steps: ")
    : `from ${count(from)} step${from === 1 ? "" : "s"}, up to ${count(path[place + 1][0] - 1)}: `, make("code", {}, row.label)));
  return { nodes: [make("div", { class: "options" }, make("label", {}, "steps", slider), output), legend(rows.map((row) => row.label)), svg,
      make("h3", {}, "The fastest"), make("ul", {}, words), make("h3", {}, `The order at ${count(state.steps)} steps`),
      make("ol", { class: "ranking" }, ranked.map((row) => make("li", {}, make("code", {}, row.label), ` ${duration(total(row, state.steps))}`)))],
    columns: ["style", "seconds once", "seconds per step", `seconds of ${state.steps} steps`],
    rows: ranked.map((row) => [row.label, Number(once(row).toPrecision(4)), row.step, Number(total(row, state.steps).toPrecision(4))]) };
});

figure("roofline", "How near to what this machine can do", "Operations per second over operations per byte. The roof is the measured speed of a matrix product and of a copy.", () => {
  const of = group(), found = details().groups.filter((each) => each.device === of.device && each.dtype === of.dtype)
    .flatMap((each) => each.rows.filter((row) => row.flops > 0 && row.bytes > 0 && isNumber(row.step)).map((row) => ({ each, row })));
  if (!found.length) return null;
  const ceilings = details().ceilings.filter((one) => one.device === of.device && one.dtype === of.dtype && isNumber(one.flops_per_s));
  const roof = ceilings.length ? Math.max(...ceilings.map((one) => one.flops_per_s)) : null;
  const copies = ceilings.flatMap((one) => Object.values(one.copy_bytes_per_s ?? {})).filter(isNumber), copy = copies.length ? Math.max(...copies) : null;
  const intensity = ({ row }) => row.flops / row.bytes, speed = ({ row }) => row.flops / row.step;
  const [svg, w] = canvas(380, "Roofline"), left = 84, right = w - 12;
  const x = scale(...extent(found.map(intensity), 2), left, right, true), y = scale(...extent([...found.map(speed), roof ?? 0], 1.6), 335, 22, true);
  xAxis(svg, x, 22, 335, plain, "operations per byte"); yAxis(svg, y, left, right, rate, "operations per second");
  if (roof && copy) {
    const knee = Math.max(x.low, Math.min(x.high, roof / copy)), start = Math.max(x.low, y.low / copy);
    const points = [[start, Math.min(roof, start * copy)], [knee, roof], [x.high, roof]].filter(([at], place) => place === 2 || at <= x.high);
    svg.append(make("path", { class: "axis", d: `M${points.map(([a, b]) => `${x(a)},${y(Math.min(b, roof))}`).join("L")}`, fill: "none", "stroke-width": 2.5 }),
      make("text", { class: "tick", x: right, y: y(roof) - 6, "text-anchor": "end" }, `matrix product: ${rate(roof)}`));
  }
  for (const one of found) {
    const own = one.each === of;
    svg.append(mark(one.row.label, x(intensity(one)), y(speed(one)), `${one.row.label} on ${one.each.problem}\n${rate(speed(one))}, ${plain(intensity(one))} operations per byte\n${share(one.row.peak)} of this machine's best`, own ? "" : "faint"));
  }
  return { nodes: [legend(found.map(({ row }) => row.label)), make("p", { class: "lead" }, `Strong marks: ${of.problem}. Faint: the other problems in ${of.dtype} on ${of.device}.`), svg],
    columns: ["style", "problem", "operations per byte", "operations per second", "share of peak"],
    rows: found.map((one) => [one.row.label, one.each.problem, Number(intensity(one).toPrecision(4)), Number(speed(one).toPrecision(4)), one.row.peak]) };
});

figure("error", "Error against time", "Down and left is better. All styles compute the same, so their errors are roundings of their dtype.", () => {
  const of = group(), rows = of.rows.filter((row) => row.gradient_error > 0 && isNumber(row.step));
  if (rows.length < 2) return null;
  const [svg, w] = canvas(300, `Error against time of ${titled(of)}`), left = 64, right = w - 12;
  const x = scale(...extent(rows.map((row) => row.step)), left, right, true), y = scale(...extent(rows.map((row) => row.gradient_error), 1.5), 255, 22, true);
  xAxis(svg, x, 22, 255, seconds, "time per step"); yAxis(svg, y, left, right, small, "error of the first gradients");
  for (const row of rows) svg.append(mark(row.label, x(row.step), y(row.gradient_error), `${row.label}: ${seconds(row.step)}, error ${small(row.gradient_error)}`));
  return { nodes: [legend(rows.map((row) => row.label)), svg], columns: ["style", "seconds per step", "gradient error"], rows: rows.map((row) => [row.label, row.step, row.gradient_error]) };
});

figure("autograd", "What autograd costs over by hand", "Time per step of each style that differentiates by itself, over the fastest that is written by hand: in the same framework where there is one, else in numpy.", () => {
  const of = group(), hand = (name) => of.rows.filter((row) => BY_HAND.has(row.label) && row.label.startsWith(`${name}.`) && isNumber(row.step))[0];
  const rows = of.rows.filter((row) => !BY_HAND.has(row.label) && isNumber(row.step) && row.gradient_error !== null)
    .map((row) => ({ row, other: hand(framework(row.label)) ?? hand("numpy") })).filter(({ other }) => other);
  if (!rows.length) return null;
  rows.sort((one, other) => one.row.step / one.other.step - other.row.step / other.other.step);
  const height = rows.length * 24 + 58, [svg, w] = canvas(height, `Autograd over by hand, ${titled(of)}`), left = 168, right = w - 70;
  const values = rows.map(({ row, other }) => row.step / other.step), x = scale(...extent([...values, 1]), left, right, true);
  xAxis(svg, x, 6, height - 44, (value) => `${ratio(value)} ×`, "multiple of by hand");
  svg.append(make("line", { class: "axis", x1: x(1), x2: x(1), y1: 6, y2: height - 44, "stroke-width": 2 }));
  rows.forEach(({ row, other }, place) => {
    const y = 18 + place * 24;
    svg.append(make("text", { class: "name", x: left - 10, y: y + 4, "text-anchor": "end" }, row.label),
      make("line", { class: `bar ${framework(row.label)}`, x1: x(1), x2: x(values[place]), y1: y, y2: y }),
      mark(row.label, x(values[place]), y, `${row.label}: ${ratio(values[place])} × ${other.label}`),
      make("text", { class: "tick", x: w, y: y + 4, "text-anchor": "end" }, `${ratio(values[place])} ×`));
  });
  return { nodes: [legend(rows.map(({ row }) => row.label)), svg], columns: ["style", "by hand", "ratio"],
    rows: rows.map(({ row, other }, place) => [row.label, other.label, Number(values[place].toPrecision(4))]) };
});

figure("size", "Time against size", "Products of matrices of several sizes, (m, k) by (k, n).", () => {
  const of = group(), found = new Map();
  for (const each of details().groups) {
    const sizes = /^matmul_(\d+)x(\d+)x(\d+)$/.exec(each.problem);
    if (!sizes || each.device !== of.device) continue;
    const operations = 2 * sizes.slice(1).reduce((product, size) => product * Number(size), 1);
    for (const row of each.rows) if (isNumber(row.step)) {
      const key = `${row.label} ${each.dtype}`;
      if (!found.has(key)) found.set(key, []);
      found.get(key).push({ row, each, operations });
    }
  }
  const lines = [...found].filter(([, points]) => new Set(points.map((one) => one.operations)).size > 1);
  if (!lines.length) return null;
  const points = lines.flatMap(([, own]) => own), [svg, w] = canvas(380, "Time against size"), left = 64, right = w - 12;
  const x = scale(...extent(points.map((one) => one.operations)), left, right, true), y = scale(...extent(points.map((one) => one.row.step)), 335, 22, true);
  xAxis(svg, x, 22, 335, (value) => prefixed(value, [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]]), "operations"); yAxis(svg, y, left, right, seconds, "time per product");
  for (const [, own] of lines) {
    own.sort((one, other) => one.operations - other.operations);
    svg.append(make("path", { class: `line ${framework(own[0].row.label)} faint`, d: `M${own.map((one) => `${x(one.operations)},${y(one.row.step)}`).join("L")}` }));
    for (const one of own) svg.append(mark(one.row.label, x(one.operations), y(one.row.step), `${one.row.label} on ${titled(one.each)}: ${seconds(one.row.step)}`));
  }
  return { nodes: [legend(points.map(({ row }) => row.label)), svg], columns: ["style", "problem", "dtype", "operations", "seconds"],
    rows: points.map((one) => [one.row.label, one.each.problem, one.each.dtype, one.operations, one.row.step]) };
});

figure("history", "History of a case", "One mark for each run, with twice its standard error. Triangles: slower (up) or faster (down) than the run before, where the comparison of the two runs sees it. Lines join runs of one machine only.", () => {
  const cases = Object.keys(data.history).sort();
  if (data.runs.length < 2) return null;
  if (!data.history[state.history]) {
    const first = group().rows[0], wanted = first && `${group().problem}-${first.label}-${group().device}-${group().dtype}`;
    const most = (one, other) => (data.history[other].length > data.history[one].length ? other : one);
    state.history = data.history[wanted]?.length > 1 ? wanted : cases.reduce(most);
  }
  const entries = [...data.history[state.history]].sort((one, other) => other[0] - one[0]), last = data.runs.length - 1;
  const [svg, w] = canvas(330, `History of ${state.history}`), left = 64, right = w - 12;
  const bound = (entry, sign) => entry[1] * Math.exp(sign * 2 * (entry[2] ?? 0));
  const x = (place) => right - 8 - (place / Math.max(1, last)) * (right - left - 16), y = scale(...extent(entries.flatMap((entry) => [bound(entry, 1), bound(entry, -1)]), 1.06), 270, 22, true);
  yAxis(svg, y, left, right, seconds, "time per step");
  const kinds = ["numpy", "torch", "jax", "tensorflow", "other"], kind = (entry) => kinds[data.runs[entry[0]].machine % kinds.length];
  for (const machine of new Set(entries.map((entry) => data.runs[entry[0]].machine))) {
    const own = entries.filter((entry) => data.runs[entry[0]].machine === machine);
    svg.append(make("path", { class: `line ${kind(own[0])} faint`, d: `M${own.map((entry) => `${x(entry[0])},${y(entry[1])}`).join("L")}` }));
  }
  for (const entry of entries) {
    const run = data.runs[entry[0]], at = x(entry[0]), word = { 1: "slower than the run before", "-1": "faster than the run before", 0: "" }[entry[3]];
    svg.append(make("line", { class: `bar ${kind(entry)}`, x1: at, x2: at, y1: y(bound(entry, 1)), y2: y(bound(entry, -1)), "stroke-width": 1 }));
    const text = `${when(run)}: ${seconds(entry[1])}${word ? `\n${word}` : ""}\n${run.file}\n${run.cpu}${run.commit ? `\ncommit ${run.commit}` : ""}\n${Object.entries(run.versions).map((pair) => pair.join(" ")).join(", ")}`;
    const common = { class: `mark ${kind(entry)}`, tabindex: "0", role: "img", "aria-label": text };
    const spot = entry[3] ? make("polygon", { points: entry[3] > 0 ? `${at},${y(entry[1]) - 8} ${at + 7},${y(entry[1]) + 5} ${at - 7},${y(entry[1]) + 5}`
      : `${at},${y(entry[1]) + 8} ${at + 7},${y(entry[1]) - 5} ${at - 7},${y(entry[1]) - 5}`, ...common }) : make("circle", { cx: at, cy: y(entry[1]), r: data.runs.length > 80 ? 3 : 4.5, ...common });
    explain(spot, text); svg.append(spot);
  }
  for (const [place, anchor] of entries.length > 1 ? [[entries[0][0], "start"], [entries.at(-1)[0], "end"]] : [[entries[0][0], "end"]])
    svg.append(make("text", { class: "tick", x: x(place), y: 290, "text-anchor": anchor }, when(data.runs[place])));
  const machines = [...new Set(entries.map((entry) => data.runs[entry[0]].machine))];
  return { nodes: [make("div", { class: "options" }, choice("case", cases.map((one) => [one, one]), state.history, (value) => { state.history = value; })),
      make("ul", { class: "legend" }, machines.map((one) => make("li", {}, make("svg", { width: 12, height: 12, viewBox: "0 0 12 12", "aria-hidden": "true" },
        make("circle", { class: `mark ${kinds[one % kinds.length]}`, cx: 6, cy: 6, r: 5 })), `machine ${one + 1}: ${data.machines[one].cpu_model ?? "unknown"}`))), svg],
    columns: ["run", "when", "machine", "commit", "seconds per step", "relative error", "since the run before"],
    rows: entries.map((entry) => [data.runs[entry[0]].file, data.runs[entry[0]].at, data.runs[entry[0]].machine + 1, data.runs[entry[0]].commit, entry[1], entry[2], { 1: "slower", "-1": "faster", 0: "" }[entry[3]]]),
    command: "gradperf compare A B" };
});

const paragraphs = (doc) => doc.trim().split(/\n\s*\n/).map((text) => make("p", {},
  text.replaceAll(/\s+/g, " ").split("``").map((part, place) => (place % 2 ? make("code", {}, part) : part))));
figure("styles", "Two styles side by side", "What each does, in its own words and its source, and what came out.", () => {
  const of = group(), labels = of.rows.map((row) => row.label);
  if (labels.length < 2) return null;
  if (!labels.includes(state.one)) state.one = labels.includes(of.baseline) ? of.baseline : labels[0];
  if (!labels.includes(state.other) || state.other === state.one) state.other = labels.find((label) => label !== state.one);
  const facts = [["time per step", (row) => seconds(row.step)], ["first call", (row) => seconds(row.first)], ["memory", (row) => bytes(row.memory)],
    ["error of the first gradients", (row) => small(row.gradient_error)], ["error of all outputs", (row) => small(row.output_error)],
    ["operations in matrix products, counted", (row) => (isNumber(row.products) ? count(row.products) : row.uncounted ?? "–")], ["share of this machine's best", (row) => share(row.peak)],
    ["loss after the last step", (row) => plain(row.loss)]];
  const pair = [state.one, state.other].map((label) => of.rows.find((row) => row.label === label));
  const side = (row) => {
    const described = data.styles[`${data.families[of.problem]}/${row.label}`];
    return make("div", {}, make("h3", {}, make("code", {}, row.label)), paragraphs(described?.doc ?? "Its source is not installed here."),
      described ? make("pre", { tabindex: "0", role: "region", "aria-label": `Source of ${row.label}` }, described.source) : null);
  };
  return { nodes: [make("div", { class: "options" }, ["one", "other"].map((name) => choice(name === "one" ? "style" : "and", labels.map((label) => [label, label]), state[name], (value) => { state[name] = value; }))),
      numbers([titled(of), ...pair.map((row) => row.label)], facts.map(([name, text]) => [name, ...pair.map(text)]), "two styles"),
      make("div", { class: "two" }, pair.map(side))],
    columns: [titled(of), ...pair.map((row) => row.label)], rows: facts.map(([name, text]) => [name, ...pair.map(text)]),
    command: `gradperf pair ${pair.map((row) => `${of.problem}-${row.label}-${of.device}-${of.dtype}`).join(" ")}` };
});

// ---- single cases: what they computed, as `gradperf run --json` writes it -------------------------------------------
function span(values) {
  const low = Math.min(...values), high = Math.max(...values), more = 0.04 * (high - low);
  return [low - more, high + more];
}
const summary = (curve) => [`${count(curve.steps)} step${curve.steps === 1 ? "" : "s"}`, seconds(curve.seconds) !== "–" ? `in ${duration(curve.seconds)}` : null,
  curve.version ? `by ${framework(curve.label)} ${curve.version}` : null, curve.at ? `on ${curve.at.slice(0, 16).replace("T", " ")} UTC` : null, `(${curve.file})`].filter(Boolean).join(" ");
const stops = (length, most) => new Set(Array.from({ length: Math.min(most, length) }, (_, place) => Math.round((place * (length - 1)) / Math.max(1, Math.min(most, length) - 1))));
function sample(kind) { // of a line, for a legend
  return make("svg", { width: 26, height: 12, viewBox: "0 0 26 12", "aria-hidden": "true" }, make("path", { class: `line ${kind}`, d: "M1,6L25,6" }));
}
function pathOf(points, kind) { return make("path", { class: `line ${kind}`, d: `M${points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join("L")}` }); }
function lossFigure(curve, place) {
  const id = `loss-${place}`;
  let even = false;
  figure(id, `Loss against step: ${curve.label} on ${curve.problem}`, `The loss before each step${curve.loss.length < curve.steps ? `; ${count(curve.loss.length)} of them are drawn` : ""}. ${summary(curve)}`, () => {
    const losses = curve.loss.map(([, loss]) => loss), logarithmic = Math.min(...losses) > 0;
    const [svg, w] = canvas(320, `Loss against step of ${curve.case}`), left = 74, right = w - 12;
    const x = scale(1, curve.loss.at(-1)[0], left, right, !even), y = scale(...(logarithmic ? extent(losses, 1.1) : span(losses)), 275, 22, logarithmic);
    xAxis(svg, x, 22, 275, (value) => (Number.isInteger(value) ? count(value) : ""), "step"); yAxis(svg, y, left, right, plain, "loss");
    svg.append(pathOf(curve.loss.map(([step, loss]) => [x(step), y(loss)]), framework(curve.label)));
    let before = -Infinity; // marks far enough apart to be told from each other
    curve.loss.forEach(([step, loss], index) => {
      if (x(step) - before < 34 && index < curve.loss.length - 1) return;
      before = x(step);
      svg.append(mark(curve.label, x(step), y(loss), `before step ${count(step)}: loss ${Number(loss.toPrecision(5))}`));
    });
    const buttons = make("div", { class: "options" }, make("div", { class: "group", role: "group", "aria-label": "Axis of the steps" },
      [["logarithmic steps", false], ["even steps", true]].map(([name, value]) =>
        make("button", { type: "button", "aria-pressed": String(even === value), onclick: () => { even = value; update(id); } }, name))));
    return { nodes: [buttons, svg], columns: ["step", "loss"], rows: curve.loss, command: curve.command };
  }, false);
}
function curveFigure(curve, place) {
  const kind = curve.curve.fitted ? "fitted" : "derivative", { x: xs, y: ys, [kind]: made } = curve.curve;
  const names = kind === "fitted" ? ["the data", `fitted by ${curve.label}`] : ["sin x", `its derivative, by ${curve.label}`];
  const title = kind === "fitted" ? "The fitted curve over its data" : "sin and its derivative";
  const lead = kind === "fitted" ? "What the network makes of each x with the weights after the last step." : "Of the first of the derivatives that one call computes.";
  figure(`${kind}-${place}`, `${title}: ${curve.label} on ${curve.problem}`, `${lead} ${summary(curve)}`, () => {
    const [svg, w] = canvas(340, `${title}, ${curve.case}`), left = 52, right = w - 12, own = framework(curve.label);
    const x = scale(...span(xs), left, right, false), y = scale(...span([...ys, ...made]), 295, 22, false);
    xAxis(svg, x, 22, 295, plain, "x"); yAxis(svg, y, left, right, plain, "y");
    if (kind === "derivative") svg.append(pathOf(xs.map((at, index) => [x(at), y(ys[index])]), "data dashed"));
    const reached = stops(xs.length, 16); // by the Tab key; the mouse reaches all
    xs.forEach((at, index) => {
      const text = `x = ${plain(at)}\n${names[0]}: ${plain(ys[index])}\n${names[1]}: ${plain(made[index])}`;
      const spot = make("circle", { class: `mark ${kind === "fitted" ? "data" : own}`, cx: x(at), cy: y(kind === "fitted" ? ys[index] : made[index]), r: kind === "fitted" ? 3.5 : 3,
        tabindex: reached.has(index) ? "0" : null, role: "img", "aria-label": text });
      explain(spot, text); svg.append(spot);
    });
    svg.append(pathOf(xs.map((at, index) => [x(at), y(made[index])]), `${own} above`));
    const first = kind === "fitted" ? make("svg", { width: 14, height: 12, viewBox: "0 0 14 12", "aria-hidden": "true" }, make("circle", { class: "mark data", cx: 7, cy: 6, r: 3.5 })) : sample("data dashed");
    return { nodes: [make("ul", { class: "legend" }, make("li", {}, first, names[0]), make("li", {}, sample(own), names[1])), svg],
      columns: ["x", kind === "fitted" ? "y" : "sin x", kind], rows: xs.map((at, index) => [at, ys[index], made[index]]), command: curve.command };
  }, false);
}
data.curves.forEach((curve, place) => {
  if (curve.curve.x) curveFigure(curve, place);
  if (curve.loss.length > 1) lossFigure(curve, place);
});

figure("runs", "What was run", "Where, when and on which versions, and how quiet the machine was.", () => {
  const columns = ["run", "when (UTC)", "machine", "CPU", "versions", "tier", "threads", "seed", "commit", "cases", "noisy", "slower than at its best", "stolen", "partial"];
  const rows = data.runs.slice(0, 200).map((run) => [run.file, when(run), run.machine + 1, run.cpu, Object.entries(run.versions).map((pair) => pair.join(" ")).join(", "), run.tier, run.threads, run.seed,
    run.commit, run.cases, run.noisy, share(run.unrest), share(run.steal), run.partial]);
  const newest = rows.slice(0, 12);
  return { nodes: [numbers(columns, newest, "runs"), ...(data.runs.length > 12 ? [make("p", { class: "lead" }, `The newest 12 of ${data.runs.length}; more are below.`)] : [])], columns, rows };
});

// ---- controls -------------------------------------------------------------------------------------------------
function controls() {
  const form = document.getElementById("controls");
  form.hidden = !detailed.length;
  if (form.hidden) return;
  const groups = details().groups;
  const labels = [...new Set(groups.flatMap((each) => each.rows.map((row) => row.label)))].sort();
  form.replaceChildren(
    choice("run", detailed.map((place) => [place, `${when(data.runs[place])} ${data.runs[place].partial ? "(partial) " : ""}${data.runs[place].file}`]), state.run, (value) => {
      const name = titled(group()); state.run = Number(value); state.group = Math.max(0, details().groups.findIndex((each) => titled(each) === name)); }),
    choice("problem", groups.map((each, place) => [place, titled(each)]), state.group, (value) => { state.group = Number(value); state.history = ""; }),
    choice("baseline", [["", "of the problem"], ["fastest", "the fastest"], ...labels.map((label) => [label, label])], state.baseline, (value) => { state.baseline = value; }));
}
function update(only) {
  if (!only) controls();
  tip.hidden = true;
  figures.forEach((draw, place) => { if (!only || main.children[place].id === only) draw(); });
}
document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement, dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});
if (detailed.length || data.curves.length) {
  update();
  let timer, before = innerWidth;
  addEventListener("resize", () => { clearTimeout(timer); timer = setTimeout(() => { if (innerWidth !== before) { before = innerWidth; update(); } }, 120); });
} else main.append(make("p", { class: "lead" }, "There is no run to show."));
document.getElementById("controls").addEventListener("submit", (event) => event.preventDefault());
})();
