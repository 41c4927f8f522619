//! A participant against relays of a test's making, without a network and in made-up time.

use rand::SeedableRng;
use tribune_protocol::codes::CloseCode;
use tribune_protocol::control::participant::You;
use tribune_protocol::control::{ControlReader, Envelope, decode, encode};
use tribune_protocol::domain::permission::PermissionSet;
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::domain::protection::Protection;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::stage::StageEntry;
use tribune_protocol::ids::{Channel, Note, ParticipantId, Seq, SessionKey, TrackId};
use tribune_protocol::media::KIND_NACK;
use tribune_protocol::media::datagram::{FrameHeader, Level, MediaWriter};

use super::*;

const TRACK: TrackId = TrackId(3);

/// A participant, and what it has put out so far.
struct Test {
    now: Instant,
    participant: Participant,
    dialed: Vec<(ConnectionId, String)>,
    sent: Vec<(ConnectionId, Envelope<FromParticipant>)>,
    closed: Vec<ConnectionId>,
    answers: Vec<(Ticket, Result<(), RequestError>)>,
    events: Vec<Event>,
    heard: Vec<u16>,
    /// Repair requests.
    asked: usize,
}

impl Test {
    fn start(relays: &[&str]) -> Self {
        let now = Instant::now();
        let join = Join {
            room: "stage".parse().unwrap(),
            session: SessionKey([1; 16]),
            name: "Ada".parse().unwrap(),
            role: Role::Listener,
            token: None,
            returning: false,
            heard: Vec::new(),
            profile: None,
            redundancy: false,
            way: None,
            share: None,
            stay_s: None,
        };
        let addresses = relays.iter().map(|relay| relay.parse().unwrap()).collect();
        let config = Config { addresses, join, waits_for_room: false, playout_delay: None };
        let clock = LocalClock::new(now, 1_700_000_000_000_000);
        let participant = Participant::new(now, config, clock, StdRng::seed_from_u64(1));
        let mut test = Self {
            now,
            participant,
            dialed: Vec::new(),
            sent: Vec::new(),
            closed: Vec::new(),
            answers: Vec::new(),
            events: Vec::new(),
            heard: Vec::new(),
            asked: 0,
        };
        test.drain();
        test
    }

    fn drain(&mut self) {
        while let Some(output) = self.participant.poll_output() {
            match output {
                Output::Dial { connection, to } => {
                    self.dialed.push((connection, to.host().to_owned()));
                }
                Output::Control { connection, bytes } => {
                    let mut reader = ControlReader::default();
                    reader.handle_bytes(&bytes);
                    let body = reader.poll_message().unwrap().unwrap();
                    self.sent.push((connection, decode(&body).unwrap()));
                }
                Output::Datagram { bytes, .. } => {
                    self.asked += usize::from(bytes[0] == KIND_NACK);
                }
                Output::Close(connection) => self.closed.push(connection),
                Output::Answer { ticket, result } => self.answers.push((ticket, result)),
                Output::Event(event) => self.events.push(*event),
                Output::Frame(received) => self.heard.push(received.frame.seq.0),
            }
        }
    }

    /// Lets time pass; each connection's relay gives signs of life.
    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        let mut received_udp = 1;
        while let Some(due) = self.participant.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            received_udp += 1;
            for (id, _) in &self.dialed {
                let path = Path { received_udp, ..Path::default() };
                self.participant.handle_path(self.now, *id, path);
            }
            self.participant.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    fn say(&mut self, to: ConnectionId, id: Option<RequestId>, message: &ToParticipant) {
        let bytes = encode(id, message).unwrap();
        self.participant.handle_control(self.now, to, &bytes);
        self.drain();
    }

    fn close(&mut self, id: ConnectionId, code: CloseCode) {
        let failure = Failure::Closed { code, reason: String::new() };
        self.participant.handle_closed(self.now, id, failure);
        self.drain();
    }

    /// Connects the last dial, and gives its join.
    fn connect(&mut self) -> (ConnectionId, Option<RequestId>, Join) {
        let (id, _) = *self.dialed.last().unwrap();
        self.participant.handle_connected(self.now, id, Path::default());
        self.drain();
        let (to, Envelope { id: request, message: FromParticipant::Join(join) }) =
            self.sent.last().unwrap().clone()
        else {
            panic!("the first message is a join")
        };
        assert_eq!(to, id);
        (id, request, join)
    }

