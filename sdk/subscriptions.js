// The users that this tab has subscribed to. The server keeps one list for each user, not for each tab, so a tab that unsubscribes
// asks the others first, and leaves what one of them holds. A tab that is gone doesn't answer, and so holds nothing.

export class Subscriptions {
  #held = new Set(); // userIDs
  #session;

  constructor(session) {
    this.#session = session;
  }

  get held() {
    return [...this.#held];
  }

  async subscribe(userIDList) {
    const added = userIDList.filter((userID) => !this.#held.has(userID));
    this.#hold(userIDList); // before the call, because another tab may ask meanwhile
    try {
      const data = await this.#session.callForAll("subscribeUserStatus", 100, userIDList);
      this.#release(data.failureUserList.map(({ userID }) => userID));
      this.#release(data.evictedUserList);
      return data;
    } catch (error) {
      this.#release(added);
      throw error;
    }
  }

  /** An empty list means all users. */
  async unsubscribe(userIDList) {
    const elsewhere = new Set((await this.#session.tabs.ask()).flatMap((held) => held ?? []));
    let free = userIDList;
    if (elsewhere.size) {
      if (!free.length) free = (await this.#session.call("subscriptions")).userList.map(({ userID }) => userID);
      free = free.filter((userID) => !elsewhere.has(userID));
    }
    const isNone = elsewhere.size && !free.length;
    const data = isNone ? { failureUserList: [] } : await this.#session.callForAll("unsubscribeUserStatus", 100, free);
    this.#release(userIDList.length ? userIDList : this.held);
    if (!isNone) this.#session.tabs.post({ event: "UNSUBSCRIBED", data: free });
    return data;
  }

  /** Subscribes again to users that this tab holds, but another tab has unsubscribed from without an answer of this one. */
  async restore(userIDList) {
    const lost = this.held.filter((userID) => !userIDList.length || userIDList.includes(userID));
    if (!lost.length) return;
    const answer = await this.subscribe(lost).catch(() => {});
    if (answer) this.#session.statuses.update(answer.successUserList);
  }

  #hold(userIDs) {
    for (const userID of userIDs) this.#held.add(userID);
  }

  #release(userIDs) {
    for (const userID of userIDs) this.#held.delete(userID);
  }
}
