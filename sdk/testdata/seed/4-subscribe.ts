let promise = chat.subscribeUserStatus({userIDList: ['user0', 'user1']});
promise.then(function(imResponse) {
  const { failureUserList } = imResponse.data;
  // List of users with failed subscriptions
  failureUserList.forEach((item) => {
    const { userID, code, message } = item;
    // userID - User ID of the failed query
    // code - Error code of the failed query
    // message - Error message of the failed query
  });
}).catch(function(imError) {
  // Error information regarding the failure to subscribe to user status
  console.warn('subscribeUserStatus error:', imError);
});
