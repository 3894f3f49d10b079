"use strict";
// Without this script the pages say the same, in the order they were written in.

// ---- sorting: ascending, descending, and back to sections; rows that rank with nothing stay last ----------------

const collator = new Intl.Collator("en", { numeric: true });
const next = { none: "ascending", ascending: "descending", descending: "none" };

function sortable(table) {
  const bodies = [...table.tBodies].map((body) => [body, [...body.rows]]);
  const sorted = document.createElement("tbody");
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, place) => {
    if (!heading.textContent.trim() || heading.classList.contains("picture")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    heading.ariaSort = "none";
    button.addEventListener("click", () => {
      const order = next[heading.ariaSort];
      for (const other of headings) if (other.ariaSort) other.ariaSort = "none";
      heading.ariaSort = order;
      if (order === "none") {
        sorted.remove();
        for (const [body, rows] of bodies) body.append(...rows);
      } else {
        const rows = bodies.flatMap(([, own]) => own);
        rows.sort((a, b) => compare(a, b, place, order === "ascending" ? 1 : -1));
        sorted.append(...rows);
        table.append(sorted);
      }
    });
  });
}

function compare(a, b, place, way) {
  const dim = a.classList.contains("dim") - b.classList.contains("dim");
  const [first, second] = [a, b].map((row) => row.cells[place]);
  const [x, y] = [first, second].map((cell) => cell.dataset.key ?? cell.textContent.trim());
  return dim || (x === "") - (y === "") || way * ("key" in first.dataset ? x - y : collator.compare(x, y));
}

// ---- filters: by the text of a row, and by its text in a column; the address says which -------------------------

function filtered(form) {
  const tables = [...document.querySelectorAll("table[data-filtered]")];
  const count = form.querySelector("[data-count]");
  const fields = () => [...new FormData(form)].filter(([, value]) => value !== "");

  const apply = () => {
    const wanted = fields();
    let all = 0;
    let shown = 0;
    for (const table of tables) {
      const places = Object.fromEntries([...table.tHead.rows[0].cells].map((cell, place) => [cell.dataset.column, place]));
      for (const row of table.querySelectorAll("tbody tr")) {
        row.hidden = !wanted.every(([name, value]) => fits(row, places[name], name, value));
        if (table.dataset.filtered === "counted") {
          all += 1;
          shown += !row.hidden;
        }
      }
      table.closest("section").classList.toggle("empty", !table.querySelector("tbody tr:not([hidden])"));
    }
    count.textContent = wanted.length ? `${shown} of ${all} rows` : "";
  };
  const remember = () => {
    const found = new URLSearchParams(fields()).toString();
    history.replaceState(null, "", found ? `#${found}` : location.pathname + location.search);
    apply();
  };
  const recall = () => {
    if (!location.hash.includes("=")) return;
    form.reset();
    for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
      if (form.elements[name]) form.elements[name].value = value;
    }
    apply();
  };

  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", remember);
  form.addEventListener("reset", () => setTimeout(remember));
  addEventListener("hashchange", recall);
  recall();
}

function fits(row, place, name, value) {
  if (name === "q") return row.textContent.toLowerCase().includes(value.toLowerCase());
  return place === undefined || row.cells[place].textContent.trim() === value;
}

// ---- commands to copy -------------------------------------------------------------------------------------------

function copied(block) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    const code = block.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 2000);
    } catch {
      getSelection().selectAllChildren(code);
    }
  });
  block.append(button);
}

// ---- headings that stay in sight, where a table need not be moved sideways ----------------------------------------

const watch = new ResizeObserver((changed) => {
  for (const { target } of changed) {
    target.classList.remove("fits");
    target.classList.toggle("fits", target.scrollWidth <= target.clientWidth);
  }
});

document.querySelectorAll(".scroll").forEach((region) => watch.observe(region));
document.querySelectorAll("table[data-sortable]").forEach(sortable);
document.querySelectorAll("form[data-filters]").forEach(filtered);
document.querySelectorAll(".command").forEach(copied);
