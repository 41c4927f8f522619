//! Stand-in until the real one lands.
use serde::{Deserialize, Serialize};
macro_rules! actions { ($($name:ident $word:literal),* $(,)?) => {
/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum LogAction { $($name),* }
impl LogAction { /// The word.
 pub const fn as_str(self) -> &'static str { match self { $(Self::$name => $word),* } } }
} }
actions!(RoomCreated "room_created", RoomOpened "room_opened", RoomEnded "room_ended", RoomChanged "room_changed", Locked "locked", Unlocked "unlocked", AskedToMute "asked_to_mute", Silenced "silenced", Unsilenced "unsilenced", AllSilenced "all_silenced", AllUnsilenced "all_unsilenced", RemovedFromStage "removed_from_stage", Kicked "kicked", Banned "banned", Unbanned "unbanned", BanRanOut "ban_ran_out", HandGranted "hand_granted", HandDenied "hand_denied", HandsCleared "hands_cleared", HandsClosed "hands_closed", HandsOpened "hands_opened", InvitedToSpeak "invited_to_speak", RoleChanged "role_changed", PermissionChanged "permission_changed", HostHandedOver "host_handed_over", HostSucceeded "host_succeeded", InvitationMade "invitation_made", Appealed "appealed", AppealUpheld "appeal_upheld", AppealRejected "appeal_rejected");
