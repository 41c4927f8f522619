//! A decision about oneself in a sentence: action, end, reason, and how to appeal. Part of [`super::Change`].

use tribune_protocol::domain::ruling::Moderated;
use tribune_protocol::ids::DisplayName;
use tribune_protocol::log::LogAction;

use crate::words;

/// A decision about you: action, end, reason, and how to appeal.
pub(super) fn sentence_about_you(moderated: &Moderated) -> String {
    let by = moderated.by.as_ref().map_or("the relay", DisplayName::as_str);
    let what = moderated.action.map_or("did what only a later version can name", about_you);
    let until = match moderated.until_s {
        0 => String::new(),
        until_s => format!(" until {}", words::utc(until_s)),
    };
    let why = match moderated.reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    let entry = match moderated.entry {
        0 => String::new(),
        entry => format!(" (log entry {entry}; `tribune appeal create` can appeal against it)"),
    };
    format!("{by} {what}{until}{why}{entry}")
}

/// An action on you, as the continuation of its actor's name.
const fn about_you(action: LogAction) -> &'static str {
    match action {
        LogAction::RoomCreated => "created the room",
        LogAction::RoomOpened => "opened the room",
        LogAction::RoomEnded => "ended the room",
        LogAction::RoomChanged => "changed the room",
        LogAction::Locked => "locked the room",
        LogAction::Unlocked => "unlocked the room",
        LogAction::AskedToMute => "asked you to mute",
        LogAction::Silenced => "silenced you",
        LogAction::Unsilenced => "lets you be heard again",
        LogAction::AllSilenced => "silenced everybody",
        LogAction::AllUnsilenced => "lets everybody be heard again",
        LogAction::RemovedFromStage => "moved you off the stage",
        LogAction::Kicked => "removed you from the room",
        LogAction::Banned => "banned you from the room",
        LogAction::Unbanned => "lifted your ban",
        LogAction::BanRanOut => "let your ban run out",
        LogAction::HandGranted => "granted your hand",
        LogAction::HandDenied => "denied your hand",
        LogAction::HandsCleared => "lowered all hands",
        LogAction::HandsClosed => "closed the queue of hands",
        LogAction::HandsOpened => "opened the queue of hands",
        LogAction::InvitedToSpeak => "invited you to speak",
        LogAction::RoleChanged => "changed your role",
        LogAction::PermissionChanged => "changed what you may do",
        LogAction::HostHandedOver => "handed the room over to you",
        LogAction::HostSucceeded => "made you the host",
        LogAction::InvitationMade => "made an invitation for you",
        LogAction::Appealed => "noted your appeal",
        LogAction::AppealUpheld => "upheld your appeal",
        LogAction::AppealRejected => "rejected your appeal",
        LogAction::TextHidden => "hid a text of yours",
    }
}
