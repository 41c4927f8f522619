//! The hosts of a simulation: how relays and clients come, go, and are found.

use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt;
use tribune_protocol::domain::role::Role;

use super::client::{self, SimClient};
use super::network::{client_address, relay_address};
use super::participant::{self, Listening, SimParticipant};
use super::relay::{RelaySpec, SimRelay};
use super::{ClientHandle, Host, HostId, ParticipantHandle, RelayHandle, Sim};

impl Sim {
    /// Adds a relay with parents to choose from, in order. It starts at once.
    pub fn relay(&mut self, name: &str, parents: &[RelayHandle]) -> RelayHandle {
        self.relay_with(name, parents, RelaySpec::default())
    }

    /// As [`Self::relay`], not with the usual settings.
    pub fn relay_with(
        &mut self,
        name: &str,
        parents: &[RelayHandle],
        spec: RelaySpec,
    ) -> RelayHandle {
        let id = HostId(self.hosts.len());
        let parents = parents.iter().map(|parent| relay_address(parent.0)).collect();
        let relay = SimRelay::new(id, name, relay_address(id), parents, spec, self.rng.random());
        self.insert(id, relay_address(id), Host::Relay(Box::new(relay)));
        self.start(RelayHandle(id));
        RelayHandle(id)
    }

    /// A relay that is not there yet, so that two can name each other; [`Self::adopt`] sets its
    /// parents, [`Self::start`] starts it.
    pub fn future_relay(&mut self, name: &str) -> RelayHandle {
        let id = HostId(self.hosts.len());
        let (address, spec) = (relay_address(id), RelaySpec::default());
        let relay = SimRelay::new(id, name, address, Vec::new(), spec, self.rng.random());
        self.insert(id, address, Host::Relay(Box::new(relay)));
        RelayHandle(id)
    }

    /// Gives a relay other parents, from its next start on.
    pub fn adopt(&mut self, relay: RelayHandle, parents: &[RelayHandle]) {
        let parents = parents.iter().map(|parent| relay_address(parent.0)).collect();
        self.relay_mut(relay).set_parents(parents);
    }

    /// Starts a relay, or starts it again, without any memory of an earlier life but its identity.
    pub fn start(&mut self, relay: RelayHandle) {
        let (base, now) = (self.base, self.now);
        self.relay_mut(relay).start(base, now);
        self.note(relay.0, "starts");
        self.turn(relay.0);
    }

    /// Ends a relay as `kill -9` does: no packet leaves it any more, none is answered.
    pub fn kill(&mut self, relay: RelayHandle) {
        self.relay_mut(relay).kill();
        self.note(relay.0, "is killed");
    }

    /// As SIGTERM does.
    pub fn drain(&mut self, relay: RelayHandle) {
        self.drain_to(relay, None, None);
    }

    /// Drains a relay, with another place or time than those of its settings.
    pub fn drain_to(
        &mut self,
        relay: RelayHandle,
        to: Option<RelayHandle>,
        within: Option<Duration>,
    ) {
        let now = self.instant();
        let to = to.map(|to| relay_address(to.0).to_string());
        self.note(relay.0, "drains");
        self.relay_mut(relay).drain(now, to, within);
        self.turn(relay.0);
    }

    /// Adds a client that does nothing yet.
    pub fn client(&mut self, name: &str) -> ClientHandle {
        let session = self.rng.random();
        self.client_with_session(name, session)
    }

    /// As [`Self::client`], with a session key of one's choice: the same one twice is one participant.
    pub fn client_with_session(&mut self, name: &str, session: [u8; 16]) -> ClientHandle {
        let id = HostId(self.hosts.len());
        let client = SimClient::new(id, name, session, self.rng.random());
        self.insert(id, client_address(id, 0), Host::Client(Box::new(client)));
        ClientHandle(id)
    }

    /// Connects a client to a relay, from a fresh address; what it had before is gone without a word.
    pub fn connect(&mut self, client: ClientHandle, relay: RelayHandle) {
        let (now, attempt) = (self.instant(), self.client_ref(client).attempts() + 1);
        self.move_to(client, client_address(client.0, attempt));
        self.client_mut(client).connect(now, relay_address(relay.0));
        self.turn(client.0);
    }

