// The inspector: which patch goes to which prompt. An ES module that computes and draws all it
// shows from the cosines in its data. With a kernel, anywidget calls `render` with a model whose
// state Python shares; a page without one calls `start`. Names are set as text, never as HTML.

const range = n => Array.from({ length: n }, (_, i) => i);
const sum = values => values.reduce((a, b) => a + b, 0);
const highest = values => values.reduce((a, b) => Math.max(a, b), -Infinity);
const clamp = (low, value, high) => Math.min(high, Math.max(low, value));

// ------------------------------------------------------------------------------ computing

function logSumExp(values) {
  const top = highest(values);
  return top + Math.log(sum(values.map(value => Math.exp(value - top))));
}

// x with A x = b for a positive definite A, by elimination.
function solve(A, b) {
  const rows = A.map((row, i) => [...row, b[i]]);
  for (const i of range(b.length)) {
    for (const j of range(b.length).filter(j => j !== i)) {
      const factor = rows[j][i] / rows[i][i];
      rows[j] = rows[j].map((value, column) => value - factor * rows[i][column]);
    }
  }
  return rows.map((row, i) => row[b.length] / row[i]);
}

// The plan that column potentials g make at temperature T, rows exact, and what each column lacks.
function planOf(g, S, T) {
  const K = S.length;
  const plan = S.map(row => {
    const exponents = row.map((s, n) => (s + g[n]) / T), f = logSumExp(exponents);
    return exponents.map(x => Math.exp(x - f) / K);
  });
  const missing = g.map((_, n) => 1 / g.length - sum(plan.map(row => row[n])));
  return { g, plan, missing, violation: sum(missing.map(Math.abs)) };
}

// Newton's step on the dual; the last potential stays, since only differences matter.
function newton({ plan, missing }, T) {
  const K = plan.length, N = missing.length, free = range(N - 1);
  const column = n => 1 / N - missing[n];
  const hessian = free.map(n => free.map(m =>
    (n === m ? column(n) : 0) - K * sum(plan.map(row => row[n] * row[m]))));
  return [...solve(hessian, missing.slice(0, -1)).map(x => T * x), 0];
}

// Balanced entropic transport between uniform marginals at cost 1 - S, for K rows of N cosines:
//   P_kn = exp((f_k + g_n + S_kn) / epsilon)
// in the log domain. The temperature T halves from 1 down to epsilon; at each, Newton's step is
// taken, or Sinkhorn's or a shorter one of Newton's where those leave less mass missing.
function transport(S, epsilon) {
  const N = S[0].length;
  let found = { g: S[0].map(() => 0) }, iterations = 0;
  for (let T = Math.max(1, epsilon); ; T = Math.max(epsilon, T / 2)) {
    found = planOf(found.g, S, T);
    const tolerance = T > epsilon ? 1e-3 : 1e-11;
    for (let step = 0; step < 200 && found.violation > tolerance; step++, iterations++) {
      const full = newton(found, T), { g, missing, violation } = found;
      const sinkhorn = missing.map(mass => -T * Math.log(1 - N * mass));
      const shorter = [0.5, 0.1, 0.02].map(part => full.map(x => part * x));
      for (const move of [full, sinkhorn, ...shorter]) {
        const next = planOf(g.map((x, n) => x + move[n]), S, T);
        if (next.violation < found.violation) found = next;
        if (found.violation < violation / 4) break;
      }
    }
    if (T === epsilon) return { plan: found.plan, violation: found.violation, iterations };
  }
}

// Every prompt's own patches of largest cosine, evenly; the counts are cycled over the prompts.
function independentTopK(S, counts) {
  const plan = S.map(row => row.map(() => 0)), N = S[0].length;
  for (const n of range(N)) {
    const count = Math.min(counts[n % counts.length], S.length);
    const order = range(S.length).sort((k, l) => S[l][n] - S[k][n]);
    for (const k of order.slice(0, count)) plan[k][n] = 1 / (count * N);
  }
  return plan;
}

