// What both demo pages say in words.

const STATUS = ["unknown", "online", "offline", "not logged in"];
const AVAILABILITY = { away: "away", busy: "busy", dnd: "do not disturb" };

/** A status in words, or "unknown" if it is undefined. */
export function inWords({ statusType = 0, customStatus, availability, invisible } = {}) {
  const words = [STATUS[statusType]];
  if (availability) words.push(AVAILABILITY[availability]);
  // Isolated, lest a text from right to left turns around what follows.
  if (customStatus) words.push(`“\u2068${customStatus}\u2069”`);
  if (invisible) words.push("invisible to others");
  return words.join(", ");
}

export function element(name, text) {
  return Object.assign(document.createElement(name), { textContent: text });
}

/** The code as nodes: keywords and strings coloured, nothing parsed. */
export function highlighted(code) {
  return code.split(/("[^"]*"|\/\/ .*|\b(?:import|from|const|await)\b)/).map((part, i) => {
    if (i % 2 === 0) return part;
    const span = element("span", part);
    span.className = { '"': "string", "/": "comment" }[part[0]] ?? "keyword";
    return span;
  });
}
