//! Trees and rooms that many tests begin with.

use std::time::Duration;

use tribune_protocol::domain::role::Role;

use super::relay::RelaySpec;
use super::{ClientHandle, RelayHandle, Sim};

/// The room of all tests.
pub const ROOM: &str = "stage";
/// Time that a tree may take to come up, or a join to be answered. On rough links a handshake that loses
/// several packets in a row takes many seconds.
pub const SETTLES: Duration = Duration::from_secs(20);

/// One origin, two mid relays, four leaves.
#[derive(Debug, Clone)]
pub struct Tree {
    /// The root.
    pub origin: RelayHandle,
    /// Its children.
    pub mids: [RelayHandle; 2],
    /// Theirs, in order.
    pub leaves: [RelayHandle; 4],
}

impl Tree {
    /// A tree in which each leaf has the other mid relay as standby, attached.
    pub fn build(sim: &mut Sim, spec: &RelaySpec) -> Self {
        let origin = sim.relay_with("origin", &[], spec.clone());
        let mids = ["mid-1", "mid-2"].map(|name| sim.relay_with(name, &[origin], spec.clone()));
        let [a, b] = mids;
        let leaves =
            [("leaf-1", [a, b]), ("leaf-2", [a, b]), ("leaf-3", [b, a]), ("leaf-4", [b, a])]
                .map(|(name, parents)| sim.relay_with(name, &parents, spec.clone()));
        let tree = Self { origin, mids, leaves };
        let all = tree.relays();
        sim.run_until("the tree is up", SETTLES, |sim| {
            all.iter().all(|relay| !sim.relay_ref(*relay).path().is_empty())
        });
        tree
    }

    /// All seven.
    #[must_use]
    pub fn relays(&self) -> Vec<RelayHandle> {
        let [a, b] = self.mids;
        let [c, d, e, f] = self.leaves;
        vec![self.origin, a, b, c, d, e, f]
    }
}

impl Sim {
    /// A client that has joined [`ROOM`] at a relay.
    pub fn joined(&mut self, name: &str, relay: RelayHandle, role: Role) -> ClientHandle {
        let client = self.client(name);
        self.enter(client, relay, role);
        client
    }

    /// Connects a client and has it join [`ROOM`], and waits for the answer.
    pub fn enter(&mut self, client: ClientHandle, relay: RelayHandle, role: Role) {
        self.connect(client, relay);
        self.with(client, |client| client.join(ROOM, role));
        self.await_joined(&[client]);
    }

    /// Clients that join [`ROOM`] at the same time, spread over relays in turn.
    pub fn audience(&mut self, relays: &[RelayHandle], count: usize) -> Vec<ClientHandle> {
        let clients: Vec<_> = (0..count).map(|n| self.client(&format!("listener-{n}"))).collect();
        for (client, relay) in clients.iter().zip(relays.iter().cycle()) {
            self.connect(*client, *relay);
            self.with(*client, |client| client.join(ROOM, Role::Listener));
        }
        self.await_joined(&clients);
        clients
    }

    /// Waits until clients have joined.
    pub fn await_joined(&mut self, clients: &[ClientHandle]) {
        self.run_until("all have joined", SETTLES, |sim| {
            clients.iter().all(|client| sim.client_ref(*client).joined().is_some())
        });
    }
}
