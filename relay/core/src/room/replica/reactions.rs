//! Reactions: added up at each relay and said upwards once a second at most; the origin says the
//! totals downwards as often. Nobody learns whose they were, and what travels does not grow with the
//! audience. Used by [`crate::room::Room`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::control::trunk::{ToChild, ToParent};
use tribune_protocol::domain::room::Reaction;

use crate::outbox::{Noted, Outbox};
use crate::room::{Place, Room};

/// Reactions travel this often at most.
const REACTION_PERIOD: Duration = Duration::from_secs(1);

/// Reactions that wait to be said.
#[derive(Debug, Default)]
pub(in crate::room) struct Reactions {
    waiting: BTreeMap<Reaction, u32>,
    /// Not before then.
    say_from: Option<Instant>,
}

impl Reactions {
    pub(in crate::room) fn due(&self) -> Option<Instant> {
        self.say_from.filter(|_| !self.waiting.is_empty())
    }

    fn add(&mut self, now: Instant, reaction: Reaction, count: u32) {
        if reaction == Reaction::Unknown || count == 0 {
            return;
        }
        let waiting = self.waiting.entry(reaction).or_default();
        *waiting = waiting.saturating_add(count);
        self.say_from.get_or_insert(now);
    }
}

impl Room {
    /// A relay below says what has been sent there.
    pub fn handle_reactions_below(
        &mut self,
        now: Instant,
        counts: &BTreeMap<Reaction, u32>,
        out: &mut Outbox,
    ) {
        for (reaction, count) in counts {
            self.reactions.add(now, *reaction, *count);
        }
        self.say_reactions(now, out);
    }

    /// The origin says what has been sent in the whole tree.
    pub fn handle_reactions(&mut self, counts: BTreeMap<Reaction, u32>, out: &mut Outbox) {
        for (link, child) in &self.children {
            let (channel, counts) = (child.channel, counts.clone());
            out.to_child(*link, &ToChild::Reactions { channel, counts });
        }
        out.to_participants(self.id, self.shards(), &ToParticipant::Reactions { counts });
    }

    /// A member has sent one.
    pub(in crate::room) fn add_reaction(
        &mut self,
        now: Instant,
        reaction: Reaction,
        out: &mut Outbox,
    ) {
        out.note(Noted::Reaction);
        self.reactions.add(now, reaction, 1);
        self.say_reactions(now, out);
    }

    /// Says what waits, if it is time: upwards or, on the origin, downwards.
    pub(in crate::room) fn say_reactions(&mut self, now: Instant, out: &mut Outbox) {
        if self.reactions.due().is_none_or(|due| now < due) {
            return;
        }
        let counts = std::mem::take(&mut self.reactions.waiting);
        self.reactions.say_from = Some(now + REACTION_PERIOD);
        match self.place {
            Place::Origin(_) => self.handle_reactions(counts, out),
            Place::Below { link: Some((_, channel)), .. } => {
                out.to_parent(&ToParent::Reactions { channel, counts });
            }
            // Applause that nobody can hear is over.
            Place::Below { link: None, .. } => {}
        }
    }
}