// A class's support (the patches of largest mean cosine, or all), its cosines S, and the plan.
function allocate(cosines, { allocation, epsilon, support }, counts) {
  let patches = range(cosines.length);
  if (allocation === "topk") return { patches, S: cosines, plan: independentTopK(cosines, counts) };
  const mean = cosines.map(sum);
  patches = patches.sort((p, q) => mean[q] - mean[p]).slice(0, support);
  const S = patches.map(p => cosines[p]), K = S.length;
  if (allocation === "ot") return { patches, S, ...transport(S, epsilon) };
  const row = allocation === "uniform" ? row => row.map(() => 1 / (K * row.length)) :
    row => row.map((_, n) => n === leaderOf(row) ? 1 / K : 0);
  return { patches, S, plan: S.map(row) };
}

const entropy = weights => -sum(weights.map(w => w > 0 ? w * Math.log(w) : 0));
const leaderOf = row => row.indexOf(highest(row));

// Mean over pairs of prompts of sum_k min(p_k|n, p_k|m).
function overlap(plan) {
  const N = plan[0].length;
  const columns = range(N).map(n => plan.map(row => row[n]));
  const parts = columns.map(column => column.map(mass => mass / (sum(column) || 1)));
  const pairs = range(N).flatMap(n => range(n).map(m => [parts[n], parts[m]]));
  return sum(pairs.map(([a, b]) => sum(a.map((mass, k) => Math.min(mass, b[k]))))) / pairs.length;
}

// exp of the entropy of the prompts' shares of patches, each patch to its leader; ties are divided.
function effectivePrompts(plan) {
  const held = plan.filter(row => highest(row) > 0), shares = plan[0].map(() => 0);
  for (const row of held) {
    const leaders = range(row.length).filter(n => row[n] === highest(row));
    for (const n of leaders) shares[n] += 1 / (leaders.length * held.length);
  }
  return Math.exp(entropy(shares));
}

// All numbers of the state's image and class. Classes that the page does not hold enter the
// probability with the logits that they have under the model's own settings.
function measure(data, state) {
  const image = data.images[state.image];
  const { cosines, global_logits, others } = image.stages[state.stage];
  const found = cosines.map(each => allocate(each, state, data.top_k));
  const scores = found.map(({ S, plan }) => {
    const score = sum(plan.flatMap((row, k) => row.map((mass, n) => mass * S[k][n])));
    return data.divide_by_prompts ? score / data.prompts : score;
  });
  const local = scores.map(score => data.logit_scale * score);
  const logits = global_logits ? local.map((x, c) => (x + global_logits[c]) / 2) : local;
  const c = Math.min(state.class_index, found.length - 1); // until a new image's is set, too
  const { patches, plan, violation, iterations } = found[c], entries = plan.flat().length;
  const masses = cosines[c].map(row => row.map(() => 0)); // (P, N)
  patches.forEach((p, k) => { masses[p] = plan[k]; });
  return {
    image, name: image.class_names[c], masses, violation, iterations, score: scores[c],
    probability: Math.exp(logits[c] - logSumExp([...logits, others])),
    evenShare: 1 / entries, overlap: overlap(plan), effectivePrompts: effectivePrompts(plan),
    entropyRatio: entries > 1 ? entropy(plan.flat()) / Math.log(entries) : 1,
  };
}

// Cosines come as base64 of float32 (C, P, N); they go as nested arrays.
function unpack(data) {
  const [rows, columns] = data.grid, P = rows * columns, N = data.prompts;
  const channels = colour => [1, 3, 5].map(i => parseInt(colour.slice(i, i + 2), 16));
  data.palette = data.palette.map(channels);
  for (const { stages, class_names } of data.images) {
    for (const stage of Object.values(stages)) {
      const bytes = Uint8Array.from(atob(stage.cosines), c => c.charCodeAt(0));
      const floats = Array.from(new Float32Array(bytes.buffer));
      const row = i => floats.slice(i * N, (i + 1) * N);
      stage.cosines = class_names.map((_, c) => range(P).map(p => row(c * P + p)));
    }
  }
  return data;
}

// -------------------------------------------------------------------------------- drawing

