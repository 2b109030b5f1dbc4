// Unsubscribe from all current subscriptions
let promise = chat.unsubscribeUserStatus();
promise.then(function(imResponse) {
  const { failureUserList } = imResponse.data;
  // List of users with failed unsubscriptions
  failureUserList.forEach((item) => {
    const { userID, code, message } = item;
    // userID - User ID of the failed query
    // code - Error code of the failed query
    // message - Error message of the failed query
  });
}).catch(function(imError) {
  console.warn('unsubscribeUserStatus error:', imError); // Information related to the unsubscription failure
});
