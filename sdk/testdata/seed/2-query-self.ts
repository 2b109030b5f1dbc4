// Check your own user status
// userIDList includes only your own userID to query your own status
let promise = chat.getUserStatus({userIDList: [`${myUserID}`]});
promise.then(function(imResponse) {
  const { successUserList } = imResponse.data;
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
}).catch(function(imError) {
  console.warn('getUserStatus error:', imError); // Failed to obtain user status
});
