(function () {
  document.querySelectorAll(".sotglp-inspector:not([data-ready])").forEach(function (root) {
    root.dataset.ready = "1";
    var D = JSON.parse(root.querySelector(".data").textContent);
    var bytes = Uint8Array.from(atob(D.plan), function (c) { return c.charCodeAt(0); });
    var plan = new Float32Array(bytes.buffer), N = D.shape[1], H = D.shape[2], W = D.shape[3], S = D.side;
    var state = { c: 0, n: -1, alpha: 0.7, patch: -1 };
    var at = function (n, p) { return plan[((state.c * N) + n) * H * W + p]; };

    function make(tag, props, children) {
      var e = document.createElement(tag);
      Object.assign(e, props || {});
      (children || []).forEach(function (k) { e.append(k); });
      return e;
    }
    function swatch(n) {
      var s = make("span", { className: "swatch" });
      s.style.background = D.colours[n % D.colours.length];
      return s;
    }

    var canvas = make("canvas", { width: S, height: S, tabIndex: 0 });
    canvas.setAttribute("role", "img");
    var select = make("select");
    D.classes.forEach(function (name, i) { select.append(make("option", { value: i, textContent: name })); });
    var group = "prompt" + Math.random().toString(36).slice(2);
    var views = make("fieldset", {}, [make("legend", { textContent: "Show" })]);
    for (var n = -1; n < N; n++) (function (n) {
      var radio = make("input", { type: "radio", name: group, value: n, checked: n < 0 });
      radio.onchange = function () { state.n = n; draw(); };
      views.append(make("label", {}, n < 0 ? [radio, " largest share"] : [radio, " ", swatch(n), "prompt " + (n + 1)]));
    })(n);
    var strength = make("input", { type: "range", min: 0, max: 100, value: 70 });
    var table = make("table"), out = make("output");
    out.setAttribute("aria-live", "polite");
    root.querySelector(".panel").append(canvas, make("div", { className: "side" }, [
      make("label", {}, ["Class", select]), views, make("label", {}, ["Overlay", strength]), table, out]));

    select.onchange = function () { state.c = +select.value; draw(); };
    strength.oninput = function () { state.alpha = strength.value / 100; draw(); };
    canvas.onpointermove = function (e) {
      var box = canvas.getBoundingClientRect();
      var x = Math.floor((e.clientX - box.left) / box.width * W), y = Math.floor((e.clientY - box.top) / box.height * H);
      state.patch = x >= 0 && y >= 0 && x < W && y < H ? y * W + x : -1;
      draw();
    };
    canvas.onpointerleave = canvas.onblur = function () { state.patch = -1; draw(); };
    canvas.onkeydown = function (e) {
      var step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key];
      if (!step) return;
      e.preventDefault();
      var p = state.patch < 0 ? Math.floor(H / 2) * W + Math.floor(W / 2) : state.patch;
      var x = Math.min(W - 1, Math.max(0, p % W + step[0])), y = Math.min(H - 1, Math.max(0, Math.floor(p / W) + step[1]));
      state.patch = y * W + x;
      draw();
    };

    function draw() {
      var g = canvas.getContext("2d"), dx = S / W, dy = S / H, top = 0, held = new Array(N).fill(0), mass = new Array(N).fill(0);
      g.globalAlpha = 1;
      g.drawImage(picture, 0, 0, S, S);
      for (var p = 0; p < H * W; p++) for (var n = 0; n < N; n++) top = Math.max(top, at(n, p));
      for (p = 0; p < H * W; p++) {
        var best = -1, most = 0, sum = 0;
        for (n = 0; n < N; n++) {
          var v = at(n, p);
          mass[n] += v; sum += v;
          if (v > most) { most = v; best = n; }
        }
        if (best >= 0) held[best]++;
        if (state.n < 0) {
          if (best < 0) continue;
          g.globalAlpha = state.alpha * (0.25 + 0.75 * most / sum);
          g.fillStyle = D.colours[best % D.colours.length];
        } else {
          g.globalAlpha = sum > 0 ? state.alpha : state.alpha * 0.3;
          g.fillStyle = "rgb(" + D.lut[Math.round(255 * at(state.n, p) / (top || 1))].join(",") + ")";
        }
        g.fillRect(Math.round(p % W * dx), Math.round(Math.floor(p / W) * dy), Math.ceil(dx), Math.ceil(dy));
      }
      g.globalAlpha = 1;
      if (state.patch >= 0) {
        g.strokeStyle = "#fff"; g.lineWidth = 2;
        g.strokeRect(state.patch % W * dx, Math.floor(state.patch / W) * dy, dx, dy);
      }
      table.replaceChildren(make("tr", {}, ["prompt", "mass", "patches led"].map(function (t) { return make("th", { textContent: t }); })));
      for (n = 0; n < N; n++) table.append(make("tr", {}, [make("td", {}, [swatch(n), "" + (n + 1)]),
        make("td", { textContent: mass[n].toFixed(4) }), make("td", { textContent: held[n] })]));
      out.textContent = state.patch < 0 ? D.classes[state.c] + (D.note[state.c] ? ", " + D.note[state.c] : "") :
        "row " + (Math.floor(state.patch / W) + 1) + ", column " + (state.patch % W + 1) + ": " +
        Array.from({ length: N }, function (_, n) { return "prompt " + (n + 1) + " " + at(n, state.patch).toPrecision(4); }).join(", ");
      canvas.setAttribute("aria-label", D.alt + ", " + (state.n < 0 ? "largest share" : "mass of prompt " + (state.n + 1)) +
        " for class " + D.classes[state.c] + "; arrow keys move between patches");
    }
    var picture = new Image();
    picture.onload = draw;
    picture.src = D.image;
  });
})();
