// The users that this tab has subscribed to. The server keeps one list for each user, not for each tab, so a tab that
// unsubscribes asks the others first, and leaves what one of them holds. A tab that is gone doesn't answer, and so holds
// nothing.

export class Subscriptions {
  #chosen = new Set(); // userIDs, by subscribeUserStatus
  #watched = new Set(); // userIDs, by watch
  #session;

  constructor(session) {
    this.#session = session;
  }

  get held() {
    return [...this.#chosen, ...this.#watched];
  }

  async subscribe(userIDList) {
    const data = await this.#hold(this.#chosen, userIDList, true, () => this.#add(userIDList));
    for (const { userID } of failures(data)) this.#chosen.delete(userID);
    return data;
  }

  /** An empty list means all users. */
  unsubscribe(userIDList) {
    const userIDs = userIDList.length ? userIDList : [...this.#chosen];
    return this.#hold(this.#chosen, userIDs, false, () => this.#remove(userIDList));
  }

  /** Subscribes to the users that are watched now, and unsubscribes from those that no longer are. */
  async watch(userIDs) {
    const added = userIDs.filter((userID) => !this.#watched.has(userID));
    const removed = [...this.#watched].filter((userID) => !userIDs.includes(userID));
    if (added.length) {
      const data = await this.#hold(this.#watched, added, true, () => this.#add(added));
      for (const failure of failures(data)) this.#session.emit("ERROR", failure);
    }
    if (removed.length) await this.#hold(this.#watched, removed, false, () => this.#remove(removed));
  }

  /** Subscribes again to what this tab holds, and a tab has unsubscribed from without knowing that. */
  async restore(userIDList) {
    const lost = this.held.filter((userID) => !userIDList.length || userIDList.includes(userID));
    const answer = lost.length && (await this.#add(lost).catch(() => {}));
    if (answer) this.#session.statuses.update(answer.successUserList);
  }

  /** Holds users, or no longer, before the call: another tab may ask meanwhile. A call that failed changes nothing. */
  async #hold(holder, userIDs, isHeld, call) {
    const changed = userIDs.filter((userID) => holder.has(userID) !== isHeld);
    const set = (isHeld) => changed.forEach((userID) => holder[isHeld ? "add" : "delete"](userID));
    set(isHeld);
    try {
      return await call();
    } catch (error) {
      set(!isHeld);
      throw error;
    }
  }

  async #add(userIDList) {
    const { tabs, statuses } = this.#session;
    const data = await this.#session.callForAll("subscribeUserStatus", 100, userIDList);
    tabs.post({ event: "SEEN", data: data.successUserList });
    return { ...data, successUserList: statuses.note(data.successUserList) };
  }

  /** Unsubscribes from users whom nobody holds. An empty list means everybody. */
  async #remove(userIDList) {
    const { tabs, statuses, userID: self } = this.#session;
    const elsewhere = (await tabs.ask()).flatMap((held) => held ?? []);
    const kept = [...this.held, ...elsewhere];
    let free = userIDList;
    if (kept.length) {
      if (!free.length) free = (await this.#session.call("subscriptions")).userList.map(({ userID }) => userID);
      free = free.filter((userID) => !kept.includes(userID));
    }
    const isNone = kept.length && !free.length;
    const data = isNone ? { failureUserList: [] } : await this.#session.callForAll("unsubscribeUserStatus", 100, free);
    const here = [self, ...this.held];
    statuses.forget((userIDList.length ? userIDList : statuses.userIDs).filter((userID) => !here.includes(userID)));
    if (isNone) return data;
    tabs.post({ event: "UNSUBSCRIBED", data: free });
    await this.restore(free); // what was subscribed to meanwhile
    return data;
  }
}

/** The users who are not subscribed to, or no longer, each with a code and a message. */
const failures = ({ failureUserList, evictedUserList }) => [
  ...failureUserList,
  ...evictedUserList.map((userID) => ({ userID, code: 70398, message: "evicted" })),
];