const EVEN = [115, 115, 115]; // the colour of a patch that all prompts hold alike
const WHITE = [255, 255, 255];
const mix = (from, to, part) => from.map((value, i) => value + part * (to[i] - value));
const rgb = ([r, g, b]) => `rgb(${Math.round(r)} ${Math.round(g)} ${Math.round(b)})`;
const percent = (value, digits = 2) => `${(100 * value).toFixed(digits)} %`;

// The leader's colour; the more evenly a patch is held, the greyer.
function shareColour(row, palette) {
  const N = row.length, colour = palette[leaderOf(row) % palette.length];
  const saturation = N > 1 ? (N * highest(row) / sum(row) - 1) / (N - 1) : 1;
  return mix(EVEN, colour, saturation);
}

// What a prompt's heatmap shows of a mass, the ends of the scale, and the colour of a value.
function scaleOf(data, { difference }, { masses, evenShare }) {
  const value = mass => difference ? mass - evenShare : mass;
  const held = masses.filter(row => sum(row) > 0);
  const high = highest(held.flat().map(mass => Math.abs(value(mass))));
  const low = difference ? -high : 0;
  const part = x => clamp(-1, x / (high || 1), 1);
  const colour = difference ?
    x => mix(WHITE, data.palette[x < 0 ? 0 : 1], Math.abs(part(x))) :
    x => data.heatmap[Math.min(255, Math.floor(256 * part(x)))];
  return { value, low, high, colour };
}

// The edges between neighbouring patches of different parts.
function outline(parts, [rows, columns], dx, dy) {
  const path = new Path2D();
  const line = (x, y, toX, toY) => {
    path.moveTo(x * dx, y * dy);
    path.lineTo(toX * dx, toY * dy);
  };
  for (const y of range(rows)) {
    for (const x of range(columns)) {
      const part = parts[y * columns + x];
      if (x && part !== parts[y * columns + x - 1]) line(x, y, x, y + 1);
      if (y && part !== parts[(y - 1) * columns + x]) line(x, y, x + 1, y);
    }
  }
  return path;
}

function strokeTwice(pen, path, width) {
  for (const [strokeStyle, lineWidth] of [["#000", 2 * width], ["#fff", width]]) {
    Object.assign(pen, { strokeStyle, lineWidth, lineJoin: "miter", globalAlpha: 1 });
    pen.stroke(path);
  }
}

function paintPatch(pen, row, box, data, state, scale) {
  const leader = leaderOf(row), held = sum(row) > 0, partition = state.prompt === null;
  if (!held && (partition || state.difference)) return;
  pen.globalAlpha = held ? state.overlay : 0.3 * state.overlay;
  pen.fillStyle = rgb(partition ? shareColour(row, data.palette) :
    scale.colour(scale.value(row[state.prompt])));
  pen.fillRect(...box);
  if (!partition || !state.overlay) return;
  const [left, top, width, height] = box, middle = [left + width / 2, top + height / 2];
  Object.assign(pen, { globalAlpha: 1, fillStyle: "#fff", strokeStyle: "#222", lineWidth: 4,
    lineJoin: "round", textAlign: "center", textBaseline: "middle",
    font: `${Math.max(16, 0.6 * Math.min(width, height))}px system-ui, sans-serif` });
  pen.strokeText(leader + 1, ...middle);
  pen.fillText(leader + 1, ...middle);
}

function paint(canvas, photo, data, state, found, patch) {
  const pen = canvas.getContext("2d"), [rows, columns] = data.grid, { parts } = found.image;
  const dx = canvas.width / columns, dy = canvas.height / rows;
  const scale = scaleOf(data, state, found);
  pen.globalAlpha = 1;
  pen.clearRect(0, 0, canvas.width, canvas.height);
  if (photo.naturalWidth) pen.drawImage(photo, 0, 0, canvas.width, canvas.height);
  found.masses.forEach((row, p) => {
    const x = p % columns, y = Math.floor(p / columns);
    const left = Math.round(x * dx), top = Math.round(y * dy);
    const box = [left, top, Math.round((x + 1) * dx) - left, Math.round((y + 1) * dy) - top];
    paintPatch(pen, row, box, data, state, scale);
  });
  if (state.outline && parts) strokeTwice(pen, outline(parts, data.grid, dx, dy), 3);
  if (patch === null) return;
  const frame = new Path2D();
  frame.rect(patch % columns * dx, Math.floor(patch / columns) * dy, dx, dy);
  strokeTwice(pen, frame, 4);
}

