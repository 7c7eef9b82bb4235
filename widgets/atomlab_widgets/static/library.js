// Turns the code that the model holds into a module of the page, once, after the small widgets had their turn.
function load(model) {
  if (globalThis.atomlabPlotly) return;
  const url = URL.createObjectURL(new Blob([model.get("code")], { type: "text/javascript" }));
  globalThis.atomlabPlotly = new Promise((next) => setTimeout(next, 300)).then(() => import(url));
}
export default { initialize: ({ model }) => load(model), render: ({ model }) => load(model) };
