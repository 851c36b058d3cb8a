// An answer as it comes: verdict, words, and what each source weighed. Cards stay while the same sources are asked again.

import { Bars, headCount, heat } from "./charts.js";
import { button, byId, labelled, make } from "./dom.js";
import { DECISIONS, ENDS, STATUSES, brief, failure, inWords, known, language, nats, percent, place, times } from "./words.js";

const LARGEST = 8;

const alike = (logRatio) => Math.exp(Number(logRatio)) < 1.05;
const total = (reports, field) => reports.reduce((sum, one) => sum + Number(one[field] || 0), 0);
const perToken = (report, field) => (known(report[field]) && report.tokens ? Number(report[field]) / report.tokens : null);

// What a bias does, for who does not think in nats.
const effect = (epsilon) => {
  if (epsilon === -Infinity) return "not read at all";
  if (epsilon === 0) return "as it is";
  return `${nats(epsilon)}: odds of attention × ${Number(Math.exp(epsilon).toPrecision(2))}`;
};

class Weighed {
  constructor(span, file, steer) {
    this.span = span;
    this.epsilon = 0;
    this.node = make("li", "span");
    const head = make("div", "span-head");
    this.facts = make("span", "quiet");
    head.append(make("span", "badge", span.id), make("b", "", span.source || ""), this.facts);
    this.node.append(head);
    if (file) {
      const picture = make("img");
      picture.src = URL.createObjectURL(file);
      picture.alt = `Picture ${span.id}`;
      this.node.append(picture);
    } else {
      this.text = make("p", "words", span.text);
      this.text.dir = "auto";
      if (span.language) this.text.lang = span.language;
      this.node.append(this.text);
    }
    this.alone = make("p", "alone quiet");
    this.alone.hidden = true;
    this.share = new Bars("Share of all contributions");
    this.each = new Bars("Contribution per token, ‖u‖");
    this.measures = make("div", "measures");
    this.measures.hidden = true;
    this.measures.append(this.share.node, this.each.node);
    this.node.append(this.alone, this.measures, this.steering(steer));
  }

  steering(steer) {
    const box = make("div", "steering");
    this.slider = make("input");
    Object.assign(this.slider, { type: "range", min: -LARGEST, max: LARGEST, step: 0.5, value: 0 });
    this.removed = make("input");
    this.removed.type = "checkbox";
    this.said = make("output", "quiet");
    this.slider.addEventListener("input", () => this.choose(Number(this.slider.value)));
    this.slider.addEventListener("change", steer);
    this.removed.addEventListener("change", () => {
      this.choose(this.removed.checked ? -Infinity : Number(this.slider.value));
      steer();
    });
    const slide = labelled(`Steer ${this.span.id} (ε, nats)`, this.slider, "slide");
    const ends = make("span", "ends");
    ends.setAttribute("aria-hidden", "true");
    ends.append(make("span", "", `${nats(-LARGEST)} less`), make("span", "", "0"), make("span", "", `more ${nats(LARGEST)}`));
    slide.append(this.said, ends);
    box.append(slide, labelled(`Remove ${this.span.id} (−∞)`, this.removed, "check"));
    this.choose(0);
    return box;
  }

  choose(epsilon) {
    this.epsilon = epsilon;
    this.removed.checked = epsilon === -Infinity;
    this.slider.disabled = this.removed.checked;
    if (!this.removed.checked) this.slider.value = String(epsilon);
    this.slider.setAttribute("aria-valuetext", effect(epsilon));
    this.said.textContent = effect(epsilon);
  }

  show(report, largest, steered) {
    const kind = report.modality === "text" || report.modality === undefined ? language(report.language) : report.modality;
    this.measures.hidden = false;
    this.facts.textContent = [kind, report.tokens ? `${report.tokens} tokens` : ""].filter(Boolean).join(" · ");
    this.share.set([report.shareBefore, report.shareAfter], largest.share, percent, steered);
    const each = [perToken(report, "contributionBefore"), perToken(report, "contributionAfter")];
    this.each.set(each, largest.each, brief, steered);
    const weight = known(report.shareAfter) && largest.after > 0 ? Number(report.shareAfter) / largest.after : 0;
    this.node.style.setProperty("--weight", `${Math.round(24 * weight)}%`);
    this.node.classList.toggle("out", Number(report.bias) === -Infinity);
    if (report.answerAlone) {
      this.alone.hidden = false;
      this.alone.replaceChildren("Read alone, it answers: ", make("b", "", report.answerAlone));
    }
  }

