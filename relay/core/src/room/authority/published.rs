//! The state that is published: phase, settings, stage; and the numbers of tracks.

use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::room::{Phase, RoomState};
use tribune_protocol::domain::settings::RoomSettings;
use tribune_protocol::domain::stage::StageEntry;
use tribune_protocol::ids::{DisplayName, ParticipantId, RoomName, TrackId};

/// A room as every relay gets it. A change takes effect with the next
/// [`Effects::publish`](super::effect::Effects::publish), which the caller queues.
#[derive(Debug, Clone)]
pub(in crate::room) struct Published {
    state: RoomState,
    /// Next track to be given: none is given twice.
    next_track: u32,
}

impl Published {
    /// A state of which tracks below `next_track` have been given.
    pub(super) const fn new(state: RoomState, next_track: u32) -> Self {
        Self { state, next_track }
    }

    pub(in crate::room) const fn state(&self) -> &RoomState {
        &self.state
    }

    pub(super) const fn name(&self) -> &RoomName {
        &self.state.room
    }

    pub(super) const fn phase(&self) -> Phase {
        self.state.phase
    }

    pub(super) fn set_phase(&mut self, phase: Phase) {
        self.state.phase = phase;
    }

    pub(super) const fn settings(&self) -> &RoomSettings {
        &self.state.settings
    }

    pub(super) fn set_settings(&mut self, settings: RoomSettings) {
        self.state.settings = settings;
    }

    pub(super) fn stage(&self) -> &[StageEntry] {
        &self.state.stage
    }

    pub(super) fn on_stage(&self, who: ParticipantId) -> Option<&StageEntry> {
        self.state.on_stage(who)
    }

    pub(super) fn is_on_stage(&self, who: ParticipantId) -> bool {
        self.state.on_stage(who).is_some()
    }

    /// The role of a participant on the stage.
    pub(super) fn role(&self, who: ParticipantId) -> Option<Role> {
        self.state.on_stage(who).map(|entry| entry.role)
    }

    /// The host's place on the stage.
    pub(super) fn host(&self) -> Option<&StageEntry> {
        self.state.stage.iter().find(|entry| entry.role == Role::Host)
    }

    pub(super) const fn next_track(&self) -> u32 {
        self.next_track
    }

    /// Gives the next track.
    pub(super) fn take_track(&mut self) -> TrackId {
        let track = TrackId(self.next_track);
        self.next_track += 1;
        track
    }

    /// Whether all tracks have been given.
    pub(super) const fn is_out_of_tracks(&self) -> bool {
        self.next_track == u32::MAX
    }

    /// Gives all tracks at once.
    #[cfg(test)]
    pub(in crate::room) fn use_up_tracks(&mut self) {
        self.next_track = u32::MAX;
    }

    /// Adds a place, by track the last.
    pub(super) fn add(&mut self, entry: StageEntry) {
        self.state.stage.push(entry);
    }

    /// Takes a place off the stage.
    pub(super) fn remove(&mut self, who: ParticipantId) -> Option<StageEntry> {
        let at = self.state.stage.iter().position(|entry| entry.participant == who)?;
        Some(self.state.stage.remove(at))
    }

    /// Changes the role of a place. Returns whether there is one.
    pub(super) fn set_role(&mut self, who: ParticipantId, role: Role) -> bool {
        self.entry_mut(who).map(|entry| entry.role = role).is_some()
    }

    /// Marks a place as kept or taken. Returns whether there is one.
    pub(super) fn set_away(&mut self, who: ParticipantId, away: bool) -> bool {
        self.entry_mut(who).map(|entry| entry.away = away).is_some()
    }

    /// Says whether a microphone is off. Returns whether that changes anything; `None` without a
    /// place.
    pub(super) fn set_muted(&mut self, who: ParticipantId, muted: bool) -> Option<bool> {
        let entry = self.entry_mut(who)?;
        Some(std::mem::replace(&mut entry.muted, muted) != muted)
    }

    /// Has every relay drop a participant's frames, or lets them pass again. Returns whether that
    /// changes anything.
    pub(super) fn set_silenced(&mut self, who: ParticipantId, on: bool) -> bool {
        let Some(entry) = self.entry_mut(who) else { return false };
        std::mem::replace(&mut entry.silenced, on) != on
    }

    /// The origin has been away: marks every place as kept. Returns their holders.
    pub(super) fn all_away(&mut self) -> Vec<ParticipantId> {
        for entry in &mut self.state.stage {
            entry.away = true;
        }
        self.state.stage.iter().map(|entry| entry.participant).collect()
    }

    /// Begins another run of the room.
    pub(super) fn begin_run(&mut self) {
        self.state.run += 1;
    }

    /// Names the host.
    pub(super) fn set_host_name(&mut self, name: Option<DisplayName>) {
        self.state.host = name;
    }

    /// Ends the room: an empty stage, and neither a lock nor a start for the next room of that name.
    pub(super) fn end(&mut self) {
        self.state.phase = Phase::Ended;
        self.state.stage.clear();
        self.state.settings.locked = false;
        self.state.settings.starts_s = 0;
    }

    fn entry_mut(&mut self, who: ParticipantId) -> Option<&mut StageEntry> {
        self.state.stage.iter_mut().find(|entry| entry.participant == who)
    }
}
