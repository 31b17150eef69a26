"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  const number = cell => cell.textContent === "–" ? Infinity : parseFloat(cell.textContent);
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const compare = (a, b) => {
        const [x, y] = [a.cells[column], b.cells[column]];
        if (!x.classList.contains("n")) return sign * x.textContent.localeCompare(y.textContent, undefined, {numeric: true});
        const [p, q] = [number(x), number(y)];
        return p === q ? 0 : p === Infinity ? 1 : q === Infinity ? -1 : sign * (p - q);
      };
      body.append(...[...body.rows].sort(compare));
    });
  });
}
document.documentElement.classList.add("js");