  // The sentences that disagreements rest on. Offsets count characters, of which some are two units here.
  quote(quotes) {
    if (!this.text) return;
    const characters = [...this.span.text];
    const parts = [];
    let at = 0;
    for (const { start = 0, end = 0 } of [...quotes].sort((one, other) => (one.start || 0) - (other.start || 0))) {
      if (end <= at) continue;
      const from = Math.max(start, at);
      parts.push(characters.slice(at, from).join(""), make("mark", "", characters.slice(from, end).join("")));
      at = end;
    }
    this.text.replaceChildren(...parts, characters.slice(at).join(""));
  }
}

export class Result {
  constructor(steer, retry) {
    this.weighed = [];
    this.steer = steer;
    this.retry = retry;
    this.drawn = [[], false]; // what the strips of layers show
    byId("heads").addEventListener("change", () => this.layers());
    byId("unsteer").addEventListener("click", () => {
      for (const one of this.weighed) one.choose(0);
      byId("ask").focus();
      this.steer(null);
    });
  }

  // Whether the served engine can be steered at all.
  steerable(can) {
    byId("spans").classList.toggle("unsteerable", !can);
  }

  stage(words) {
    byId("stage").textContent = words;
  }

  // Other sources than before: nothing of the last answer stays.
  open(asked) {
    for (const one of this.weighed) {
      const picture = one.node.querySelector("img");
      if (picture) URL.revokeObjectURL(picture.src);
    }
    this.told = false; // whether anything was heard of these sources
    this.weighed = asked.map(({ span, file }) => new Weighed(span, file, () => this.steer(this.bias())));
    byId("spans").replaceChildren(...this.weighed.map((one) => one.node));
    for (const id of ["key", "layers", "unsteer"]) byId(id).hidden = true;
    for (const id of ["balance", "rest"]) byId(id).textContent = "";
    byId("facts").replaceChildren();
  }

  bias() {
    return Object.fromEntries(
      this.weighed.map((one) => [one.span.id, one.epsilon === -Infinity ? "-Infinity" : one.epsilon]),
    );
  }

  begin(steered) {
    byId("empty").hidden = true;
    byId("failure").hidden = true;
    byId("outcome").hidden = false;
    byId("outcome").classList.add("working", "stale");
    byId("verdict").hidden = true;
    byId("warnings").hidden = true;
    byId("unsteered").hidden = true;
    byId("unsteer").hidden = !steered;
    byId("end").textContent = "";
    const answer = byId("answer");
    answer.textContent = "";
    answer.setAttribute("aria-busy", "true");
  }

  end() {
    byId("outcome").classList.remove("working"); // what was measured before stays stale until it is measured again
    byId("outcome").hidden = !this.told;
    byId("answer").setAttribute("aria-busy", "false");
  }

  heard(event) {
    this.told = true;
    if (event.started) this.reports(event.started.spans || []);
    if (event.verdict) this.verdict(event.verdict);
    if (event.delta) byId("answer").append(event.delta.text || "");
    if (event.done) this.done(event.done.response || {});
  }

  reports(reports) {
    byId("outcome").classList.remove("stale");
    const steered = reports.some((one) => known(one.bias) ? Number(one.bias) !== 0 : one.bias !== undefined);
    const fields = ["shareBefore", "shareAfter"];
    const largest = {
      share: 1,
      after: Math.max(0, ...reports.map((one) => Number(one.shareAfter || 0))),
      each: Math.max(0, ...reports.flatMap((one) => [perToken(one, "contributionBefore"), perToken(one, "contributionAfter")])),
    };
    reports.forEach((report, at) => this.weighed[at] && this.weighed[at].show(report, largest, steered));
    byId("key").hidden = !steered;
    const rest = fields.map((field) => 1 - total(reports, field));
    const measured = reports.some((one) => known(one.shareAfter));
    byId("rest").textContent = measured
      ? `The rest of the prompt, question included: ${steered ? `${percent(rest[0])} before, ${percent(rest[1])} after` : percent(rest[1])}.`
      : "The served engine measures no contributions.";
    this.drawn = [reports, steered];
    this.layers();
  }

  layers() {
    const choice = byId("heads");
    const heads = headCount(this.drawn[0]);
    if (choice.dataset.heads !== String(heads)) {
      choice.dataset.heads = String(heads);
      const single = Array.from({ length: heads }, (_, head) => new Option(`head ${head}`, String(head)));
      choice.replaceChildren(new Option("mean over heads", "mean"), new Option("largest of the heads", "max"), ...single);
    }
    byId("layers").hidden = !heat(byId("heat"), byId("heat-numbers"), ...this.drawn, choice.value);
  }

