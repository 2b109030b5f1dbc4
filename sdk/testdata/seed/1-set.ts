// Set customStatus to an empty string '', this will clear your custom status
let promise = chat.setSelfStatus({customStatus: 'xxx'});
promise.then(function(imResponse) {
  console.log(imResponse.data);
  const { userID, statusType, customStatus } = imResponse.data;
  // userID - User ID
  // statusType - User status. The enumerated values and descriptions are as follows:
  // TencentCloudChat.TYPES.USER_STATUS_UNKNOWN - Unknown
  // TencentCloudChat.TYPES.USER_STATUS_ONLINE - Online
  // TencentCloudChat.TYPES.USER_STATUS_OFFLINE - Offline
  // TencentCloudChat.TYPES.USER_STATUS_UNLOGINED - Not Logged In
  // customStatus - User Custom Status
}).catch(function(imError) {
  console.warn('setSelfStatus error:', imError); // Failed to set user's custom status
});