// ------------------------------------------------------------------------------ the panel

const NUMBERS = ["image", "class_index", "stage", "allocation", "epsilon", "support"];
const LOOKS = ["prompt", "difference", "outline", "overlay", "patch"];
const PANEL = `
  <form data-lm-suppress-shortcuts="true">
    <div class="view">
      <canvas width="672" height="672" tabindex="0" role="application"
        aria-roledescription="image of patches"></canvas>
      <p class="scale"></p>
      <p class="note"></p>
      <table class="prompts"><thead><tr><th scope="col">prompt</th><th scope="col">mass</th>
        <th scope="col">patches led</th><th scope="col"></th></tr></thead><tbody></tbody></table>
      <p class="spoken" role="status"></p>
    </div>
    <div class="side">
      <label>Image <select name="image"></select></label>
      <label>Class <select name="class_index"></select></label>
      <label>Prompts <select name="stage"><option value="learned">as learned</option>
        <option value="initial">as they started</option></select></label>
      <label>Allocation <select name="allocation"><option value="ot">transport</option>
        <option value="uniform">uniform</option><option value="max">max</option>
        <option value="topk">independent top-k</option></select></label>
      <label>Regularisation ε: <span class="epsilon"></span>
        <input type="range" name="epsilon" min="-3" max="1" step="0.01"></label>
      <label>Patches K: <span class="support"></span>
        <input type="range" name="support" min="1"></label>
      <fieldset><legend>Show</legend></fieldset>
      <label><input type="checkbox" name="difference"> difference from the even share</label>
      <label><input type="checkbox" name="outline"> outlines of the true parts</label>
      <label>Overlay <input type="range" name="overlay" min="0" max="1" step="0.01"></label>
      <table class="plan"><tbody></tbody></table>
      <p class="keys">Point at a patch; click or tap to hold it. Keys on the image: arrows, Home
        and End move; Page Down and Page Up go to the patch of next smaller or larger mass; Escape
        lets go.</p>
    </div>
  </form>`;

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function fill(select, options) {
  select.replaceChildren(...options.map(([value, text]) => make("option", { value }, text)));
}

function swatch(data, n) {
  const box = make("span", { class: "swatch", "aria-hidden": "true" }, String(n + 1));
  box.style.background = rgb(data.palette[n % data.palette.length]);
  return box;
}

// What never changes: one option for each image, one radio button for each prompt.
function furnish(el, data) {
  const { image, stage, support } = el.querySelector("form").elements;
  fill(image, data.images.map(({ alt, truth, class_names: [answer] }, i) =>
    [i, `${i + 1}: ${alt}${truth && truth !== answer ? `, taken for ${answer}` : ""}`]));
  image.parentElement.hidden = data.images.length < 2;
  stage.parentElement.hidden = !data.images[0].stages.initial;
  support.max = data.grid[0] * data.grid[1];
  for (const value of ["partition", ...range(data.prompts)]) {
    const radio = make("input", { type: "radio", name: "prompt", value });
    const text = value === "partition" ? ["partition: who leads"] :
      [swatch(data, value), `prompt ${value + 1}`];
    el.querySelector("fieldset").append(make("label", {}, radio, ...text));
  }
  const id = `inspector-${Math.random().toString(36).slice(2)}`;
  el.querySelector(".keys").id = id;
  el.querySelector("canvas").setAttribute("aria-describedby", id);
}

// The state that a control stands for.
function read({ name, type, value, checked }) {
  if (type === "checkbox") return checked;
  if (name === "epsilon") return Number((10 ** value).toPrecision(3));
  if (value === "partition") return null;
  return ["stage", "allocation"].includes(name) ? value : Number(value);
}

