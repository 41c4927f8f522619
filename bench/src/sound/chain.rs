//! The chain of a run in the simulated network: speakers, three relays, a listener, and links that can be
//! made faulty.

use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::TrackId;
use tribune_tests::sim::relay::RelaySpec;
use tribune_tests::sim::tree::{ROOM, SETTLES};
use tribune_tests::sim::{HostId, ParticipantHandle, RelayHandle, Sim};

use super::condition::{Condition, Neighbours};
use super::profile::Profile;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Chain {
    sim: Sim,
    condition: Condition,
    relays: [RelayHandle; 3],
    speakers: Vec<ParticipantHandle>,
    listener: ParticipantHandle,
}

impl Chain {
    /// A chain in which everybody is in the room and nothing is wrong yet.
    pub(crate) fn build(seed: u64, condition: Condition, profile: Profile) -> Self {
        let mut sim = Sim::new(seed);
        sim.network.set_usual(Condition::near());
        // As few as the room needs, so that nothing but a loss keeps a track out.
        let spec =
            RelaySpec { top_n: usize::from(condition.speakers).max(4), ..RelaySpec::default() };
        let origin = sim.relay_with("origin", &[], spec.clone());
        let mid = sim.relay_with("mid", &[origin], spec.clone());
        let leaf = sim.relay_with("leaf", &[mid], spec);
        sim.run_until("the chain is up", SETTLES, |sim| sim.relay_ref(leaf).path().len() == 3);
        let role = |n| if n == 0 { Role::Host } else { Role::Speaker };
        let speakers: Vec<_> = (0..condition.speakers)
            .map(|n| sim.participant(&format!("speaker-{n}"), origin, (ROOM, role(n))))
            .collect();
        let listening = profile.listening();
        let listener = sim.participant_with("listener", leaf, (ROOM, Role::Listener), listening);
        let mut chain = Self { sim, condition, relays: [origin, mid, leaf], speakers, listener };
        chain.set_fault(false);
        let (speakers, listener) = (chain.speakers.clone(), chain.listener);
        chain.sim.run_until("everybody is in the room", SETTLES, |sim| {
            let may_speak =
                |speaker: &ParticipantHandle| sim.participant_ref(*speaker).track().is_some();
            sim.participant_ref(listener).is_in_room() && speakers.iter().all(may_speak)
        });
        chain
    }

    /// Makes the condition's hops faulty, or whole again.
    pub(crate) fn set_fault(&mut self, has_fault: bool) {
        let link = self.condition.link(has_fault);
        for (one, other) in self.faulty_links() {
            self.sim.network.set_link(one, other, link);
        }
    }

    /// Cuts the condition's hops, or lets them carry again.
    pub(crate) fn set_cut(&mut self, is_cut: bool) {
        for (one, other) in self.faulty_links() {
            self.sim.network.set_cut(one, other, is_cut);
        }
    }

    pub(crate) const fn sim(&mut self) -> &mut Sim {
        &mut self.sim
    }

    pub(crate) fn speakers(&self) -> &[ParticipantHandle] {
        &self.speakers
    }

    /// Speakers and the listener.
    pub(crate) fn participants(&self) -> Vec<ParticipantHandle> {
        self.speakers.iter().copied().chain([self.listener]).collect()
    }

    pub(crate) fn track(&self, speaker: ParticipantHandle) -> Option<TrackId> {
        self.sim.participant_ref(speaker).track()
    }

    pub(crate) const fn listener(&self) -> ParticipantHandle {
        self.listener
    }

    /// Frames that were missing at some hop and came to it after all, so far.
    pub(crate) fn repaired(&mut self) -> u64 {
        let at_the_listener = self.sim.participant_ref(self.listener).link().repairs.repaired;
        let relays = self.relays.map(|relay| {
            let counters = self.sim.relay_mut(relay).shard_counters();
            counters.iter().map(|shard| shard.frames_repaired.total()).sum::<u64>()
        });
        at_the_listener + relays.iter().sum::<u64>()
    }

    fn faulty_links(&self) -> Vec<(HostId, HostId)> {
        let [origin, mid, leaf] = self.relays.map(|relay| relay.0);
        let links = self.condition.hop.between().iter().flat_map(|neighbours| match neighbours {
            Neighbours::SpeakerOrigin => {
                self.speakers.iter().map(|speaker| (speaker.0, origin)).collect()
            }
            Neighbours::OriginMid => vec![(origin, mid)],
            Neighbours::MidLeaf => vec![(mid, leaf)],
            Neighbours::LeafListener => vec![(leaf, self.listener.0)],
        });
        links.collect()
    }
}
