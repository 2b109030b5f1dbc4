// What a tab knows about users. After a status was reported, none of the same user with a lower version is.

export class Statuses {
  // userID → {status, newest: its version, reported: the version reported last, hidden: reported as UNKNOWN since, shown}
  #known = new Map();
  #report;
  #change;

  /** report is called with each list of new statuses, change with each status that of() returns from now on. */
  constructor(report, change) {
    this.#report = report;
    this.#change = change;
  }

  /** What is known of a user: the same frozen object until it changes. */
  of(userID) {
    return this.#known.get(userID)?.shown;
  }

  /** Returns the statuses of a response, or newer ones that are known. */
  note(statuses) {
    return statuses.map((status) => {
      const known = this.#known.get(status.userID);
      if (known?.newest > status.version) return { ...known.status };
      this.#keep({ reported: -1, ...known, status, newest: status.version });
      return { ...status };
    });
  }

  /** Reports the statuses that are neither older than a response nor reported already. */
  update(statuses) {
    const news = statuses.filter((status) => {
      const { userID, version } = status;
      const known = this.#known.get(userID);
      if (version < known?.newest || (version <= known?.reported && !known.hidden)) return false;
      this.#keep({ status, newest: version, reported: version });
      return true;
    });
    if (news.length) this.#report(news.map((status) => ({ ...status })));
  }

  /** Records as reported what the page receives in another way. */
  skip({ userID, version }) {
    this.#known.get(userID).reported = version;
  }

  /** Accepts lower versions from now on, because they may be of another history. */
  restart() {
    for (const known of this.#known.values()) known.newest = known.reported = -1;
  }

  forget(userIDs) {
    for (const userID of userIDs) this.#known.delete(userID);
  }

  get userIDs() {
    return [...this.#known.keys()];
  }

  get hidden() {
    return this.userIDs.filter((userID) => this.#known.get(userID).hidden);
  }

  /** Reports all users as UNKNOWN. */
  hide() {
    const hidden = [];
    for (const known of this.#known.values()) {
      known.hidden = known.status.statusType > 0;
      this.#keep(known);
      if (known.hidden) hidden.push({ ...known.shown });
    }
    if (hidden.length) this.#report(hidden);
  }

  #keep(known) {
    const { status, hidden } = known;
    const { userID, version } = status;
    const now = hidden ? { userID, statusType: 0, customStatus: "", version } : status;
    const before = this.of(userID);
    known.shown = before;
    this.#known.set(userID, known);
    if (JSON.stringify(now) === JSON.stringify(before)) return;
    known.shown = Object.freeze({ ...now });
    this.#change?.(known.shown);
  }
}
