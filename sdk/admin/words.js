// The words and formats of the page.

import { bdi, h } from "./dom.js";

const TYPES = ["Unknown", "Online", "Offline", "Not logged in"];
const KINDS = ["unknown", "online", "offline", "gone"];
export const AVAILABILITY = { away: "Away", busy: "Busy", dnd: "Do not disturb" };
const NAMES = { ONLINE: "Online", OFFLINE: "Offline", UNLOGINED: "Not logged in" };

/** Returns which of the icons of the page shows a status. */
export function kindOf({ statusType, availability }) {
  if (statusType === 1 && availability) return availability === "away" ? "away" : "busy";
  return KINDS[statusType] ?? "unknown";
}

export function statusName({ statusType, availability }) {
  const type = TYPES[statusType] ?? "Unknown";
  return AVAILABILITY[availability] ? `${type}, ${AVAILABILITY[availability].toLowerCase()}` : type;
}

/** A status as nodes: its name, the custom status, and what else it carries. */
export function statusNodes(status, now) {
  const nodes = [h("span", {}, statusName(status))];
  if (status.invisible) nodes.push(" · invisible to others");
  if (status.customStatus) nodes.push(" · ", bdi(status.customStatus, "custom"));
  if (now && status.expiresAt) nodes.push(" · until ", time(status.expiresAt, now));
  if (now && status.lastSeenAt) nodes.push(" · last seen ", time(status.lastSeenAt, now));
  return nodes;
}

/** A text of a user inside a sentence, whose direction it can't change. */
export const quoted = (text) => `“\u2068${text}\u2069”`;

/** A sentence about a user. */
export const about = (userID, text) => `\u2068${userID}\u2069 ${text}`;

const CLOCK = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const DAY = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium" });

/** A time in the time zone of the reader, with how far it is from now, which is the time of the server. */
export function time(iso, now) {
  const date = new Date(iso);
  const today = DAY.format(date) === DAY.format(now);
  const text = `${today ? "" : `${DAY.format(date)}, `}${CLOCK.format(date)} (${distance(date - now)})`;
  return h("time", { datetime: iso, title: iso }, text);
}

function distance(ms) {
  const length = span(Math.abs(ms) / 1000);
  if (length === "0 s") return "now";
  return ms < 0 ? `${length} ago` : `in ${length}`;
}

/** A number of seconds, in the largest unit that fits. */
export function span(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 36 * 3600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

const TIME_OR_STATUS = /(\d{4}-\d\d-\d\dT[\d:.]+Z|\b(?:ONLINE|OFFLINE|UNLOGINED)\b)/;
const THEN = /(?<=the user is then )(ONLINE|OFFLINE|UNLOGINED)/; // the ID of a device in the same text stays as it is

/** A sentence of the server as nodes: its times are the reader's, and its names of statuses those of this page. */
export function sentence(text, now, isWhole = true) {
  const nodes = translated(text, TIME_OR_STATUS, now);
  if (isWhole && typeof nodes[0] === "string") nodes[0] = nodes[0][0].toUpperCase() + nodes[0].slice(1);
  return [...nodes, "."];
}

/** What happens at a deadline, as nodes. */
export const deadline = ({ at, what }, now) => [time(at, now), ": ", h("bdi", {}, ...translated(what, THEN, now))];

function translated(text, pattern, now) {
  const parts = text.split(pattern).filter((part) => part !== "");
  return parts.map((part) => {
    if (NAMES[part]) return h("strong", {}, NAMES[part]);
    return pattern.test(part) ? time(part, now) : part;
  });
}

/** A whole number, or a rate. */
export function number(value) {
  const digits = Number.isInteger(value) || value >= 10 ? 0 : 1;
  return value.toLocaleString("en", { maximumFractionDigits: digits });
}

export const count = (n, one, many) => `${number(n)} ${n === 1 ? one : many}`;

/** What an admin can do about an error of a call. */
export function problem({ code, message, asked }) {
  if (code === 2801) return "The server did not answer in time.";
  if (code === 2800 && /^HTTP \d/.test(message)) return `A proxy answered instead of the server (${message}).`;
  if (code === 2800) return "The server can't be reached.";
  const again = asked ? ` Try again in ${span(asked / 1000)}.` : "";
  if (code === 2996) return `The server received too many requests.${again}`;
  if (code === 60022) return `The server is not ready: ${message}.${again}`;
  if (!code) throw new Error(message); // an error of this page, not of a call
  return `${message[0]?.toUpperCase()}${message.slice(1)} (${code}).`;
}
