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

// A label and the control that it names.
export const labelled = (text, control, className = "field") => {
  const label = make("label", "", text);
  made += 1;
  control.id = `control-${made}`;
  label.htmlFor = control.id;
  const box = make("div", className);
  box.append(label, control);
  return box;
};

export const svg = (tag, attributes = {}, text = null) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== null) node.textContent = text;
  return node;
};
