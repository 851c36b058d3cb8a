// Filters, and the responses behind a number. Texts of models are set as text, never as HTML.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const dialog = document.querySelector("dialog");
  const part = (name) => dialog.querySelector(name);
  const STEP = 20;
  const PREFIX = "#list-";
  let rest = [];

  const make = (tag, className, text) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined && text !== null) node.textContent = text;
    return node;
  };
  const term = (list, name, ...values) => {
    list.append(make("dt", "", name));
    const value = make("dd");
    value.append(...values);
    list.append(value);
  };
  const short = (number) => (number === null || number === undefined ? "–" : Number(number).toPrecision(3));

  const source = (one) => {
    const figure = make("figure", "source");
    figure.append(make("figcaption", "", [one.name, one.language].filter(Boolean).join(", ")));
    if (one.picture === undefined) {
      const text = make("p", "", data.texts[one.text]);
      if (one.language) text.lang = one.language;
      text.dir = "auto";
      figure.append(text);
    } else {
      const picture = make("img");
      picture.src = data.pictures[one.picture];
      picture.alt = `Picture ${one.name}`;
      figure.append(picture);
    }
    return figure;
  };

  const spans = (own) => {
    const table = make("table");
    const head = table.createTHead().insertRow();
    for (const name of ["source", "tokens", "contribution", "with bias", "answer by itself"]) {
      const cell = make("th", "", name);
      cell.scope = "col";
      head.append(cell);
    }
    const body = table.createTBody();
    for (const one of own) {
      const row = body.insertRow();
      const values = [`${one.name}, ${one.kind}`, one.tokens, short(one.before), short(one.after), one.alone];
      values.forEach((value, place) => {
        const cell = row.insertCell();
        cell.textContent = value;
        if (place > 0 && place < 4) cell.className = "number";
      });
    }
    const box = make("div", "scroll");
    box.append(table);
    return box;
  };

  const response = (one) => {
    const item = make("li", "response");
    const truth = one.conflict === null ? "" : one.conflict ? "conflict" : "control";
    item.append(make("p", "where", [...one.where, truth].filter(Boolean).join(" · ")));
    item.append(make("h3", "", one.question));
    const sources = make("div", "sources");
    sources.append(...one.sources.map(source));
    item.append(sources);
    const facts = make("dl");
    if (one.failed) term(facts, "failed", make("span", "words", one.failed));
    else {
      const words = make("span", "words", one.words);
      words.dir = "auto";
      term(facts, "response", words);
    }
    for (const scored of one.scores) {
      const said = scored.found === null ? "not judged" : scored.found ? "yes" : "no";
      const why = scored.reason ? `: ${scored.reason}` : "";
      term(facts, scored.measure, `${said} (${[scored.judge].filter(Boolean).join("")})${why}`.replace(" ()", ""));
    }
    if (one.verdict) {
      const sure = one.verdict.probability === null ? "" : `, probability ${one.verdict.probability.toFixed(2)}`;
      const checked = one.verdict.status === "OK" ? "" : ` (${one.verdict.status})`;
      term(facts, "verdict", `${one.verdict.decision}${checked}${sure}. ${one.verdict.reason}`);
    }
    if (one.bias) term(facts, "rebalanced", one.bias);
    if (one.spans && one.spans.length) term(facts, "sources", spans(one.spans));
    for (const warning of one.warnings || []) term(facts, "warning", warning);
    term(facts, "sample", make("code", "", one.sample));
    item.append(facts);
    return item;
  };

  const more = () => {
    part(".responses").append(...rest.splice(0, STEP).map((place) => response(data.items[place])));
    part("[data-more]").hidden = rest.length === 0;
    part("[data-more]").textContent = `Show ${Math.min(STEP, rest.length)} more of ${rest.length}`;
  };

  const show = (list, name, rows) => {
    for (const button of part(".choices").children) button.setAttribute("aria-pressed", String(button.dataset.name === name));
    part(".responses").replaceChildren();
    rest = [...rows];
    more();
  };

  const open = (number) => {
    const list = data.lists[number];
    part("#list-title").textContent = list.title;
    const paired = list.others !== undefined;
    const all = paired ? list.n + list.m : list.n;
    const held = list.rows.length + (paired ? list.others.length : 0);
    const note = held < all ? `${held} of ${all} responses are in this page; items.csv has all of them.` : `${all} responses.`;
    part(".dialog-note").textContent = note;
    const choices = paired
      ? [["all", [...list.rows, ...list.others], all], ["counted", list.rows, list.n], ["not counted", list.others, list.m]]
      : [];
    part(".choices").replaceChildren(
      ...choices.map(([name, rows, count]) => {
        const button = make("button", "", `${name} (${count})`);
        button.type = "button";
        button.dataset.name = name;
        button.addEventListener("click", () => show(list, name, rows));
        return button;
      }),
    );
    show(list, "all", paired ? choices[0][1] : list.rows);
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    part("#list-title").focus();
  };

  // A number's address opens its list, so that it can be passed on and the back button closes it.
  const follow = () => {
    const hash = location.hash;
    const number = hash.startsWith(PREFIX) ? Number(hash.slice(PREFIX.length)) : NaN;
    if (Number.isInteger(number) && number >= 0 && number < data.lists.length) open(number);
    else if (dialog.open) dialog.close();
  };
  for (const link of document.querySelectorAll("[data-list]")) link.setAttribute("href", PREFIX + link.dataset.list);
  dialog.addEventListener("close", () => {
    if (location.hash.startsWith(PREFIX)) history.replaceState(null, "", location.pathname + location.search);
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  part("[data-close]").addEventListener("click", () => dialog.close());
  part("[data-more]").addEventListener("click", more);
  addEventListener("hashchange", follow);

  const form = document.querySelector(".filters");
  if (form) {
    const selects = [...form.querySelectorAll("select")];
    const marked = [...document.querySelectorAll("main [data-suite], main [data-model], main [data-prompt], nav [data-suite]")];
    const fits = (node) =>
      selects.every((select) => {
        const own = node.dataset[select.dataset.filter];
        return select.value === "*" || own === undefined || own === select.value;
      });
    const filter = () => {
      for (const node of marked) node.hidden = !fits(node);
      for (const block of document.querySelectorAll("section.block")) {
        if ([...block.querySelectorAll("tr[data-prompt]")].every((row) => row.hidden)) block.hidden = true;
      }
      const rows = marked.filter((node) => node.tagName === "TR" && !node.closest("section[hidden]"));
      const shown = rows.filter((node) => !node.hidden).length;
      const every = marked.filter((node) => node.tagName === "TR").length;
      const prompted = selects.some((select) => select.dataset.filter === "prompt" && select.value !== "*");
      const note = prompted ? "; figures and suites' own numbers always show every prompt" : "";
      form.querySelector("output").textContent = shown === every ? "" : `${shown} of ${every} rows${note}`;
    };
    form.hidden = false;
    form.addEventListener("change", filter);
    form.addEventListener("reset", () => setTimeout(filter));
    filter();
  }
  follow();
})();