    fn let_in(&mut self) -> ConnectionId {
        let (id, request, _) = self.connect();
        self.say(id, request, &ToParticipant::Joined(joined()));
        assert!(matches!(self.events.last(), Some(Event::Joined { .. })));
        id
    }

    fn hear(&mut self, id: ConnectionId, seq: u16) {
        let header = FrameHeader {
            track: TRACK,
            seq: Seq(seq),
            level: Level::SILENCE,
            talkspurt_end: false,
            captured: None,
            onset: None,
        };
        let mut writer = MediaWriter::new(Channel(0), 1_162);
        assert!(writer.push(&header.write(&[0xf8]).unwrap()));
        self.participant.handle_datagram(self.now, id, writer.take());
        self.drain();
    }
}

fn joined() -> Joined {
    let you = You {
        participant: ParticipantId(1),
        role: Role::Listener,
        track: None,
        silenced: false,
        hand: None,
        reason: Note::default(),
        may: PermissionSet::NONE,
        invited_by: None,
        profile: Profile::Live,
    };
    let speaker = StageEntry {
        participant: ParticipantId(2),
        name: "Bob".parse().unwrap(),
        role: Role::Speaker,
        track: TRACK,
        silenced: false,
        muted: false,
        away: false,
    };
    Joined {
        relay: "fake".parse().unwrap(),
        depth: 1,
        you,
        stage: vec![speaker],
        listeners: 1,
        redundancy: false,
    }
}

#[test]
fn a_request_has_its_answer_or_its_time_is_up() {
    let mut test = Test::start(&["a"]);
    let relay = test.let_in();
    for ticket in 0..2 {
        let request = FromParticipant::LowerHand {};
        test.participant.handle_request(test.now, Ticket(ticket), &request);
    }
    test.drain();
    let second = test.sent.last().unwrap().1.id;
    test.say(relay, second, &ToParticipant::Ok {});
    assert_eq!(test.answers, [(Ticket(1), Ok(()))]);
    test.run_for(Duration::from_secs(11));
    assert_eq!(test.answers[1..], [(Ticket(0), Err(RequestError::TimedOut))]);
}

#[test]
fn a_lost_place_is_taken_up_again() {
    let mut test = Test::start(&["a"]);
    let relay = test.let_in();
    test.hear(relay, 7);
    test.close(relay, CloseCode::Shutdown);
    assert!(matches!(test.events.last(), Some(Event::Retrying { was_in_room: true, .. })));
    test.participant.handle_request(test.now, Ticket(5), &FromParticipant::LowerHand {});
    test.drain();
    assert_eq!(test.answers, [(Ticket(5), Err(RequestError::Offline))]);
    test.run_for(Duration::from_secs(1));
    let (again, request, join) = test.connect();
    assert!(again != relay && join.returning);
    assert_eq!(join.heard, [], "in conversation, what was missed is over");
    test.say(again, request, &ToParticipant::Joined(joined()));
    assert!(matches!(test.events.last(), Some(Event::Joined { reconnects: 1, .. })));
}

#[test]
fn an_audience_goes_on_from_the_last_frame_and_asks_for_nothing_meanwhile() {
    let mut test = Test::start(&["a"]);
    let relay = test.let_in();
    let you = You { profile: Profile::Audience, ..joined().you };
    test.say(relay, None, &ToParticipant::You(you.clone()));
    test.hear(relay, 7);
    test.close(relay, CloseCode::Shutdown);
    test.run_for(Duration::from_secs(1));
    let (again, request, join) = test.connect();
    assert_eq!(join.heard.iter().map(|heard| heard.seq).collect::<Vec<_>>(), [Seq(7)]);
    test.say(again, request, &ToParticipant::Joined(Joined { you, ..joined() }));
    test.hear(again, 12);
    test.run_for(Duration::from_millis(300));
    assert_eq!(test.asked, 0, "they are on their way");
    test.run_for(Duration::from_millis(300));
    let before = test.asked;
    test.hear(again, 42);
    test.hear(again, 44);
    assert!(test.asked > before, "this one is not");
}

