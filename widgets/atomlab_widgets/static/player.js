// First, back, play, forward and a slider over frames. `frame` is a trait, so it answers while a run or a cell goes on.
function render({ model, el }) {
  const bar = document.createElement("div");
  bar.className = "al-player";
  el.append(bar);
  const button = (text, title, act) => {
    const b = document.createElement("button");
    b.type = "button";
    b.textContent = text;
    b.title = title;
    b.setAttribute("aria-label", title);
    b.addEventListener("click", act);
    bar.append(b);
    return b;
  };
  const last = () => Math.max(0, model.get("count") - 1);
  const go = (frame) => {
    model.set("asked", { frame: Math.min(last(), Math.max(0, frame)), n: Math.random() });
    model.save_changes();
    slider.value = String(model.get("asked").frame);
    label();
  };
  let timer = null;
  const stop = () => { clearInterval(timer); timer = null; play.textContent = "\u25b6"; };
  button("|\u25c0", "first frame", () => { stop(); go(0); });
  button("\u2039", "one frame back", () => { stop(); go(Number(slider.value) - 1); });
  const play = button("\u25b6", "play or pause", () => {
    if (timer) return stop();
    play.textContent = "\u2759\u2759";
    timer = setInterval(() => go(Number(slider.value) >= last() ? 0 : Number(slider.value) + 1), 125);
  });
  button("\u203a", "one frame forward", () => { stop(); go(Number(slider.value) + 1); });
  const slider = document.createElement("input");
  slider.type = "range";
  slider.min = "0";
  slider.setAttribute("aria-label", "frame");
  slider.addEventListener("input", () => { stop(); go(Number(slider.value)); });
  slider.addEventListener("keydown", (event) => event.stopPropagation());
  bar.append(slider);
  const count = document.createElement("span");
  count.className = "al-count";
  bar.append(count);
  const label = () => (count.textContent = model.get("count") ? `${slider.value} of 0–${last()}` : "no frames");
  const draw = () => {
    slider.max = String(last());
    slider.disabled = model.get("count") < 2;
    if (!timer && document.activeElement !== slider) slider.value = String(model.get("frame"));
    else if (!timer && model.get("follow")) slider.value = String(model.get("frame"));
    label();
  };
  model.on("change:count change:frame change:follow", draw);
  draw();
  return () => clearInterval(timer);
}
export default { render };
