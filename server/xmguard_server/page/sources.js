// The sources of a question: cards to write, paste or drop them into.

import { Complaint, button, byId, make } from "./dom.js";
import { bytes, language, tagOf } from "./words.js";

const readBase64 = (file) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });

class Card {
  constructor(given, languages, removed) {
    this.file = given.file || null;
    this.node = make("li", "card");
    this.id = make("span", "badge");
    this.name = make("input", "name");
    this.name.maxLength = 128;
    this.name.value = given.name || "";
    this.name.placeholder = "name";
    this.complaints = { source: new Complaint(this.name, "The name") };
    const head = make("div", "card-head");
    this.remove = button("×", removed, "plain");
    head.append(this.id, this.name);
    if (this.file) {
      this.picture = make("img");
      this.picture.src = URL.createObjectURL(this.file);
      this.complaints.media = new Complaint(this.name, "The picture");
      const about = make("p", "quiet", `${this.file.name}, ${bytes(this.file.size)}`);
      this.node.append(head, this.complaints.source.node, this.picture, about, this.complaints.media.node);
    } else {
      this.language = make("input", "language");
      this.language.setAttribute("list", "languages");
      this.language.setAttribute("aria-describedby", "language-hint");
      this.language.placeholder = "language";
      this.language.spellcheck = false;
      this.language.autocapitalize = "off";
      this.language.value = given.language || "";
      this.spell(languages);
      this.language.addEventListener("focus", () => this.language.select()); // the list holds what matches the field
      this.complaints.language = new Complaint(this.language, "The language");
      head.append(this.language);
      this.text = make("textarea");
      this.text.rows = 3;
      this.text.dir = "auto";
      this.text.placeholder = "Paste a text";
      this.text.value = given.text || "";
      this.complaints.text = new Complaint(this.text, "The text");
      const { source, language: spoken, text } = this.complaints;
      this.node.append(head, source.node, spoken.node, this.text, text.node);
    }
    head.append(this.remove);
  }

  number(place) {
    const id = `s${place + 1}`;
    this.id.textContent = id;
    this.name.setAttribute("aria-label", `Name of source ${id}`);
    this.remove.setAttribute("aria-label", `Remove source ${id}`);
    if (this.picture) this.picture.alt = `Picture ${id}`;
    else {
      this.text.setAttribute("aria-label", `Text of source ${id}`);
      this.language.setAttribute("aria-label", `Language of source ${id}`);
    }
  }

  // The language by its name, where it is one of the list.
  spell(languages) {
    if (!this.language) return;
    const tag = languages.find((one) => one.toLowerCase() === this.language.value.trim().toLowerCase());
    if (tag) this.language.value = language(tag);
  }

  focus() {
    (this.text || this.name).focus();
  }

  async span(place, languages) {
    const span = { id: `s${place + 1}`, source: this.name.value.trim() };
    if (this.file) span.media = { mediaType: this.file.type, data: await readBase64(this.file) };
    else {
      span.text = this.text.value;
      const tag = tagOf(this.language.value, languages);
      if (tag) span.language = tag;
    }
    return span;
  }

  // Say what is wrong with a part of it, at the field that it is about; gives the field.
  blame(part, words) {
    const complaint = this.complaints[part] || this.complaints.text || this.complaints.media;
    complaint.say(words);
    return complaint.control;
  }

  clear() {
    for (const complaint of Object.values(this.complaints)) complaint.say("");
  }
}

