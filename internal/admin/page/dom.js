// Making and changing elements. Whatever comes from the proxy goes in as text, and only if it is another than before:
// selection, focus and what a screen reader is at stay where they are.

const space = 'http://www.w3.org/2000/svg';

export const find = (id) => document.getElementById(id);

// h makes an element: attributes that are null or false are left out, "on…" ones are listeners.
export function h(tag, attributes = {}, ...children) {
  return dress(document.createElement(tag), attributes, children);
}

// s makes an element of SVG.
export function s(tag, attributes = {}, ...children) {
  return dress(document.createElementNS(space, tag), attributes, children);
}

function dress(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else attribute(element, name, value);
  }
  element.append(...children);
  return element;
}

// icon is one of the symbols of index.html. What it says is said in words beside it.
export function icon(name) {
  return s('svg', { class: `icon ${name}`, 'aria-hidden': 'true' }, s('use', { href: `#icon-${name}` }));
}

export function swapIcon(element, name) {
  attribute(element, 'class', `icon ${name}`);
  attribute(element.firstChild, 'href', `#icon-${name}`);
}

// text makes a text all that the element has.
export function text(element, value) {
  if (element.textContent === value) return;
  const only = element.firstChild;
  if (only?.nodeType === Node.TEXT_NODE && !only.nextSibling) only.data = value;
  else element.textContent = value;
}

// attribute sets an attribute; null and false take it away.
export function attribute(element, name, value) {
  if (value === null || value === false || value === undefined) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
    return;
  }
  const as = value === true ? '' : String(value);
  if (element.getAttribute(name) !== as) element.setAttribute(name, as);
}

// arrange makes the elements all children of the parent, in their order, and moves as few as it can. The one with the
// focus is never moved, as it would lose it.
function arrange(parent, elements) {
  const wanted = new Set(elements);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  const pivot = elements.findIndex((element) => element.contains(document.activeElement));
  for (let i = pivot - 1; i >= 0; i--) {
    if (elements[i].nextSibling !== elements[i + 1] || !elements[i].parentNode) elements[i + 1].before(elements[i]);
  }
  let before = pivot < 0 ? null : elements[pivot];
  for (let i = pivot + 1; i < elements.length; i++) {
    if (before ? before.nextSibling !== elements[i] : parent.firstChild !== elements[i]) {
      if (before) before.after(elements[i]);
      else parent.prepend(elements[i]);
    }
    before = elements[i];
  }
}

// Keyed keeps one element, with what updates it, for each key: make(item) gives {element, update(item)}.
export class Keyed {
  #parent; #make; #kept = new Map();

  constructor(parent, make) {
    this.#parent = parent;
    this.#make = make;
  }

  show(items) {
    const kept = new Map();
    for (const item of items) {
      const one = this.#kept.get(item.key) ?? this.#make(item);
      one.update(item);
      kept.set(item.key, one);
    }
    this.#kept = kept;
    arrange(this.#parent, [...kept.values()].map((one) => one.element));
  }
}
