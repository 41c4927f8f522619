//! Counts of a room on their way: who comes and goes here, tallies, sketches and speech up to the origin. Across the wings: the edge counts, the replica carries, the authority's
//! statistics add up. Borrowed from a [`Room`](super::Room) for one input.

use std::collections::BTreeMap;
use std::time::Instant;

use tribune_protocol::control::participant::{Questions, ToParticipant};
use tribune_protocol::control::trunk::ToParent;
use tribune_protocol::domain::reaction::Reaction;
use tribune_protocol::domain::room::Phase;
use tribune_protocol::domain::way::Way;
use tribune_protocol::ids::{ByteString, Channel, ParticipantId, TrackId};
use tribune_protocol::limits::MAX_STAGE;
use tribune_protocol::quality::Quality;
use tribune_protocol::quality::report::Report;
use tribune_protocol::statistics::tally::RelayTally;

use super::authority::commit::Authority;
use super::context::RoomContext;
use super::edge::Edge;
use super::edge::counts::{Arrival, Counts};
use super::edge::join::Admission;
use super::replica::Replica;
use crate::counters::Transport;
use crate::messages::{LinkId, RoomId};
use crate::outbox::{Noted, Outbox};

/// Parts of a room that counts go through.
#[derive(Debug)]
pub(crate) struct Counting<'a> {
    pub(super) now: Instant,
    pub(super) id: RoomId,
    pub(super) context: &'a RoomContext,
    pub(super) edge: &'a mut Edge,
    pub(super) replica: &'a mut Replica,
    pub(super) authority: Option<&'a mut Authority>,
}

