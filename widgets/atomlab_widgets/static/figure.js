// A plotly figure whose code comes later: initialized at once, messages kept until then and played back.
const MESSAGES = ["addTraces", "restyle", "relayout", "update", "animate", "deleteTraces", "moveTraces", "removeLayoutProps", "removeTraceProps"]
  .map((name) => `_py2js_${name}`);

async function library() {
  while (!globalThis.atomlabPlotly) await new Promise((next) => setTimeout(next, 50));
  const made = (await globalThis.atomlabPlotly).default;
  return typeof made === "function" ? await made() : made;
}

export default () => {
  let real = null, ready = null;
  return {
    initialize({ model }) {
      const kept = [], handlers = {}, override = {};
      const keep = MESSAGES.map((name) => [name, () => model.get(name) && kept.push([name, model.get(name)])]);
      for (const [name, note] of keep) model.on(`change:${name}`, note);
      const seen = new Proxy(model, {
        get(target, key) {
          if (key === "get") return (name) => (name in override ? override[name] : target.get(name));
          if (key === "on") return (name, call, ...rest) => { (handlers[name] ||= []).push(call); return target.on(name, call, ...rest); };
          const value = target[key];
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
      ready = library().then(async (made) => {
        real = made;
        for (const [name, note] of keep) model.off(`change:${name}`, note);
        await real.initialize({ model: seen });
        for (const [name, value] of kept) {
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