    /// From now on a client goes where a relay moves it, as the client library does: it joins there
    /// while the present relay serves, and listens to both until nothing is missing.
    pub fn follow_moves(&mut self, client: ClientHandle) {
        for address in client::handoff::addresses(client.0) {
            self.addresses.insert(address, client.0);
        }
        self.client_mut(client).set_follows_moves();
    }

    /// Address of a relay, as `HOST:PORT`.
    #[must_use]
    pub fn address(&self, relay: RelayHandle) -> String {
        relay_address(relay.0).to_string()
    }

    /// Gives a client another address, as a NAT does that forgets.
    pub fn rebind(&mut self, client: ClientHandle) {
        let port = self.client_ref(client).address().port() + 10_000;
        self.move_to(client, SocketAddr::new(client_address(client.0, 0).ip(), port));
    }

    /// Adds a participant who begins to join a room at a relay.
    pub fn participant(
        &mut self,
        name: &str,
        relay: RelayHandle,
        place: (&str, Role),
    ) -> ParticipantHandle {
        self.participant_with(name, relay, place, Listening::default())
    }

    /// As [`Self::participant`], for one who asks for a profile.
    pub fn participant_with(
        &mut self,
        name: &str,
        relay: RelayHandle,
        (room, role): (&str, Role),
        listening: Listening,
    ) -> ParticipantHandle {
        let id = HostId(self.hosts.len());
        let (now, seed) = (self.instant(), self.rng.random());
        let join = participant::join(name, room, role, self.rng.random());
        let joining = (join, listening);
        let participant = SimParticipant::new(now, id, &self.address(relay), joining, seed);
        self.insert(id, client_address(id, 0), Host::Participant(Box::new(participant)));
        for address in participant::addresses(id) {
            self.addresses.insert(address, id);
        }
        self.turn(id);
        ParticipantHandle(id)
    }

    /// A participant, for inspection.
    #[must_use]
    pub fn participant_ref(&self, participant: ParticipantHandle) -> &SimParticipant {
        match &self.hosts[participant.0.0] {
            Host::Participant(participant) => participant,
            Host::Relay(_) | Host::Client(_) => {
                panic!("host {} is no participant", participant.0.0)
            }
        }
    }

    /// A client, for inspection.
    #[must_use]
    pub fn client_ref(&self, client: ClientHandle) -> &SimClient {
        match &self.hosts[client.0.0] {
            Host::Client(client) => client,
            Host::Relay(_) | Host::Participant(_) => panic!("host {} is no client", client.0.0),
        }
    }

    /// A relay, for inspection.
    #[must_use]
    pub fn relay_ref(&self, relay: RelayHandle) -> &SimRelay {
        match &self.hosts[relay.0.0] {
            Host::Relay(relay) => relay,
            Host::Client(_) | Host::Participant(_) => panic!("host {} is no relay", relay.0.0),
        }
    }

    /// A relay, for its counters.
    pub fn relay_mut(&mut self, relay: RelayHandle) -> &mut SimRelay {
        match &mut self.hosts[relay.0.0] {
            Host::Relay(relay) => relay,
            Host::Client(_) | Host::Participant(_) => panic!("host {} is no relay", relay.0.0),
        }
    }

    fn insert(&mut self, id: HostId, address: SocketAddr, host: Host) {
        self.hosts.push(host);
        self.armed.push(None);
        self.spins.push((Duration::ZERO, 0));
        self.addresses.insert(address, id);
    }

    fn move_to(&mut self, client: ClientHandle, address: SocketAddr) {
        let old = self.client_ref(client).address();
        self.addresses.remove(&old);
        self.addresses.insert(address, client.0);
        self.client_mut(client).set_address(address);
    }

    pub(super) fn client_mut(&mut self, client: ClientHandle) -> &mut SimClient {
        match &mut self.hosts[client.0.0] {
            Host::Client(client) => client,
            Host::Relay(_) | Host::Participant(_) => panic!("host {} is no client", client.0.0),
        }
    }

    pub(super) fn participant_mut(
        &mut self,
        participant: ParticipantHandle,
    ) -> &mut SimParticipant {
        match &mut self.hosts[participant.0.0] {
            Host::Participant(participant) => participant,
            Host::Relay(_) | Host::Client(_) => {
                panic!("host {} is no participant", participant.0.0)
            }
        }
    }
}
