// Buttons, tabs, messages, copying, upload in pieces, and the size of what surrounds us.
// Every click is a *trait* (`clicked`), never a custom message: trait changes reach Python even while a cell runs.
let clicks = 0;
function say(model, id, value) {
  model.set("clicked", { id, value: value === undefined ? null : value, n: `${Date.now()}.${++clicks}` });
  model.save_changes();
}

async function copy(text, button, row) {
  try {
    if (!navigator.clipboard) throw new Error("no clipboard without https");
    await navigator.clipboard.writeText(text);
    const label = button.textContent;
    button.textContent = "copied";
    setTimeout(() => (button.textContent = label), 1500);
  } catch {
    row.querySelectorAll("textarea").forEach((t) => t.remove());
    const area = h("textarea", { readonly: true, "aria-label": "text to copy" });
    area.value = text;
    row.append(area);
    area.focus();
    area.select();
  }
}

// The text of an item may hold <b>; nothing else of it is read as HTML.
function rich(node, text) {
  for (const [i, part] of String(text).split(/<b>|<\/b>/).entries()) node.append(i % 2 ? h("b", {}, part) : part);
  return node;
}

function item(model, spec, row) {
  const common = { title: spec.title, "data-id": spec.id, "data-title": spec.label };
  if (spec.kind === "chip") return rich(h("span", { ...common, class: "al-chip" }), spec.label);
  if (spec.kind === "text") return rich(h("span", { ...common, class: spec.class || "al-quiet" }), spec.label);
  if (spec.kind === "gap") return h("span", { class: "al-gap" });
  if (spec.kind === "select") {
    const select = h("select", { "data-id": spec.id, "aria-label": spec.label, onchange: () => say(model, spec.id, select.value) },
      ...spec.options.map((o) => h("option", { value: o[0], selected: o[0] === spec.value }, o[1])));
    return h("label", { title: spec.title }, spec.label, select);
  }
  if (spec.kind === "input") {
    const input = h("input", { type: "text", "data-id": spec.id, placeholder: spec.placeholder, value: spec.value, size: spec.size || 24, "aria-label": spec.label });
    input.addEventListener("change", () => say(model, spec.id, input.value));
    return h("label", { title: spec.title }, spec.label, input);
  }
  if (spec.kind === "upload") return upload(model, spec);
  const button = h("button", { ...common, type: "button", class: `al-${spec.kind || "plain"}${spec.on ? " al-on" : ""}`, disabled: spec.disabled, "aria-pressed": spec.on }, spec.label);
  button.addEventListener("click", () => {
    if (spec.kind === "copy") return copy(spec.text, button, row);
    if (!spec.confirm) return say(model, spec.id);
    const ask = h("span", { class: "al-row" }, h("span", {}, spec.confirm),
      h("button", { type: "button", class: "al-danger", "data-id": `${spec.id}-yes`, onclick: () => say(model, spec.id) }, spec.yes || "yes"),
      h("button", { type: "button", onclick: () => ask.replaceWith(button) }, "no"));
    button.replaceWith(ask);
    ask.querySelector("button").focus();
  });
  return button;
}

function upload(model, spec) {
  const PIECE = 1 << 20;
  const state = h("span", { class: "al-quiet" });
  const input = h("input", { type: "file", accept: spec.accept, style: "display:none", "data-id": spec.id });
  const button = h("button", { type: "button", title: spec.title, onclick: () => input.click() }, spec.label);
  input.addEventListener("change", async () => {
    const file = input.files[0];
    input.value = "";
    if (!file) return;
    if (file.size > spec.limit_mb * 1e6) return say(model, `${spec.id}:refused`, { name: file.name, mb: file.size / 1e6, limit_mb: spec.limit_mb });
    const total = Math.max(1, Math.ceil(file.size / PIECE));
    for (let index = 0; index < total; index++) {
      const data = new DataView(await file.slice(index * PIECE, (index + 1) * PIECE).arrayBuffer());
      const arrived = new Promise((resolve) => {
        const look = () => {
          const r = model.get("received");
          if (r.name === file.name && r.index >= index) { model.off("change:received", look); resolve(); }
        };
        model.on("change:received", look);
      });
      model.set("piece", { id: spec.id, name: file.name, index, total, bytes: file.size, data });
      model.save_changes();
      await arrived;
      state.textContent = `${file.name}: ${Math.round((100 * (index + 1)) / total)} %`;
    }
    model.set("piece", {});
    model.save_changes();
    setTimeout(() => (state.textContent = ""), 2000);
  });
  return h("span", { class: "al-drop" }, button, input, state);
}