  verdict(verdict) {
    const decision = DECISIONS[verdict.decision] || DECISIONS.DECISION_UNDETERMINED;
    const box = byId("verdict");
    box.className = `verdict ${decision.kind}`;
    box.querySelector(".mark").textContent = decision.mark;
    box.querySelector(".decision").textContent = decision.name;
    box.querySelector(".reason").textContent = [STATUSES[verdict.status], verdict.reason].filter(Boolean).join(" ");
    const chance = box.querySelector(".chance");
    chance.hidden = !known(verdict.probability);
    chance.querySelector(".fill").style.setProperty("--size", String(verdict.probability || 0));
    chance.querySelector(".value").textContent = percent(verdict.probability);
    box.querySelector(".trust").textContent =
      verdict.status === "STATUS_OK" && !verdict.calibrated ? "No profile was fitted to this model: the probability is a score, not a rate." : "";
    const groups = verdict.groups || [];
    box.querySelector(".groups").replaceChildren(
      ...groups.map((group) => {
        const line = make("li");
        line.append(...(group.spanIds || []).map((id) => make("span", "badge", id)), make("span", "", group.answer || "–"));
        return line;
      }),
    );
    const quotes = (verdict.disagreements || []).flatMap((one) => [
      [one.spanA, one.evidenceA],
      [one.spanB, one.evidenceB],
    ]);
    for (const one of this.weighed) {
      one.quote(quotes.filter(([id, quote]) => id === one.span.id && quote).map(([, quote]) => quote));
    }
    box.hidden = false;
  }

  done(response) {
    this.reports(response.spans || []);
    this.verdict(response.verdict || {});
    byId("answer").textContent = response.answer || "";
    byId("end").textContent = ENDS[response.finishReason] || "";
    if (response.unbiasedAnswer) {
      byId("unsteered").querySelector(".words").textContent = response.unbiasedAnswer;
      byId("unsteered").hidden = false;
    }
    const warnings = response.warnings || [];
    byId("warnings").replaceChildren(...warnings.map((warning) => make("li", "", inWords(warning))));
    byId("warnings").hidden = !warnings.length;
    this.balance(response.imbalance || {}, response.rebalancing || {});
    this.facts(response);
  }

  balance(imbalance, rebalancing) {
    const said = [];
    if (known(imbalance.logRatioBefore)) {
      const per = imbalance.logRatioPerTokenBefore;
      const most = alike(imbalance.logRatioBefore)
        ? "The sources contributed about equally"
        : `${imbalance.overAttended || "One source"} contributed ${times(imbalance.logRatioBefore)} as much as ${imbalance.underAttended || "another"}`;
      said.push(`${most}${known(per) ? `; per token, the most used ${times(per)} as much as the least used` : ""}.`);
    }
    if (rebalancing.applied && known(imbalance.logRatioAfter)) {
      const after = `After steering, the most used contributed ${times(imbalance.logRatioAfter)} as much as the least used.`;
      said.push(alike(imbalance.logRatioAfter) ? "After steering they contributed about equally." : after);
    }
    if (rebalancing.reason) said.push(`${rebalancing.applied ? "Steered" : "Not steered"}: ${rebalancing.reason}.`);
    byId("balance").textContent = said.join(" ");
  }

  facts({ usage = {}, servedBy = {}, requestId = "" }) {
    const facts = [
      ["took", known(usage.seconds) ? `${Number(usage.seconds).toFixed(1)} s` : ""],
      ["waited", usage.queueSeconds >= 0.05 ? `${Number(usage.queueSeconds).toFixed(1)} s` : ""],
      ["tokens read", usage.promptTokens],
      ["written", usage.completionTokens],
      ["run for the verdict", usage.evidenceTokens],
      ["model", servedBy.model],
      ["request", requestId],
    ];
    byId("facts").replaceChildren(
      ...facts.filter(([, value]) => value).map(([name, value]) => {
        const fact = make("div");
        fact.append(make("dt", "", name), make("dd", "", String(value)));
        return fact;
      }),
    );
  }

  // An error in words, with what to do.
  fail(error) {
    const [title, advice] = failure(error.reason);
    const box = byId("failure");
    box.replaceChildren(make("h3", "", title));
    if (error.violations.length) {
      const list = make("ul");
      for (const { field, description } of error.violations) {
        const where = place(field);
        list.append(make("li", "", where ? `${where}: ${description}` : description));
      }
      box.append(list);
    } else if (error.message) box.append(make("p", "", error.message));
    const wait = error.retryAfter ? ` About ${Math.ceil(error.retryAfter)} s should do.` : "";
    box.append(make("p", "advice", advice + wait));
    if (!error.violations.length) box.append(button("Ask again", this.retry));
    box.hidden = false;
  }
}