// Set the controls to the state.
function write(form, data, state) {
  const controls = form.elements;
  const image = data.images[state.image], { class_index, epsilon, support } = controls;
  if (class_index.dataset.image !== String(state.image)) {
    fill(class_index, image.class_names.map((name, c) =>
      [c, name === image.truth ? `${name} (true class)` : name]));
    class_index.dataset.image = state.image;
  }
  for (const name of ["image", "class_index", "stage", "allocation", "support", "overlay"]) {
    controls[name].value = state[name];
  }
  for (const name of ["difference", "outline"]) controls[name].checked = state[name];
  controls.prompt.value = state.prompt ?? "partition";
  epsilon.value = Math.log10(state.epsilon);
  epsilon.setAttribute("aria-valuetext", state.epsilon);
  form.querySelector(".epsilon").textContent = state.epsilon;
  form.querySelector(".support").textContent = `${state.support} of ${support.max}`;
  epsilon.disabled = state.allocation !== "ot";
  support.disabled = state.allocation === "topk";
  controls.difference.disabled = state.prompt === null;
  controls.outline.parentElement.hidden = !image.parts;
}

function legend(el, data, state, found) {
  const { image, name, masses } = found, partition = state.prompt === null;
  const what = partition ? "the prompt that leads each patch" :
    `${state.difference ? "difference from the even share" : "mass"} of prompt ${state.prompt + 1}`;
  el.querySelector("canvas").setAttribute("aria-label", `${image.alt}: ${what}, class ${name}`);
  const { low, high, colour } = scaleOf(data, state, found);
  const bar = make("span", { class: "bar", "aria-hidden": "true" });
  const stops = range(9).map(i => rgb(colour(low + i / 8 * (high - low))));
  bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  el.querySelector(".scale").replaceChildren(...(partition ?
    ["Number and colour: the prompt of largest mass; greyer: more evenly shared."] :
    [`Prompt ${state.prompt + 1}: ${percent(low)} `, bar, ` ${percent(high)}`]));
  const held = `mass on ${masses.filter(row => sum(row) > 0).length} of ${masses.length} patches`;
  el.querySelector(".note").textContent =
    `${name}, probability ${percent(found.probability)}; ${held}`;
}

function tabulate(el, data, found, patch) {
  const { masses } = found, [rows, columns] = data.grid, prompts = range(data.prompts);
  const place = patch === null ? "patch" :
    `row ${Math.floor(patch / columns) + 1}, column ${patch % columns + 1}`;
  const here = n => patch === null ? "–" : percent(masses[patch][n], 4);
  const led = masses.filter(row => sum(row) > 0).map(leaderOf);
  const row = (heading, ...cells) => make("tr", {}, make("th", { scope: "row" }, ...heading),
    ...cells.map(cell => make("td", {}, String(cell))));
  const name = n => [swatch(data, n), make("span", { class: "spoken" }, `prompt ${n + 1}`)];
  const total = n => percent(sum(masses.map(row => row[n])));
  el.querySelector(".prompts th:last-child").textContent = place;
  el.querySelector(".prompts tbody").replaceChildren(...prompts.map(n =>
    row(name(n), total(n), led.filter(leader => leader === n).length, here(n))));
  el.querySelector(".plan tbody").replaceChildren(
    row(["class probability"], percent(found.probability, 4)),
    row(["local score u"], found.score.toFixed(6)),
    row(["entropy ratio"], found.entropyRatio.toFixed(4)),
    row(["overlap of the prompts"], prompts.length > 1 ? found.overlap.toFixed(4) : "–"),
    row(["effective prompts"], found.effectivePrompts.toFixed(2)),
    row(["even share 1/KN"], percent(found.evenShare, 4)),
    row(["iterations"], found.iterations ?? "–"),
    row(["violation of the marginals"], found.violation?.toExponential(1) ?? "–"));
  const status = el.querySelector("[role=status]");
  const sentence = patch === null ? el.querySelector(".note").textContent :
    `${place}: ${prompts.map(n => `prompt ${n + 1} ${here(n)}`).join(", ")}`;
  if (status.textContent !== sentence) status.textContent = sentence;
}