#[test]
fn a_handoff_loses_nothing_and_repeats_nothing() {
    let mut test = Test::start(&["a"]);
    let old = test.let_in();
    test.hear(old, 100);
    let moved = ToParticipant::Moved { to: Some("b:1".to_owned()), within_ms: 5_000 };
    test.say(old, None, &moved);
    test.run_for(Duration::from_secs(1));
    assert_eq!(test.dialed.last().unwrap().1, "b");
    let new = test.let_in();
    for (from, seq) in [(new, 103), (old, 101), (old, 102), (old, 103), (new, 104)] {
        test.hear(from, seq);
    }
    assert_eq!(test.heard, [100, 103, 101, 102, 104]);
    assert_eq!(test.participant.link().duplicate_frames, 1);
    assert!(test.closed.is_empty());
    test.run_for(Duration::from_millis(400));
    assert_eq!(test.closed, [old]);
}

#[test]
fn a_stay_goes_on_over_losses_and_moves_and_says_for_how_long() {
    let mut test = Test::start(&["a"]);
    let stay_s = |test: &mut Test| {
        let (id, request, join) = test.connect();
        test.say(id, request, &ToParticipant::Joined(joined()));
        (id, join.stay_s)
    };
    let (first, stay) = stay_s(&mut test);
    assert_eq!(stay, None, "a stay begins");
    test.run_for(Duration::from_secs(20));
    test.close(first, CloseCode::Shutdown);
    test.run_for(Duration::from_secs(1));
    let (second, stay) = stay_s(&mut test);
    assert_eq!(stay, Some(21));
    let moved = ToParticipant::Moved { to: Some("b:1".to_owned()), within_ms: 5_000 };
    test.say(second, None, &moved);
    test.run_for(Duration::from_secs(60));
    let (third, stay) = stay_s(&mut test);
    assert_eq!(stay, Some(81), "at the next relay, whatever the move has taken");
    test.close(third, CloseCode::Shutdown);
    test.run_for(Duration::from_secs(31));
    let (_, stay) = stay_s(&mut test);
    assert_eq!(stay, None, "the relay has counted it as over");
}

#[test]
fn the_encoder_follows_what_the_room_loses() {
    let mut test = Test::start(&["a"]);
    let relay = test.let_in();
    let encodings = |test: &Test| {
        let told = test.events.iter().filter_map(|event| match event {
            Event::Encoding(encoding) => Some(encoding.protection),
            Event::Joined { .. } | Event::Message(_) | Event::Retrying { .. } | Event::Ended(_) => {
                None
            }
        });
        told.collect::<Vec<_>>()
    };
    let protection = Protection::Bursts { loss_percent: 10, span_ms: 240 };
    test.say(relay, None, &ToParticipant::Protect { protection });
    test.run_for(Duration::from_millis(200));
    assert_eq!(encodings(&test), [protection]);
    // The next relay says the same at once, and the encoder is left alone.
    let moved = ToParticipant::Moved { to: Some("b:1".to_owned()), within_ms: 5_000 };
    test.say(relay, None, &moved);
    test.run_for(Duration::from_secs(1));
    let next = test.let_in();
    test.say(next, None, &ToParticipant::Protect { protection });
    test.run_for(Duration::from_secs(1));
    assert_eq!(encodings(&test), [protection]);
    test.say(next, None, &ToParticipant::Unknown);
    test.say(next, None, &ToParticipant::Protect { protection: Protection::Nothing {} });
    test.run_for(Duration::from_millis(200));
    assert_eq!(encodings(&test), [protection, Protection::Nothing {}]);
}

#[test]
fn leaving_is_told_and_has_its_end() {
    let mut test = Test::start(&["a"]);
    let relay = test.let_in();
    test.participant.handle_leave(test.now, false);
    test.drain();
    assert_eq!(test.sent.last().unwrap().1.message, FromParticipant::Leave {});
    assert!(!matches!(test.events.last(), Some(Event::Ended(_))));
    test.run_for(Duration::from_secs(2));
    assert_eq!(test.closed, [relay], "a relay that does not close is not waited for");
    assert!(matches!(test.events.last(), Some(Event::Ended(End::Left))));
    assert_eq!(test.participant.poll_timeout(), None);
}
