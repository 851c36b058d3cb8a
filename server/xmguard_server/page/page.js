// The live page: asks, shows, steers. Keeps nothing beyond what is on the screen.

import { Failure, ask, model, recent } from "./api.js";
import { recentChart } from "./charts.js";
import { Complaint, button, byId } from "./dom.js";
import { EXAMPLES } from "./examples.js";
import { Result } from "./result.js";
import { Sources } from "./sources.js";

const SETTLE = 350; // milliseconds after the last move of a slider
const REFRESH = 10_000;

let asked = null; // what the answer on the screen is about
let running = null; // an AbortController
let settling = 0;
let measure = "logRatio";

const sources = new Sources();
const result = new Result(
  (bias) => {
    clearTimeout(settling);
    settling = setTimeout(() => put(bias), SETTLE);
  },
  () => start(),
);

const complaint = (id, called) => {
  const made = new Complaint(byId(id), called);
  byId(id).after(made.node);
  return made;
};
const complaints = {
  question: complaint("question", "The question"),
  "decoding.max_tokens": complaint("max-tokens", "The longest answer"),
};

// Say at each field what an error says of it, and go to the first one.
const mark = (violations) => {
  const blamed = sources.mark(violations);
  for (const own of Object.values(complaints)) own.say("");
  for (const { field, description } of violations) {
    const own = complaints[field];
    if (!own) continue;
    own.say(description);
    blamed.push(own.control);
  }
  if (complaints["decoding.max_tokens"].control === blamed[0]) byId("options").open = true;
  if (blamed.length) blamed[0].focus();
};

const working = (on) => {
  const cancel = byId("cancel");
  if (!on && document.activeElement === cancel) byId("ask").focus();
  cancel.hidden = !on;
  byId("ask").textContent = on ? "Ask anew" : "Ask";
};

const request = ({ spans, question, onConflict, onError, prompt, maxTokens }, bias) => ({
  spans,
  question,
  prompt,
  onConflict,
  onError,
  decoding: { maxTokens },
  detail: { layers: true, aloneAnswers: true, unbiasedAnswer: bias !== null },
  ...(bias === null ? {} : { rebalance: { policy: "fixed", bias } }),
});

// Put the question on the screen, steered by a bias per source or, where that is null, as the model's profile says.
const put = async (bias) => {
  if (running) running.abort();
  const own = new AbortController();
  running = own;
  mark([]);
  working(true);
  result.begin(bias !== null);
  result.stage("Reading the sources …");
  const began = performance.now();
  try {
    await ask(request(asked, bias), own.signal, (event) => {
      if (running !== own) return;
      if (event.started) result.stage("Weighing what they say …");
      if (event.verdict) result.stage("Writing the answer …");
      result.heard(event);
    });
    if (running === own) result.stage(`Done in ${((performance.now() - began) / 1000).toFixed(1)} s`);
  } catch (error) {
    if (running !== own) return; // another question took its place
    if (error.name === "AbortError") result.stage("Cancelled.");
    else if (error instanceof Failure) {
      result.stage("");
      result.fail(error);
      mark(error.violations);
    } else throw error;
  } finally {
    if (running === own) {
      running = null;
      result.end();
      working(false);
      chart();
    }
  }
};

const start = async () => {
  clearTimeout(settling);
  const all = await sources.asked();
  asked = {
    spans: all.map(({ span }) => span),
    question: byId("question").value,
    onConflict: byId("on-conflict").value,
    onError: byId("on-error").value,
    prompt: byId("prompt").value,
    maxTokens: Number(byId("max-tokens").value) || 0,
  };
  result.open(all);
  const panel = byId("result");
  // Below the form where the page is narrow, and else above what is seen of a long one.
  if (matchMedia("(max-width: 999px)").matches || panel.getBoundingClientRect().top < 0) panel.scrollIntoView();
  await put(null);
};

const chart = async () => {
  try {
    recentChart(byId("recent-chart"), byId("recent-summary"), byId("recent-choice"), await recent(), measure);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    byId("recent-summary").textContent = "The last requests cannot be had from the server at the moment.";
  }
};

const served = async () => {
  try {
    const info = await model();
    const limits = info.limits || {};
    const modalities = info.modalities || [];
    sources.serve(info.languages || [], limits, !modalities.length || modalities.includes("image"));
    const policies = (info.policies || []).map((policy) => policy.name);
    result.steerable(!policies.length || policies.includes("fixed"));
    if (limits.maxTokens) byId("max-tokens").max = String(limits.maxTokens);
    const said = [info.model, info.engine, modalities.length ? `reads ${modalities.join(" and ")}` : ""];
    if (limits.maxPromptTokens) said.push(`up to ${limits.maxPromptTokens.toLocaleString("en")} tokens`);
    if (limits.maxSpans) said.push(`${limits.maxSpans} sources`);
    byId("served").textContent = said.filter(Boolean).join(" · ");
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    byId("served").textContent = error.message || "The server cannot be reached.";
    if (error.retryAfter) setTimeout(served, error.retryAfter * 1000);
  }
};

for (const example of EXAMPLES) {
  byId("examples").append(
    button(example.title, () => {
      sources.replace(example.sources);
      byId("question").value = example.question;
      byId("question").focus();
    }, "chip"),
  );
}

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  start();
});
byId("form").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    start();
  }
});
byId("cancel").addEventListener("click", () => running && running.abort());
for (const choice of byId("recent-choice").querySelectorAll("button")) {
  choice.addEventListener("click", () => {
    measure = choice.dataset.measure;
    for (const other of byId("recent-choice").querySelectorAll("button")) {
      other.setAttribute("aria-pressed", String(other === choice));
    }
    chart();
  });
}
setInterval(() => document.visibilityState === "visible" && chart(), REFRESH);

sources.replace([{}, {}]);
served();
chart();
