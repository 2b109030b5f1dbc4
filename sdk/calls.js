// One call of the API, and what counts as a response of a presence server.

import { retryAfter, spread, timer } from "./pauses.js";

export const TIMEOUT = 15_000; // ms

export const fail = (code, message = "", data = {}) => Object.assign(Error(message), { code, data });

// A 401 with one of these codes ends the login, with that type of KICKED_OUT. A gateway's or a portal's 401 doesn't.
export const EXPIRED = "userSigExpired";
const ENDINGS = { 70001: EXPIRED, 70002: EXPIRED, 70003: EXPIRED, 70014: EXPIRED, 70052: "REST_API_Kick" };

/** What fetch needs to send a token; an empty token means the cookies of the page. */
export const sending = (token, headers) =>
  token ? { headers: { ...headers, Authorization: `Bearer ${token}` } } : { headers, credentials: "include" };

/** Returns the envelope in a response, or one with code 2800 if it is not from a presence server. */
export async function answerOf(response) {
  const { status } = response;
  const { code, message, data } = (await response.json().catch(() => {})) ?? {};
  if (!Number.isInteger(code) || (!code && !data)) return { code: 2800, message: `HTTP ${status}` };
  return { code, message, data, ending: status === 401 ? ENDINGS[code] : undefined };
}

/** Returns the data of the response to a POST, or to a GET if body is undefined. After 429 it tries once more. */
export async function call(url, token, body, isLast) {
  const response = await fetch(url, {
    method: body ? "POST" : "GET",
    ...sending(token, { "Content-Type": "application/json" }),
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(TIMEOUT),
  }).catch((error) => {
    throw fail(error.name === "TimeoutError" ? 2801 : 2800, error.message);
  });
  const { status, headers } = response;
  if (status === 429 && !isLast) {
    await new Promise((resolve) => timer(resolve, spread(500, retryAfter(headers, 5000))));
    return call(url, token, body, true);
  }
  const { code, message, data, ending } = await answerOf(response);
  if (!code) return data;
  throw Object.assign(fail(status === 429 ? 2996 : code, message, data), { ending, asked: retryAfter(headers) });
}
