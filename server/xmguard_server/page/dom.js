// The few ways in which this page makes elements. Texts are set as text, never as HTML.

export const byId = (id) => document.getElementById(id);

export const make = (tag, className = "", text = null) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== null) node.textContent = text;
  return node;
};

export const button = (text, pressed, className = "") => {
  const node = make("button", className, text);
  node.type = "button";
  node.addEventListener("click", pressed);
  return node;
};

let made = 0;

const named = (node) => {
  made += 1;
  node.id = `made-${made}`;
  return node.id;
};

// A label and the control that it names.
export const labelled = (text, control, className = "field") => {
  const label = make("label", "", text);
  label.htmlFor = named(control);
  const box = make("div", className);
  box.append(label, control);
  return box;
};

// What is wrong with a control, in words that belong below it. Writing into the control takes them back.
export class Complaint {
  constructor(control, called) {
    this.control = control;
    this.called = called;
    this.node = make("p", "problem");
    const before = control.getAttribute("aria-describedby");
    control.setAttribute("aria-describedby", [before, named(this.node)].filter(Boolean).join(" "));
    control.addEventListener("input", () => this.say(""));
    this.say("");
  }

  say(words) {
    this.node.textContent = words ? `${this.called} ${words}.` : "";
    this.node.hidden = !words;
    if (words) this.control.setAttribute("aria-invalid", "true");
    else this.control.removeAttribute("aria-invalid");
  }
}

export const svg = (tag, attributes = {}, text = null) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== null) node.textContent = text;
  return node;
};
