// What a tab knows about users. After a status was reported, none of the same user with a lower version is.

export class Statuses {
  // userID → {status, newest: its version, reported: the version reported last, hidden: reported as UNKNOWN since}
  #known = new Map();
  #report;

  /** report is called with each list of new statuses. */
  constructor(report) {
    this.#report = report;
  }

  /** Returns the statuses of a response, or newer ones that are known. */
  note(statuses) {
    return statuses.map((status) => {
      const known = this.#known.get(status.userID);
      if (known?.newest > status.version) return { ...known.status };
      this.#known.set(status.userID, { reported: -1, ...known, status, newest: status.version });
      return { ...status };
    });
  }

  /** Reports the statuses that are neither older than a response nor reported already. */
  update(statuses) {
    const news = statuses.filter((status) => {
      const { userID, version } = status;
      const known = this.#known.get(userID);
      if (version < known?.newest || (version <= known?.reported && !known.hidden)) return false;
      this.#known.set(userID, { status, newest: version, reported: version });
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
    const unknown = [];
    for (const known of this.#known.values()) {
      const { userID, statusType, version } = known.status;
      known.hidden = statusType > 0;
      if (known.hidden) unknown.push({ userID, statusType: 0, customStatus: "", version });
    }
    if (unknown.length) this.#report(unknown);
  }
}