// The patch that a key goes to, null for none. Ranked are the patches with mass, heaviest first.
function destination({ key, ctrlKey }, from, ranked, [rows, columns]) {
  const column = from % columns, rank = ranked.indexOf(from), last = rows * columns - 1;
  switch (key) {
    case "ArrowLeft": return column ? from - 1 : from;
    case "ArrowRight": return column < columns - 1 ? from + 1 : from;
    case "ArrowUp": return from < columns ? from : from - columns;
    case "ArrowDown": return from + columns > last ? from : from + columns;
    case "Home": return ctrlKey ? 0 : from - column;
    case "End": return ctrlKey ? last : from - column + columns - 1;
    case "PageDown": return ranked[Math.min(rank + 1, ranked.length - 1)] ?? from;
    case "PageUp": return ranked[Math.max(rank - 1, 0)] ?? from;
    case "Escape": return null;
  }
}

// Fill `el` with a panel for the model: get, set, save_changes and on, as anywidget's.
export function render({ model, el }) {
  const data = unpack(structuredClone(model.get("data")));
  el.classList.add("sotglp-inspector");
  el.innerHTML = PANEL;
  furnish(el, data);
  const form = el.querySelector("form"), canvas = el.querySelector("canvas"), photo = new Image();
  let state, found, hovered = null;

  function change(values) {
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    model.save_changes();
  }
  function draw() {
    const patch = hovered ?? state.patch;
    paint(canvas, photo, data, state, found, patch);
    legend(el, data, state, found);
    tabulate(el, data, found, patch);
  }
  function show() {
    state = Object.fromEntries([...NUMBERS, ...LOOKS].map(name => [name, model.get(name)]));
    write(form, data, state);
    if (photo.src !== found.image.source) photo.src = found.image.source;
    draw();
  }
  function compute() {
    found = measure(data, Object.fromEntries(NUMBERS.map(name => [name, model.get(name)])));
    show();
    el.dispatchEvent(new CustomEvent("measure", { detail: { state, ...found } }));
  }

  // A pointer hovers, a click or a tap picks, keys move what is picked.
  function under({ clientX, clientY }) {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    const [rows, columns] = data.grid;
    const row = clamp(0, Math.floor((clientY - top) / height * rows), rows - 1);
    return row * columns + clamp(0, Math.floor((clientX - left) / width * columns), columns - 1);
  }
  function ranked() {
    const weight = row => state.prompt === null ? sum(row) : row[state.prompt];
    const weights = found.masses.map(row => Number(weight(row).toFixed(12)));
    const held = range(weights.length).filter(p => weights[p] > 0);
    return held.sort((p, q) => weights[q] - weights[p] || p - q);
  }
  canvas.onpointermove = event => { hovered = under(event); draw(); };
  canvas.onpointerleave = () => { hovered = null; draw(); };
  canvas.onpointerdown = event => change({ patch: under(event) });
  canvas.onfocus = () => { if (state.patch === null) change({ patch: ranked()[0] ?? 0 }); };
  canvas.onkeydown = event => {
    const to = destination(event, state.patch ?? 0, ranked(), data.grid);
    if (to === undefined || event.altKey || event.metaKey) return;
    event.preventDefault();
    hovered = null;
    change({ patch: to });
  };
  el.onkeydown = event => event.stopPropagation(); // a notebook has keys of its own

  form.oninput = ({ target }) => {
    change({ [target.name]: read(target) });
    if (target.name === "image") change({ class_index: 0, patch: null });
  };
  form.onsubmit = event => event.preventDefault();
  photo.onload = draw;
  for (const name of NUMBERS) model.on(`change:${name}`, compute);
  for (const name of LOOKS) model.on(`change:${name}`, show);
  compute();
}

// Without a kernel, the state lives in the page.
export function start(root) {
  const state = JSON.parse(root.querySelector("script.data").textContent), listeners = {};
  const model = {
    get: name => state[name],
    set: (name, value) => { state[name] = value; listeners[`change:${name}`](); },
    on: (event, listener) => { listeners[event] = listener; },
    save_changes: () => {},
  };
  render({ model, el: root });
}

export default { render };
