// The trigger form of a crawl's DAG: its parameters as Airflow knows them, sent to Airflow's API, which checks the right.
"use strict";
const form = document.getElementById("crawl");
if (form) {
  const { api, runs } = form.dataset;
  const said = document.getElementById("said");
  const fields = document.getElementById("fields");
  const made = (tag, text, parent) => { const one = document.createElement(tag); one.textContent = text; parent.append(one); return one; };
  const types = (param) => [param.schema.type || []].flat();

  const field = (name, param) => {
    const label = made("label", "", fields);
    made("b", name, label);
    const entry = param.schema.enum ? made("select", "", label) : made("input", "", label);
    for (const choice of param.schema.enum || []) made("option", choice, entry).value = choice;
    if (types(param).includes("boolean")) Object.assign(entry, { type: "checkbox", checked: Boolean(param.value) });
    else if (types(param).includes("integer")) Object.assign(entry, { type: "number", min: param.schema.minimum ?? "" });
    else if (param.schema.pattern) entry.pattern = param.schema.pattern;
    entry.name = name;
    if (entry.type !== "checkbox") entry.value = param.value ?? "";
    made("span", param.description || "", label).className = "faint";
  };

  const ask = async (path, options) => {
    const answer = await fetch(`${api}${path}`, options);
    const told = await answer.json();
    if (!answer.ok) throw new Error(`${answer.status} ${typeof told.detail === "string" ? told.detail : JSON.stringify(told.detail)}`);
    return told;
  };

  ask("/details").then((dag) => {
    const params = Object.entries(dag.params || {});
    for (const [name, param] of params) field(name, param);
    form.querySelector("button").disabled = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      form.querySelector("button").disabled = true;
      const conf = {};
      for (const [name, param] of params) {
        const value = form.elements[name].value.trim();
        conf[name] = types(param).includes("boolean") ? form.elements[name].checked : value === "" ? null : types(param).includes("integer") ? Number(value) : value;
      }
      const body = { logical_date: null, conf };
      if (form.elements.week.value) body.partition_key = form.elements.week.value;
      try {
        const run = await ask("/dagRuns", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
        said.textContent = "";
        const link = made("a", run.dag_run_id, said);
        link.href = `${runs}/${encodeURIComponent(run.dag_run_id)}`;
        link.target = "_top";
      } catch (error) {
        said.textContent = error.message;
        form.querySelector("button").disabled = false;
      }
    });
  }).catch((error) => { said.textContent = error.message; });
}