export class Sources {
  constructor() {
    this.cards = [];
    this.languages = [];
    this.limits = {};
    this.pictures = true;
    byId("add-text").addEventListener("click", () => this.add({}).focus());
    byId("add-picture").addEventListener("click", () => byId("file").click());
    byId("file").addEventListener("change", (event) => {
      this.take([...event.target.files]);
      event.target.value = "";
    });
    document.addEventListener("paste", (event) => {
      const files = [...event.clipboardData.files];
      if (files.length) {
        event.preventDefault();
        this.take(files);
      }
    });
    byId("cards").addEventListener("change", () => {
      for (const card of this.cards) card.spell(this.languages);
    });
    const box = byId("sources");
    // Anywhere on the page: a file that misses would replace the page.
    document.addEventListener("dragover", (event) => {
      event.preventDefault();
      box.classList.add("dropping");
    });
    for (const name of ["dragleave", "drop"]) document.addEventListener(name, () => box.classList.remove("dropping"));
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      this.take([...event.dataTransfer.files]);
    });
  }

  // What is served: languages to choose from, limits, and whether pictures are read.
  serve(languages, limits, pictures) {
    this.languages = languages;
    this.limits = limits;
    this.pictures = pictures;
    byId("languages").replaceChildren(...languages.map((tag) => new Option("", language(tag))));
    for (const card of this.cards) card.spell(languages);
    byId("add-picture").hidden = !pictures;
    byId("file").accept = pictures ? "image/*,text/plain" : "text/plain";
    byId("carry").textContent = pictures ? "or drop or paste one" : "or drop a file of text";
  }

  say(problem) {
    byId("sources-problem").textContent = problem;
    byId("sources-problem").hidden = !problem;
  }

  async take(files) {
    this.say("");
    for (const file of files) {
      const largest = Number(this.limits.maxMediaBytes || 0);
      const most = Number(this.limits.maxMedia || 0);
      if (file.type.startsWith("text/")) this.fill({ text: await file.text(), name: file.name.slice(0, 128) });
      else if (!file.type) this.say(`${file.name} was left out: what kind of file it is cannot be told from its name.`);
      else if (!this.pictures && file.type.startsWith("image/")) {
        this.say(`${file.name} was left out: the served model reads no pictures. Describe it in a text.`);
      } else if (largest && file.size > largest) {
        this.say(`${file.name} was left out: it has ${bytes(file.size)}, and at most ${bytes(largest)} are taken. Make it smaller.`);
      } else if (most && this.cards.filter((card) => card.file).length >= most) {
        this.say(`${file.name} was left out: at most ${most} pictures are taken.`);
      } else this.fill({ file });
    }
  }

  // Into the first card that nothing was written into, or a new one.
  fill(given) {
    const empty = this.cards.findIndex((card) => card.text && !card.text.value.trim());
    if (empty < 0) this.add(given);
    else this.put(empty, given);
  }

  add(given) {
    const most = Number(this.limits.maxSpans || 0);
    if (most && this.cards.length >= most) this.say(`At most ${most} sources are taken.`);
    else this.put(this.cards.length, given);
    return this.cards[this.cards.length - 1];
  }

  put(place, given) {
    const card = new Card(given, this.languages, () => this.drop(card));
    const old = this.cards[place];
    if (old) old.node.replaceWith(card.node);
    else byId("cards").append(card.node);
    this.cards[place] = card;
    this.number();
  }

  drop(card) {
    const place = this.cards.indexOf(card);
    this.cards.splice(place, 1);
    card.node.remove();
    if (card.picture) URL.revokeObjectURL(card.picture.src);
    this.number();
    this.say("");
    if (this.cards.length) this.cards[Math.min(place, this.cards.length - 1)].remove.focus();
    else byId("add-text").focus();
  }

  replace(all) {
    for (const card of this.cards) {
      card.node.remove();
      if (card.picture) URL.revokeObjectURL(card.picture.src);
    }
    this.cards = [];
    this.say("");
    for (const given of all) this.add(given);
  }

  number() {
    this.cards.forEach((card, place) => card.number(place));
  }

  // The sources as the contract has them, and what to show of each.
  async asked() {
    const spans = await Promise.all(this.cards.map((card, place) => card.span(place, this.languages)));
    return spans.map((span, place) => ({ span, file: this.cards[place].file }));
  }

  // Say at each field what an error says of it, and nothing at the others; gives the fields.
  mark(violations) {
    for (const card of this.cards) card.clear();
    const blamed = [];
    for (const { field, description } of violations) {
      const found = /^spans\[(\d+)\](?:\.(\w+))?/.exec(field);
      const card = found && this.cards[Number(found[1])];
      if (card) blamed.push(card.blame(found[2], description));
    }
    return blamed;
  }
}
