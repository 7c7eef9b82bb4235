// A plotly figure whose code comes later. Messages that arrive before anybody listens are lost without a word, so the page
// asks for the present state when it is ready to hear (`_asked`), waits for the answer (`_told`), keeps what comes after
// it, and plays that back when plotly is there.
const PATIENCE = 8000; // ms; a kernel that is gone never answers: then the figure is what came with it
const MESSAGES = ["addTraces", "restyle", "relayout", "update", "animate", "deleteTraces", "moveTraces", "removeLayoutProps", "removeTraceProps"]
  .map((name) => `_py2js_${name}`);

async function library() {
  while (!globalThis.atomlabPlotly) await new Promise((next) => setTimeout(next, 50));
  const made = (await globalThis.atomlabPlotly).default;
  return typeof made === "function" ? await made() : made;
}

function present(model) {
  return new Promise((done) => {
    const question = (model.get("_asked") || 0) + 1;
    const look = () => {
      if ((model.get("_told") || {}).question !== question) return;
      model.off("change:_told", look);
      done(model.get("_told"));
    };
    model.on("change:_told", look);
    model.set("_asked", question);
    model.save_changes();
    setTimeout(() => { model.off("change:_told", look); done({}); }, PATIENCE);
  });
}

// Nobody in Python listens to the mouse moving over points. While one message is under way the page keeps only the last
// one of its kind: a hover behind a selection would take its place.
const unheard = (name, value) => name === "_js2py_pointsCallback" && /hover$/.test(value?.event_type);

const newer = (message, told) => !(message.trace_edit_id <= told.traces) && !(message.layout_edit_id <= told.layout);

export default () => {
  let real = null, ready = null;
  return {
    initialize({ model }) {
      const kept = [], handlers = {}, override = {};
      const keep = MESSAGES.map((name) => [name, () => model.get(name) && kept.push([name, model.get(name)])]);
      for (const [name, note] of keep) model.on(`change:${name}`, note);
      const seen = new Proxy(model, {
        get(target, key) {
          if (key === "set") return (name, value, ...rest) => unheard(name, value) || target.set(name, value, ...rest);
          if (key === "get") return (name) => (name in override ? override[name] : target.get(name));
          if (key === "on") return (name, call, ...rest) => { (handlers[name] ||= []).push(call); return target.on(name, call, ...rest); };
          const value = target[key];
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
      ready = Promise.all([library(), present(model)]).then(async ([made, told]) => {
        real = made;
        for (const [name, note] of keep) model.off(`change:${name}`, note);
        await real.initialize({ model: seen });
        for (const [name, value] of kept.filter(([, value]) => newer(value, told))) {
          override[name] = value;
          (handlers[`change:${name}`] || []).forEach((call) => call());
          delete override[name];
        }
      });
    },
    async render(context) {
      await ready;
      return real.render(context);
    },
  };
};
