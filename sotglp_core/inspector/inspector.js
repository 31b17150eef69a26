// The panel of PatchInspector. All that it shows comes from the JSON beside it; names are set as text, never as HTML.
(() => {
  const range = n => [...Array(n).keys()];
  const sum = numbers => numbers.reduce((a, b) => a + b, 0);
  const between = (low, value, high) => Math.min(high, Math.max(low, value));
  const floats = base64 => new Float32Array(Uint8Array.from(atob(base64), c => c.charCodeAt(0)).buffer);

  // The shortest decimal that reads back as the same 32-bit number.
  function exact(value) {
    let digits = 1;
    while (digits < 9 && Math.fround(+value.toPrecision(digits)) !== value) digits++;
    return String(+value.toPrecision(digits));
  }

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  function fill(select, names) {
    select.replaceChildren(...names.map((name, i) => make("option", { value: i }, name)));
  }

  function start(root) {
    root.dataset.ready = "";
    const data = JSON.parse(root.querySelector("script.data").textContent);
    const prompts = range(data.pictures[0].shape[1]);
    const pictures = data.pictures.map(({ shape: [, , rows, columns], ...picture }) => {
      const image = Object.assign(new Image(), { src: picture.image, onload: () => draw() });
      return { ...picture, plan: floats(picture.plan), image, rows, columns, patches: range(rows * columns) };
    });
    const state = { picture: pictures[0], class: 0, prompt: -1, picked: -1, hovered: -1 }; // prompt -1: the partition

    // What the plan says of a patch, for the class chosen.
    const mass = (n, p) => state.picture.plan[(state.class * prompts.length + n) * state.picture.patches.length + p];
    const total = p => sum(prompts.map(n => mass(n, p)));
    const leader = p => total(p) > 0 ? prompts.reduce((best, n) => mass(n, p) > mass(best, p) ? n : best) : -1;
    const place = p => `row ${Math.floor(p / state.picture.columns) + 1}, column ${p % state.picture.columns + 1}`;
    const colour = n => data.colours[n % data.colours.length];
    const heat = part => `rgb(${data.heatmap[Math.min(255, Math.floor(256 * part))].join(" ")})`;

    // Patches with mass in what is shown, heaviest first.
    function ranked() {
      const weight = p => state.prompt < 0 ? total(p) : mass(state.prompt, p);
      return state.picture.patches.filter(p => weight(p) > 0).sort((p, q) => weight(q) - weight(p) || p - q);
    }

    // The panel.
    const id = "inspector-" + Math.random().toString(36).slice(2);
    const canvas = make("canvas", { width: 2 * data.side, height: 2 * data.side, tabindex: 0, role: "application",
      "aria-roledescription": "picture of patches", "aria-describedby": id });
    const keys = make("p", { class: "keys", id }, "Point at a patch; click or tap to hold it. Keys on the picture: arrows, " +
      "Home and End move; Page Down and Page Up go to the patch of next smaller or larger mass; Escape lets go.");
    const imageChoice = make("select"), classChoice = make("select");
    const strength = make("input", { type: "range", min: 0, max: 100, value: 70 });
    const views = make("fieldset", {}, make("legend", {}, "Show"));
    const scale = make("p", { class: "scale" }), note = make("p", { class: "note" });
    const table = make("table"), spoken = make("output", { class: "spoken", "aria-live": "polite" });

    function swatch(n) {
      const box = make("span", { class: "swatch", "aria-hidden": "true" }, String(n + 1));
      box.style.background = colour(n);
      return box;
    }
    for (const n of [-1, ...prompts]) {
      const radio = make("input", { type: "radio", name: id });
      radio.checked = n < 0;
      radio.onchange = () => { state.prompt = n; draw(); };
      views.append(make("label", {}, radio, ...(n < 0 ? ["partition: who leads"] : [swatch(n), `prompt ${n + 1}`])));
    }
    const imageLabel = make("label", {}, "Image", imageChoice);
    imageLabel.hidden = pictures.length < 2;
    root.querySelector(".panel").replaceChildren(
      make("div", { class: "view" }, canvas, scale, note, table, spoken),
      make("div", { class: "side" }, imageLabel, make("label", {}, "Class", classChoice), views,
        make("label", {}, "Overlay", strength), keys));

    fill(imageChoice, pictures.map((picture, i) => `${i + 1}: ${picture.alt}`));
    fill(classChoice, state.picture.classes);
    imageChoice.onchange = () => {
      Object.assign(state, { picture: pictures[imageChoice.value], class: 0, picked: -1, hovered: -1 });
      fill(classChoice, state.picture.classes);
      draw();
    };
    classChoice.onchange = () => { state.class = +classChoice.value; draw(); };
    strength.oninput = () => draw();

    // Choosing a patch: a pointer hovers, a click or a tap holds, keys move what is held.
    function under(event) {
      const box = canvas.getBoundingClientRect(), { rows, columns } = state.picture;
      const row = between(0, Math.floor((event.clientY - box.top) / box.height * rows), rows - 1);
      return row * columns + between(0, Math.floor((event.clientX - box.left) / box.width * columns), columns - 1);
    }
    canvas.onpointermove = event => { state.hovered = under(event); draw(); };
    canvas.onpointerleave = () => { state.hovered = -1; draw(); };
    canvas.onpointerdown = event => { state.picked = under(event); draw(); };
    canvas.onfocus = () => {
      if (state.picked < 0) state.picked = ranked()[0] ?? 0;
      draw();
    };
    canvas.onkeydown = event => {
      const { rows, columns, patches } = state.picture, from = Math.max(0, state.picked), order = ranked(), rank = order.indexOf(from);
      const row = Math.floor(from / columns), column = from % columns;
      const moves = {
        ArrowLeft: () => from - (column > 0),
        ArrowRight: () => from + (column < columns - 1),
        ArrowUp: () => from - columns * (row > 0),
        ArrowDown: () => from + columns * (row < rows - 1),
        Home: () => event.ctrlKey ? 0 : from - column,
        End: () => event.ctrlKey ? patches.length - 1 : from - column + columns - 1,
        PageDown: () => order[Math.min(rank + 1, order.length - 1)] ?? from,
        PageUp: () => order[Math.max(rank - 1, 0)] ?? from,
        Escape: () => -1,
      };
      if (!Object.hasOwn(moves, event.key) || event.altKey || event.metaKey) return;
      event.preventDefault();
      Object.assign(state, { picked: moves[event.key](), hovered: -1 });
      draw();
    };

    function draw() {
      const totals = state.picture.patches.map(total), leaders = state.picture.patches.map(leader);
      const top = state.picture.patches.reduce((most, p) => Math.max(most, ...prompts.map(n => mass(n, p))), 0);
      const patch = state.hovered >= 0 ? state.hovered : state.picked;
      paint(patch, totals, leaders, top);
      legend(totals, top);
      tabulate(patch, totals, leaders);
    }

    function paint(patch, totals, leaders, top) {
      const { columns, rows, image, patches } = state.picture, pen = canvas.getContext("2d"), opacity = strength.value / 100;
      const dx = canvas.width / columns, dy = canvas.height / rows, partition = state.prompt < 0;
      pen.globalAlpha = 1;
      if (image.complete) pen.drawImage(image, 0, 0, canvas.width, canvas.height);
      Object.assign(pen, { textAlign: "center", textBaseline: "middle", lineJoin: "round", lineWidth: 4, strokeStyle: "#222",
        font: `${Math.max(16, 0.6 * Math.min(dx, dy))}px system-ui, sans-serif` });
      for (const p of patches) {
        const n = leaders[p], x = p % columns * dx, y = Math.floor(p / columns) * dy;
        if (partition && n < 0) continue;
        pen.globalAlpha = opacity * (partition ? 0.25 + 0.75 * mass(n, p) / totals[p] : totals[p] > 0 ? 1 : 0.3);
        pen.fillStyle = partition ? colour(n) : heat(mass(state.prompt, p) / (top || 1));
        const left = Math.round(x), above = Math.round(y);
        pen.fillRect(left, above, Math.round(x + dx) - left, Math.round(y + dy) - above);
        if (!partition || !opacity) continue;
        Object.assign(pen, { globalAlpha: 1, fillStyle: "#fff" });
        pen.strokeText(n + 1, x + dx / 2, y + dy / 2);
        pen.fillText(n + 1, x + dx / 2, y + dy / 2);
      }
      if (patch < 0) return;
      for (const [strokeStyle, lineWidth] of [["#000", 8], ["#fff", 4]]) {
        Object.assign(pen, { globalAlpha: 1, lineJoin: "miter", strokeStyle, lineWidth });
        pen.strokeRect(patch % columns * dx, Math.floor(patch / columns) * dy, dx, dy);
      }
    }

    function legend(totals, top) {
      const { alt, classes, note: notes } = state.picture, name = classes[state.class], partition = state.prompt < 0;
      canvas.setAttribute("aria-label",
        `${alt}: ${partition ? "the prompt that leads each patch" : `mass of prompt ${state.prompt + 1}`}, class ${name}`);
      const bar = make("span", { class: "bar", "aria-hidden": "true" });
      bar.style.background = `linear-gradient(to right, ${[0, 0.25, 0.5, 0.75, 1].map(heat).join(", ")})`;
      scale.replaceChildren(...(partition
        ? ["Number and colour: the prompt of largest mass; paler: a smaller share."]
        : [`Prompt ${state.prompt + 1}: 0 `, bar, ` ${+top.toPrecision(4)}`]));
      const held = `mass on ${totals.filter(t => t > 0).length} of ${totals.length} patches`;
      note.textContent = [name, notes[state.class], held].filter(Boolean).join("; ");
    }

    function tabulate(patch, totals, leaders) {
      const cells = (...texts) => texts.map(text => make("td", {}, String(text)));
      const rows = prompts.map(n => make("tr", {},
        make("th", { scope: "row" }, swatch(n), make("span", { class: "spoken" }, `prompt ${n + 1}`)),
        ...cells(sum(state.picture.patches.map(p => mass(n, p))).toFixed(4), leaders.filter(l => l === n).length,
          patch < 0 ? "–" : exact(mass(n, patch)))));
      const all = make("tr", {}, make("th", { scope: "row" }, "all"),
        ...cells(sum(totals).toFixed(4), leaders.filter(l => l >= 0).length, patch < 0 ? "–" : +totals[patch].toPrecision(6)));
      const header = ["prompt", "mass", "patches led", patch < 0 ? "patch" : place(patch)];
      table.replaceChildren(make("thead", {}, make("tr", {}, ...header.map(text => make("th", { scope: "col" }, text)))),
        make("tbody", {}, ...rows, all));
      const masses = prompts.map(n => `prompt ${n + 1} ${exact(mass(n, patch < 0 ? 0 : patch))}`).join(", ");
      const sentence = patch < 0 ? note.textContent : `${place(patch)}: ${masses}`;
      if (spoken.textContent !== sentence) spoken.textContent = sentence;
    }

    draw();
  }

  document.querySelectorAll(".sotglp-inspector:not([data-ready])").forEach(start);
})();