impl Counting<'_> {
    /// Somebody has been let in.
    pub(super) fn arrive(&mut self, who: ParticipantId, admission: &Admission, out: &mut Outbox) {
        let share = admission.share.as_ref().and_then(|text| {
            let opened = text.open(self.replica.state().share_key.as_ref()?);
            if opened.is_err() {
                out.note(Noted::ShareRefused);
            }
            opened.ok()
        });
        let way = admission.way.or(Some(way_of(admission.transport)));
        if let Some(member) = self.edge.members_mut().get_mut(who) {
            member.set_came_by(share.clone());
            self.replica.tallies().add_person(&member.person().subject(who));
        }
        let arrival = Arrival { way, share, stayed: admission.stayed };
        let now = self.now;
        self.counts().arrive(now, who, arrival);
        self.send(out);
        let questions = self.replica.texts().questions();
        if *questions != Questions::default() {
            let message = ToParticipant::Questions(questions.clone());
            out.to_participant(admission.link, None, &message);
        }
    }

    /// Somebody who was in has left, or has lost the connection.
    pub(super) fn leave(&mut self, who: ParticipantId, is_lost: bool, out: &mut Outbox) {
        let now = self.now;
        self.counts().leave(now, who, is_lost);
        self.send(out);
    }

    /// A reaction of a member has been taken.
    pub(super) fn react(&mut self, reaction: Reaction, out: &mut Outbox) {
        self.counts().react(reaction);
        self.send(out);
    }

    /// Tally of a relay below.
    pub(crate) fn handle_tally(&mut self, tally: RelayTally, out: &mut Outbox) {
        let counts = match &mut self.authority {
            Some(authority) => authority.counts().handle_tally(self.now, tally),
            None => {
                let run = self.replica.state().run;
                let takes = self.replica.tallies().take(tally.clone(), run);
                if let Some(channel) = self.replica.channel().filter(|_| takes) {
                    out.to_parent(&ToParent::Tally { channel, tally });
                }
                takes
            }
        };
        if !counts {
            out.note(Noted::TallyRefused);
        }
        self.send(out);
    }

    /// Reactions at a relay below.
    pub(crate) fn handle_reactions_below(
        &mut self,
        counts: &BTreeMap<Reaction, u32>,
        out: &mut Outbox,
    ) {
        for (reaction, count) in counts {
            self.replica.reactions().add(self.now, *reaction, *count);
        }
        self.replica.send_reactions(self.now, out);
    }

    /// Quality at a relay below.
    pub(crate) fn handle_quality_below(
        &mut self,
        link: LinkId,
        quality: &Quality,
        out: &mut Outbox,
    ) {
        if self.replica.merge_quality(self.now, link, quality) {
            self.replica.send_quality(self.now, out);
            self.count_quality(quality);
        }
    }

    /// A report of a member here has been taken.
    pub(super) fn report(&mut self, report: &Report, out: &mut Outbox) {
        self.replica.add_report(self.now, report);
        self.replica.send_quality(self.now, out);
        let mut quality = Quality::default();
        quality.add(report);
        self.count_quality(&quality);
    }

    /// Sketch of persons at a relay below, and below that.
    pub(crate) fn handle_sketch(&mut self, sketch: &ByteString, out: &mut Outbox) {
        let is_one = match &mut self.authority {
            Some(authority) => authority.counts().handle_sketch(self.now, sketch),
            None => self.replica.tallies().merge_persons(&sketch.0).is_ok(),
        };
        if !is_one {
            out.note(Noted::TallyRefused);
        }
        self.send(out);
    }

    /// Speech of one second, at this relay or one below.
    pub(crate) fn handle_talk(
        &mut self,
        at_s: u64,
        tracks: BTreeMap<TrackId, u64>,
        out: &mut Outbox,
    ) {
        if tracks.len() > MAX_STAGE {
            return out.note(Noted::TallyRefused);
        }
        match &mut self.authority {
            Some(authority) => authority.counts().handle_talk(self.now, at_s, tracks),
            None => {
                if let Some(channel) = self.replica.channel() {
                    out.to_parent(&ToParent::Talk { channel, at_s, tracks });
                }
            }
        }
    }

    /// There is a new parent, which knows nothing.
    pub(super) fn begin_anew(&mut self, channel: Channel, out: &mut Outbox) {
        let run = self.replica.state().run;
        self.replica.tallies().begin_anew(channel, run, out);
        self.counts().note_unsent();
        self.send(out);
    }

    /// Takes over a state: another run begins to be counted, or the present one ends and is counted to its end.
    pub(super) fn follow_state(&mut self, was: Phase, out: &mut Outbox) {
        let state = self.replica.state();
        if state.phase == Phase::Live && self.edge.counts().run() != state.run {
            let (run, life) = (state.run, self.context.wall.unix_us(self.now) / 1_000);
            *self.edge.counts() = Counts::new(self.now, life, run);
            self.replica.begin_run();
        }
        if was == Phase::Live && self.replica.state().phase != Phase::Live {
            let now = self.now;
            self.counts().leave_all(now);
            self.send_tally(out);
            self.send_sketch(out);
        }
    }

    /// Sends on what is due.
    pub(super) fn send(&mut self, out: &mut Outbox) {
        let tally = tally_due(self.edge, self.replica, self.authority.is_some());
        if tally.is_some_and(|due| due <= self.now) {
            self.send_tally(out);
        }
        let has_way = self.authority.is_some() || self.replica.channel().is_some();
        let sketch = self.replica.tallies().sketch_due(self.now);
        if sketch.is_some_and(|due| due <= self.now) && has_way {
            self.send_sketch(out);
        }
        let total = self.authority.as_ref().map(|authority| authority.counted().texts());
        if let Some(news) = self.replica.texts().take_due(self.now, total) {
            match (&self.authority, self.replica.channel()) {
                (Some(_), _) => self.spread_texts(&news, out),
                (None, Some(channel)) => {
                    out.to_parent(&ToParent::Texts { channel, texts: news.texts });
                }
                // Without a way to the stage they are counted, and not shown.
                (None, None) => {}
            }
        }
        let now = self.now;
        if let Some(questions) =
            self.authority.as_mut().and_then(|it| it.counts().poll_questions(now))
        {
            self.handle_questions(questions, out);
        }
    }

    fn count_quality(&mut self, quality: &Quality) {
        if let Some(authority) = &mut self.authority {
            authority.counts().handle_quality(quality);
        }
    }

    fn send_tally(&mut self, out: &mut Outbox) {
        let now = self.now;
        let (relay, name) = (self.context.relay, self.context.name.clone());
        let tally = self.counts().tally(now, relay, name);
        let pieces = self.replica.tallies().send(now, tally);
        for tally in pieces {
            match (&mut self.authority, self.replica.channel()) {
                (Some(authority), _) => {
                    authority.counts().handle_tally(now, tally);
                }
                (None, Some(channel)) => out.to_parent(&ToParent::Tally { channel, tally }),
                (None, None) => {}
            }
        }
    }

    fn send_sketch(&mut self, out: &mut Outbox) {
        let Some(sketch) = self.replica.tallies().take_sketch(self.now) else { return };
        match (&mut self.authority, self.replica.channel()) {
            (Some(authority), _) => {
                authority.counts().handle_sketch(self.now, &sketch);
            }
            (None, Some(channel)) => out.to_parent(&ToParent::Sketch { channel, sketch }),
            (None, None) => {}
        }
    }

    /// The counts, which begin with the first that there is to count.
    pub(super) fn counts(&mut self) -> &mut Counts {
        self.edge.counts()
    }
}

/// When to call [`Counting::send`] next, or to have the statistics stored.
pub(super) fn due(
    edge: &Edge,
    replica: &Replica,
    context: &RoomContext,
    authority: Option<&Authority>,
) -> Option<Instant> {
    let epoch = edge.counted().epoch();
    let total = authority.map(|authority| authority.counted().texts());
    let questions = authority.and_then(|authority| authority.counted().questions_due(epoch));
    let texts = replica.texts_waiting().due(epoch, total);
    let has_way = authority.is_some() || replica.channel().is_some();
    let sketch = replica.tallies_sent().sketch_due(epoch).filter(|_| has_way);
    let tally = tally_due(edge, replica, authority.is_some());
    let write = authority.and_then(|authority| authority.counted().write_due(context));
    [tally, sketch, texts, questions, write].into_iter().flatten().min()
}

/// When the own tally is to be sent; never without a way to the origin.
fn tally_due(edge: &Edge, replica: &Replica, is_origin: bool) -> Option<Instant> {
    if !is_origin && replica.channel().is_none() {
        return None;
    }
    let counts = edge.counted();
    replica.tallies_sent().due(counts.epoch(), counts.has_changed(), counts.runs_on())
}

/// Way of arrival that a connection tells by itself.
const fn way_of(transport: Transport) -> Way {
    match transport {
        Transport::Quic => Way::CommandLine,
        Transport::WebTransport | Transport::WebSocket => Way::Browser,
    }
}
