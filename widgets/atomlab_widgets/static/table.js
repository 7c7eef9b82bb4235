// A table of which only the rows in sight exist: 100,000 rows scroll. Python answers `wanted` with `window`.
const ROW = 24, SPARE = 20;
function render({ model, el }) {
  const box = document.createElement("div");
  box.className = "al-table";
  box.tabIndex = 0;
  box.setAttribute("role", "grid");
  el.append(box);
  const head = document.createElement("div"), body = document.createElement("div");
  head.className = "al-head";
  body.className = "al-body";
  box.append(head, body);
  const set = (name, value) => { model.set(name, value); model.save_changes(); };
  const template = () => model.get("columns").map((c) => (c.grow === 0 ? `${c.width}px` : `minmax(${c.width || 60}px, ${c.grow || 1}fr)`)).join(" ");

  function heading() {
    const sort = model.get("sort");
    head.style.gridTemplateColumns = template();
    head.replaceChildren(...model.get("columns").map((c) => {
      const cell = document.createElement("button");
      cell.type = "button";
      cell.textContent = c.label + (sort.column === c.name ? (sort.down ? " \u25be" : " \u25b4") : "");
      cell.title = c.title || `sort by ${c.label}`;
      cell.dataset.id = c.name;
      if (c.right) cell.className = "al-right";
      cell.onclick = () => set("sort", { column: c.name, down: sort.column === c.name ? !sort.down : false });
      return cell;
    }));
  }
  function visible() {
    const first = Math.max(0, Math.floor(box.scrollTop / ROW) - SPARE);
    return [first, Math.min(model.get("count"), first + Math.ceil(box.clientHeight / ROW) + 2 * SPARE)];
  }
  function ask() {
    const [start, stop] = visible(), { start: a, rows } = model.get("window");
    const first = Math.floor(box.scrollTop / ROW), last = Math.min(model.get("count"), first + Math.ceil(box.clientHeight / ROW));
    if (rows.length && first >= a && last <= a + rows.length) return;
    set("wanted", { start, stop, n: Math.random() });
  }
  function draw() {
    const { start, rows } = model.get("window"), chosen = model.get("chosen"), marked = new Set(model.get("marked"));
    box.style.height = `${model.get("height")}px`;
    body.style.height = `${model.get("count") * ROW}px`;
    const columns = model.get("columns"), grid = template();
    body.replaceChildren(...rows.map((row, i) => {
      const line = document.createElement("div");
      line.className = "al-line" + (marked.has(row.id) ? " al-marked" : "") + (row.id === chosen ? " al-chosen" : "");
      line.style.top = `${(start + i) * ROW}px`;
      line.style.gridTemplateColumns = grid;
      line.dataset.id = row.id;
      line.setAttribute("role", "row");
      line.append(...columns.map((c, k) => {
        const cell = document.createElement("span");
        const value = row.cells[k];
        if (c.svg) cell.innerHTML = value; else cell.textContent = value;
        cell.title = c.svg ? "" : value;
        if (c.right) cell.className = "al-right";
        return cell;
      }));
      line.onclick = () => pick(row.id);
      return line;
    }));
    if (!model.get("count")) { body.innerHTML = ""; const none = document.createElement("div"); none.className = "al-none"; none.textContent = model.get("empty"); body.append(none); body.style.height = "auto"; }
  }
  function pick(id) { set("picked", { id, n: Math.random() }); }
  box.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    set("picked", { step, n: Math.random() });
  });
  let waiting = 0;
  box.addEventListener("scroll", () => { if (!waiting) waiting = requestAnimationFrame(() => { waiting = 0; ask(); }); });
  function reveal() {
    const at = model.get("position");
    if (at < 0) return;
    const top = at * ROW;
    if (top < box.scrollTop || top + ROW > box.scrollTop + box.clientHeight - ROW) box.scrollTop = Math.max(0, top - box.clientHeight / 2);
    ask();
  }
  model.on("change:columns", () => { heading(); draw(); });
  model.on("change:sort", heading);
  model.on("change:window change:chosen change:marked change:height", draw);
  model.on("change:count", () => { draw(); ask(); });
  model.on("change:position", reveal);
  heading();
  draw();
  const seen = new ResizeObserver(() => ask());
  seen.observe(box);
  return () => seen.disconnect();
}
export default { render };
