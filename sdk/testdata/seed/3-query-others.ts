// Query the status of others
let promise = chat.getUserStatus({userIDList: ['user0', 'user1']});
promise.then(function(imResponse) {
  const { successUserList, failureUserList } = imResponse.data;
  // List of users with successful queries
  successUserList.forEach((item) => {
    const { userID, statusType, customStatus } = item;
    // userID - User ID
    // statusType - User status, the enumerated values and descriptions are as follows:
    // TencentCloudChat.TYPES.USER_STATUS_UNKNOWN - Unknown
    // TencentCloudChat.TYPES.USER_STATUS_ONLINE - Online
    // TencentCloudChat.TYPES.USER_STATUS_OFFLINE - Offline
    // TencentCloudChat.TYPES.USER_STATUS_UNLOGINED - Not Logged In
    // customStatus - User Definition Status
  });
  // List of users with failed queries
  failureUserList.forEach((item) => {
    const { userID, code, message } = item;
    // userID - User ID of the failed query
    // code - Error code of the failed query
    // message - Error message of the failed query
  });
}).catch(function(imError) {
  console.warn('getUserStatus error:', imError); // Failed to obtain user status
});
