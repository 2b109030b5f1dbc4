/**
 * Scenarios for receiving notifications:
 * 1. When a subscribed user's status changes (including online status and user-defined status), this event will be triggered
 * 2. If the Friend Status Notification Switch is enabled in the console, even if you haven't actively subscribed, this event will be triggered when a friend's status changes
 * 3. When the same account logs in to multiple devices, if one device modifies the user-defined status, all devices will receive this event
 */
let onUserStatusUpdated = function(event) {
  console.log(event.data);
  const userStatusList = event.data;
  userStatusList.forEach((item) => {
    const { userID, statusType, customStatus } = item;
    // userID - User ID
    // statusType - User status, the enumerated values and descriptions are as follows:
    // TencentCloudChat.TYPES.USER_STATUS_UNKNOWN - Unknown
    // TencentCloudChat.TYPES.USER_STATUS_ONLINE - Online
    // TencentCloudChat.TYPES.USER_STATUS_OFFLINE - Offline
    // TencentCloudChat.TYPES.USER_STATUS_UNLOGINED - Not Logged In
    // customStatus - User Definition Status
  })
};
chat.on(TencentCloudChat.EVENT.USER_STATUS_UPDATED, onUserStatusUpdated);
