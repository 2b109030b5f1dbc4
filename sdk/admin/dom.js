// Elements of the page. What comes from the server becomes text nodes only, so no ID and no custom status is ever markup.

export const $ = (id) => document.getElementById(id);

/**
 * Creates an element. Of the attributes, functions are listeners, true is present and empty, and false and undefined are
 * absent. Children are elements and texts; undefined is none.
 */
export function h(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same in the namespace of SVG. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== undefined));
  return element;
}

/** An ID or a text of a user, isolated from the direction of the text around it. */
export const bdi = (text, className) => h("bdi", { class: className, dir: "auto" }, text);

/** Sets the text of an element, unless it is the same, which a screen reader would read again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Makes the children of a list those of the items, in their order. A child stays the same element while its item has the
 * same key, so the focus and an opened menu survive. create makes the child of an item, and update shows an item in it.
 */
export function list(parent, items, key, create, update) {
  const wanted = new Map([...items].map((item) => [key(item), item]));
  for (const child of [...parent.children]) if (!wanted.has(child.dataset.key)) remove(child);
  const children = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let next = parent.firstElementChild;
  for (const [name, item] of wanted) {
    const child = children.get(name) ?? create(item);
    child.dataset.key = name;
    update?.(child, item);
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  }
}

/** Removes an element. The focus in it moves to the heading of its section, and not to the start of the page. */
export function remove(element) {
  const section = element.contains(document.activeElement) && element.closest("section");
  element.remove();
  section?.querySelector?.("[tabindex='-1']")?.focus({ preventScroll: true });
}
