// A form from a list of fields; the values go back as one trait. Limits are checked here before they are sent.
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

function range(field) {
  const unit = field.unit ? ` ${field.unit}` : "";
  if (field.min !== null && field.max !== null) return `${field.min} to ${field.max}${unit}`;
  if (field.min !== null) return `${field.open_min ? "more than" : "at least"} ${field.min}${unit}`;
  if (field.max !== null) return `at most ${field.max}${unit}`;
  return "";
}

function read(field, control) {
  if (field.kind === "bool") return { value: control.checked };
  const text = control.value.trim();
  if (field.kind === "choice") return { value: field.options[control.selectedIndex][0] };
  if (text === "" && field.nullable) return { value: null };
  if (field.kind === "text") return { value: text };
  if (field.kind === "pairs") return pairs(field, text);
  if (field.kind === "list") return { value: text === "" ? [] : text.split(/[\s,;]+/).map((t) => (isNaN(Number(t)) ? t : Number(t))) };
  const number = Number(text.replace(",", "."));
  if (text === "" || !Number.isFinite(number)) return { wrong: `${field.label}: "${text}" is not a number. Allowed: ${range(field) || "any number"}.` };
  if (field.kind === "int" && !Number.isInteger(number)) return { wrong: `${field.label}: ${text} is not a whole number.` };
  if ((field.min !== null && (number < field.min || (field.open_min && number === field.min))) || (field.max !== null && number > field.max))
    return { wrong: `${field.label}: ${text} is out of range. Allowed: ${range(field)}.` };
  return { value: number };
}

function pairs(field, text) {
  const value = {};
  for (const part of text.split(/[,;]/).filter((t) => t.trim())) {
    const [, name, given] = part.match(/^\s*([^:=\s]+)\s*[:=]\s*(\S+)\s*$/) || [];
    if (name === undefined) return { wrong: `${field.label}: "${part.trim()}" is not of the form NAME: VALUE.` };
    value[name] = field.item === "number" ? Number(given) : given;
    if (Number.isNaN(value[name])) return { wrong: `${field.label}: "${given}" is not a number.` };
  }
  return { value };
}

function show(field, control, value) {
  if (field.kind === "bool") control.checked = !!value;
  else if (field.kind === "choice") control.selectedIndex = field.options.findIndex((o) => same(o[0], value));
  else if (field.kind === "pairs") control.value = Object.entries(value || {}).map(([name, v]) => `${name}: ${v}`).join(", ");
  else control.value = value === null || value === undefined ? "" : Array.isArray(value) ? value.join(", ") : String(value);
}

function render({ model, el }) {
  const form = h("div", { class: "al-form" });
  el.append(form);
  let rows = {};

  function row(field, why) {
    let control;
    const id = `al-${Math.random().toString(36).slice(2)}`;
    if (field.kind === "choice") control = h("select", { id }, ...field.options.map((o) => h("option", {}, o[1])));
    else if (field.kind === "bool") control = h("input", { id, type: "checkbox" });
    else control = h("input", { id, type: "text", inputmode: ["int", "number"].includes(field.kind) ? "decimal" : "text", placeholder: field.auto || (field.nullable ? "automatic" : "") });
    control.dataset.name = field.name;
    const names = field.known.length && control.type === "text" ? h("datalist", { id: `${id}-known` }, ...field.known.map((n) => h("option", { value: n }))) : null;
    if (names) control.setAttribute("list", names.id);
    const reset = h("button", { type: "button", class: "al-reset", title: `set back to ${JSON.stringify(field.default)}`, "aria-label": `set ${field.label} back` }, "\u21ba");
    const line = h("div", { class: "al-field", title: field.reason }, h("label", { for: id }, field.label), control, names, h("span", { class: "al-unit" }, field.unit || ""), reset);
    const explain = (wrong) => {
      why.className = `al-why${wrong ? " al-wrong" : ""}`;
      why.textContent = wrong || [field.reason, range(field) && `Range: ${range(field)}.`].filter(Boolean).join(" ");
    };
    const paint = () => {
      const value = field.name in model.get("values") ? model.get("values")[field.name] : field.default;
      if (document.activeElement !== control || field.kind === "choice" || field.kind === "bool") show(field, control, value);
      const changed = !same(value, field.default);
      line.classList.toggle("al-changed", changed);
      reset.style.visibility = changed ? "visible" : "hidden";
    };
    const send = (value) => {
      const values = { ...model.get("values") };
      if (same(value, field.default)) delete values[field.name];
      else values[field.name] = value;
      model.set("values", values);
      model.save_changes();
      paint();
    };
    control.addEventListener("focus", () => explain());
    line.addEventListener("mouseenter", () => !why.classList.contains("al-wrong") && explain());
    control.addEventListener("change", () => {
      const { value, wrong } = read(field, control);
      line.classList.toggle("al-wrong", !!wrong);
      explain(wrong);
      if (!wrong) send(value);
    });
    reset.addEventListener("click", () => { line.classList.remove("al-wrong"); show(field, control, field.default); explain(); send(field.default); });
    rows[field.name] = paint;
    paint();
    return line;
  }

  function draw() {
    rows = {};
    const fields = model.get("fields");
    const why = h("div", { class: "al-why", "aria-live": "polite" });
    const block = (css, part) => part.length ? h("div", { class: `al-fields ${css}` }, ...part.map((f) => row(f, why))) : null;
    const folded = fields.filter((f) => !f.main && !f.own), folds = [...new Set(folded.map((f) => f.fold))];
    const foot = h("div", { class: "al-foot" }, ...folds.map((title) => toggle(title, folded.filter((f) => f.fold === title))));
    const parts = [block("", fields.filter((f) => f.main)), block("al-own", fields.filter((f) => f.own)), foot];
    for (const title of folds) {
      const part = block("al-folded", folded.filter((f) => f.fold === title));
      rows[`\u0000${title}`] = () => { part.style.display = model.get("unfolded").includes(title) ? "" : "none"; };
      parts.push(part);
    }
    parts.push(why);
    const held = form.contains(document.activeElement) ? document.activeElement.dataset.name : "";
    form.replaceChildren(...parts.filter((p) => p));
    if (held) form.querySelector(`[data-name="${held}"]`)?.focus();
    Object.values(rows).forEach((paint) => paint());
  }

  function toggle(title, part) {
    const control = h("button", { type: "button", class: "al-more", "data-fold": title });
    rows[`\u0000\u0000${title}`] = () => {
      const open = model.get("unfolded").includes(title);
      const changed = part.filter((f) => f.name in model.get("values")).length;
      control.textContent = `${open ? "hide: " : ""}${title} (${part.length}${changed ? `, ${changed} changed` : ""})`;
      control.setAttribute("aria-expanded", String(open));
    };
    control.addEventListener("click", () => {
      const open = model.get("unfolded");
      model.set("unfolded", open.includes(title) ? open.filter((t) => t !== title) : [...open, title]);
      model.save_changes();
      Object.values(rows).forEach((paint) => paint());
    });
    return control;
  }
  model.on("change:fields", draw);
  model.on("change:values", () => Object.values(rows).forEach((paint) => paint()));
  draw();
}
export default { render };
