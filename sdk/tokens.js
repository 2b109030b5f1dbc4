// The tokens of a login, which serve all tabs.

export class Tokens {
  list; // the newest last

  constructor(tokens = []) {
    this.list = [...tokens];
  }

  get isEmpty() {
    return !this.list.length;
  }

  get newest() {
    return this.list.at(-1);
  }

  /** Adds the missing tokens. Few are kept: the newest is used, and the others only if it expires before them. */
  add(tokens) {
    this.list.push(...tokens.filter((token) => !this.list.includes(token)));
    this.list.splice(0, this.list.length - 3);
  }

  /** Returns false if there is no such token. */
  drop(token) {
    const i = this.list.indexOf(token);
    return i >= 0 && this.list.splice(i, 1);
  }

  /** When the newest expires, in ms since 1970: the `exp` of a JWT (RFC 7519). Undefined or NaN if it doesn't say. */
  get expiry() {
    try {
      const claims = this.newest.split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
      return 1000 * JSON.parse(atob(claims)).exp;
    } catch {}
  }
}