function buttons(model, el) {
  const row = h("div", { class: `al-row ${model.get("css")}` });
  el.append(row);
  const draw = () => {
    const focused = row.contains(document.activeElement) ? document.activeElement.dataset.id : null;
    row.replaceChildren(...model.get("items").map((spec) => item(model, spec, row)));
    if (focused) row.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
  };
  model.on("change:items", draw);
  draw();
}

function tabs(model, el) {
  const bar = h("div", { class: "al-tabs", role: "tablist" });
  el.append(bar);
  const draw = () => {
    const focused = bar.contains(document.activeElement);
    bar.replaceChildren(...model.get("items").map((tab) => h("button", {
      type: "button", role: "tab", "data-id": tab.id, "aria-selected": String(!!tab.on), tabindex: tab.on ? 0 : -1, title: tab.title,
      onclick: () => say(model, tab.id),
    }, h("span", {}, tab.label), tab.badge ? h("span", { class: `al-badge al-${tab.state}` }, tab.badge) : null)));
    if (focused) bar.querySelector("[aria-selected=true]")?.focus();
  };
  bar.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.stopPropagation();
    const all = model.get("items");
    const at = all.findIndex((tab) => tab.on);
    say(model, all[(at + step + all.length) % all.length].id);
  });
  model.on("change:items", draw);
  draw();
}

function messages(model, el) {
  const strip = h("div", { class: "al-messages", role: "status", "aria-live": "polite" });
  el.append(strip);
  const draw = () => {
    const items = model.get("items");
    const lines = items.map((m) => {
      const line = h("div", { class: `al-message al-${m.level}`, "data-id": m.key }, h("span", { class: "al-text" }, m.text));
      for (const [id, label] of m.actions) line.append(h("button", { type: "button", "data-id": id, onclick: () => say(model, m.key, id) }, label));
      if (m.detail) {
        const detail = h("pre", {}, m.detail);
        line.append(h("button", { type: "button", onclick: () => (detail.isConnected ? detail.remove() : line.append(detail)) }, "details"));
      }
      line.append(h("button", { type: "button", title: "dismiss this message", "data-id": "dismiss", "aria-label": "dismiss", onclick: () => say(model, m.key, "dismiss") }, "dismiss"));
      return line;
    });
    strip.replaceChildren(...(lines.length ? lines : [h("div", { class: "al-nothing" }, "Nothing needs your attention.")]));
  };
  model.on("change:items", draw);
  draw();
}

// Reports the width of the Lab and the theme, and that a page has (again) drawn us.
function size(model, el) {
  el.style.display = "none";
  let watch = null, last = "", known = 0;
  const theme = () => document.body.dataset.jpThemeLight === "false";
  const tell = (width) => {
    known = width >= 50 ? Math.round(width) : known;  // while themes change the page has no width
    const now = { width: known, dark: theme() };
    if (!known || JSON.stringify(now) === last) return;
    last = JSON.stringify(now);
    model.set("size", now);
    model.save_changes();
  };
  const frame = () => el.closest(".al-lab, .al-alone");
  const start = () => {
    const root = frame();
    if (!root) return requestAnimationFrame(start);
    watch = new ResizeObserver((entries) => tell(entries[0].contentRect.width));
    watch.observe(root);
    model.set("mounted", `${Date.now()}.${Math.random()}`);
    model.save_changes();
  };
  requestAnimationFrame(start);
  const themes = new MutationObserver(() => tell(frame()?.clientWidth || 0));
  themes.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  return () => { watch?.disconnect(); themes.disconnect(); };
}

const KINDS = { buttons, tabs, messages, size };
export default { render: ({ model, el }) => KINDS[model.get("kind")](model, el) };
