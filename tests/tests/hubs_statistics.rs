//! The hubs' network: statistics of a scripted evening in a tree of seven relays are the ones counted by hand, and
//! what the audience does costs the origin no more with ten thousand listeners than with a hundred.

use std::collections::BTreeMap;
use std::time::Duration;

use tribune_protocol::control::command::{Govern, RoomChange};
use tribune_protocol::control::participant::{FromParticipant, ToParticipant};
use tribune_protocol::domain::action::LogAction;
use tribune_protocol::domain::audience_text::QuestionId;
use tribune_protocol::domain::reaction::Reaction;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::settings::RoomSettings;
use tribune_protocol::domain::share::{ShareTag, ShareText};
use tribune_protocol::domain::target::Target;
use tribune_protocol::domain::way::Way;
use tribune_protocol::ids::Note;
use tribune_protocol::statistics::{Bucket, Statistics, StatisticsPart, StatisticsWanted};
use tribune_tests::hubs::people::{Answer, Arrival, ConnNo, PersonNo};
use tribune_tests::hubs::seeds::over_seeds;
use tribune_tests::hubs::tree::Tree;
use tribune_tests::hubs::trunk::{Traffic, Weather};
use tribune_tests::hubs::{EPOCH_S, HubNet};

const SECOND: Duration = Duration::from_secs(1);
/// Time for anything to reach everybody: two periods of tallies, and the way.
const SPREADS: Duration = Duration::from_secs(2);
/// All frame periods of a second.
const WHOLE: u64 = (1 << 50) - 1;

/// An evening under way.
struct Evening {
    net: HubNet,
    tree: Tree,
    host: (PersonNo, ConnNo),
    /// Listeners by leaf.
    seats: Vec<Vec<(PersonNo, ConnNo)>>,
    /// When the room was opened.
    began: Duration,
}

impl Evening {
    /// The host has opened the room at the first leaf, at second 0 of the run.
    fn begin(seed: u64, weather: Weather) -> Self {
        let mut net = HubNet::new(seed, weather);
        let tree = Tree::of_seven(&mut net, 1);
        let host = net.person("Ada");
        let settings = RoomSettings { texts: true, questions: true, ..RoomSettings::default() };
        let (conn, _) = net.one_shot(host, tree.leaves[0], Role::Host, Govern::Create { settings });
        net.run_for(2 * SECOND);
        net.vanish(conn);
        let conn = net.join(host, tree.leaves[0], Role::Host);
        assert!(net.run_until(10 * SECOND, |net| net.joined(conn) == Some(Answer::Done)));
        let began = net.now();
        Self { net, tree, host: (host, conn), seats: vec![Vec::new(); 4], began }
    }

    /// Somebody new comes in at a leaf.
    fn come(&mut self, leaf: usize, arrival: Arrival) -> (PersonNo, ConnNo) {
        let person = self.net.person("Guest");
        let conn = self.net.arrive(person, self.tree.leaves[leaf], Role::Listener, arrival);
        self.seats[leaf].push((person, conn));
        (person, conn)
    }

    fn done(&mut self, conn: ConnNo, message: &FromParticipant) {
        let request = self.net.request(conn, message);
        self.net.run_until(5 * SECOND, |net| net.answer(conn, request).is_some());
        let answer = self.net.answer(conn, request).map(|(_, answer)| answer);
        assert_eq!(answer, Some(Answer::Done), "{message:?}");
    }

    fn by_host(&mut self, act: Govern) {
        let conn = self.host.1;
        self.done(conn, &FromParticipant::Govern { act });
    }

    fn share(&mut self, conn: ConnNo, tag: &str) -> ShareText {
        let tag: ShareTag = tag.parse().expect("a tag");
        self.done(conn, &FromParticipant::Govern { act: Govern::MakeShare { tag } });
        let told = self.net.told(conn).iter().rev();
        let mut links = told.filter_map(|(_, message)| {
            let ToParticipant::Share { text } = message else { return None };
            Some(text.clone())
        });
        links.next().expect("a link")
    }

    /// Parts of the statistics, as the host reads them at the origin without being in the room.
    fn read(&mut self, part: StatisticsWanted) -> StatisticsPart {
        let (host, origin) = (self.host.0, self.tree.origin);
        let act = Govern::ReadStatistics { run: None, part };
        let (conn, request) = self.net.one_shot(host, origin, Role::Host, act);
        self.net.run_until(5 * SECOND, |net| net.answer(conn, request).is_some());
        let told = self.net.told(conn).iter().rev().find_map(|(_, message)| {
            let ToParticipant::Statistics { part } = message else { return None };
            Some(part.clone())
        });
        told.unwrap_or_else(|| panic!("no statistics: {:?}", self.net.answer(conn, request)))
    }

    fn numbers(&mut self) -> Statistics {
        let part = self.read(StatisticsWanted::Numbers);
        let StatisticsPart::Numbers { statistics, .. } = part else { panic!("{part:?}") };
        *statistics
    }

    fn buckets(&mut self) -> Vec<Bucket> {
        let part = self.read(StatisticsWanted::Buckets(0));
        let StatisticsPart::Buckets { buckets, .. } = part else { panic!("{part:?}") };
        buckets
    }

    /// Lets time pass up to that second of the run.
    fn at(&mut self, second: u64) {
        let until = self.began + Duration::from_secs(second);
        self.net.run_for(until - self.net.now());
    }

    /// Unix seconds of now, as the origin has them.
    fn now_s(&self) -> u64 {
        EPOCH_S + self.net.now().as_secs()
    }
}

#[test]
fn a_scripted_evening_is_counted_as_by_hand() {
    over_seeds(3, |seed| scripted(seed, Weather::clean()));
}

fn scripted(seed: u64, weather: Weather) {
    let mut evening = Evening::begin(seed, weather);
    arrivals(&mut evening);
    let guest = hands_and_invitations(&mut evening);
    speech(&mut evening, guest);
    applause_and_questions(&mut evening);
    departures(&mut evening);
    evening.at(200);
    check(&mut evening, false);
    let ended = FromParticipant::Govern { act: Govern::EndRoom {} };
    evening.net.request(evening.host.1, &ended);
    evening.net.run_for(10 * SECOND);
    check(&mut evening, true);
}

/// Ten at each leaf: by command line, in a frame, by the host's link, by a link of one of those.
fn arrivals(evening: &mut Evening) {
    evening.at(20);
    for _ in 0..10 {
        evening.come(0, Arrival::default());
        evening.come(1, Arrival { way: Some(Way::Embed), ..Arrival::default() });
    }
    let link = evening.share(evening.host.1, "mastodon");
    let by = |link: &ShareText| Arrival { share: Some(link.clone()), ..Arrival::default() };
    for _ in 0..10 {
        evening.come(2, by(&link));
    }
    evening.net.run_for(SECOND);
    let second = evening.share(evening.seats[2][0].1, "");
    for _ in 0..10 {
        evening.come(3, by(&second));
    }
    // A forged one and one of another room count as none.
    for text in ["AQIJlOl0ZnqOE8VMln8IbWFzdG9kb26CvglhP_bMd4Cf", "AQEAAAAAAAAAAAAAAAA"] {
        evening.come(0, by(&text.parse().expect("a text")));
    }
}

/// One hand is granted after 10 s, one is denied, one is lowered. An invitation is accepted; gives by whom.
fn hands_and_invitations(evening: &mut Evening) -> (PersonNo, ConnNo) {
    evening.at(60);
    let hands: Vec<_> = evening.seats[0][..3].to_vec();
    for (_, conn) in &hands {
        evening.done(*conn, &FromParticipant::RaiseHand { note: Note::default() });
    }
    evening.at(70);
    let id = |evening: &Evening, who: usize| evening.net.id(hands[who].0);
    let (first, denied) = (id(evening, 0), id(evening, 1));
    evening.by_host(Govern::Grant { participant: first });
    evening.by_host(Govern::Deny { participant: denied, reason: Note::default() });
    evening.done(hands[2].1, &FromParticipant::LowerHand {});
    let guest = evening.seats[1][0];
    let target = Target::Participant(evening.net.id(guest.0));
    evening.by_host(Govern::Invite { target });
    evening.net.run_for(SECOND);
    let accept = Govern::AnswerInvite { accept: true };
    evening.done(guest.1, &FromParticipant::Govern { act: accept });
    guest
}

/// The host speaks for ten seconds, the guest over the last two of them and three more.
fn speech(evening: &mut Evening, guest: (PersonNo, ConnNo)) {
    evening.at(80);
    let stage = evening.net.room(evening.tree.origin).expect("a room").state().stage.clone();
    let track = |who| stage.iter().find(|entry| entry.participant == who).expect("a place").track;
    let host_track = track(evening.net.id(evening.host.0));
    let guest_track = track(evening.net.id(guest.0));
    for second in 0..14 {
        let at_s = evening.now_s();
        evening.net.run_for(SECOND);
        let leaves = evening.tree.leaves.clone();
        if second < 10 {
            evening.net.report_talk(leaves[0], at_s, BTreeMap::from([(host_track, WHOLE)]));
        }
        if (8..13).contains(&second) {
            evening.net.report_talk(leaves[1], at_s, BTreeMap::from([(guest_track, WHOLE)]));
        }
    }
}

/// Reactions, messages, questions and votes.
fn applause_and_questions(evening: &mut Evening) {
    evening.at(100);
    for leaf in 0..4 {
        for seat in 3..8 {
            let conn = evening.seats[leaf][seat].1;
            evening.net.say(conn, &FromParticipant::React { reaction: Reaction::Clap });
            let text = "What a night".parse().expect("a text");
            evening.net.say(conn, &FromParticipant::Write { text });
        }
    }
    evening.at(110);
    for (leaf, seat) in [(0, 3), (1, 3), (3, 3)] {
        let text = "Why is that?".parse().expect("a text");
        let conn = evening.seats[leaf][seat].1;
        evening.done(conn, &FromParticipant::Ask { text });
    }
    evening.net.run_for(SPREADS);
    for (question, voters) in [(1, 7), (2, 3)] {
        for voter in 0..voters {
            let conn = evening.seats[voter % 4][3 + voter / 4].1;
            let vote = |on| FromParticipant::Vote { question: QuestionId(question), on };
            evening.done(conn, &vote(true));
            evening.net.say(conn, &vote(true));
        }
    }
    evening.by_host(Govern::CloseQuestion {
        question: QuestionId(1),
        answered: true,
        reason: Note::default(),
    });
    let pinned = Some("https://example.org/notes".parse().expect("a note"));
    let change = RoomChange { pinned, ..RoomChange::default() };
    evening.by_host(Govern::Set { change, reason: Note::default() });
}

/// Five leave; one is lost and back within ten seconds; one goes to another relay.
fn departures(evening: &mut Evening) {
    evening.at(140);
    for seat in 5..10 {
        let conn = evening.seats[3][seat].1;
        evening.net.say(conn, &FromParticipant::Leave {});
    }
    let lost = evening.seats[1][9];
    evening.net.vanish(lost.1);
    let moved = evening.seats[0][9];
    let stay_s = Some((evening.net.now() - evening.began).as_secs() as u32 - 20);
    evening.net.arrive(
        moved.0,
        evening.tree.leaves[2],
        Role::Listener,
        Arrival { stay_s, ..Arrival::default() },
    );
    evening.net.say(moved.1, &FromParticipant::Leave {});
    evening.at(148);
    evening.net.join(lost.0, evening.tree.leaves[1], Role::Listener);
}

/// Holds the numbers against those counted by hand.
fn check(evening: &mut Evening, is_over: bool) {
    let numbers = evening.numbers();
    let audience = &numbers.audience;
    assert_eq!(numbers.ended_at_s.is_some(), is_over);
    // The host, 40 listeners and the two with links that do not count.
    assert_eq!(audience.joins, 43);
    assert_eq!((audience.inside, audience.leaves), if is_over { (0, 43) } else { (38, 5) });
    assert_eq!(audience.listeners, if is_over { 0 } else { 35 });
    assert_eq!(audience.peak, 42);
    assert_eq!(audience.unique.value, 43);
    let ways = [(Way::CommandLine, 13), (Way::Embed, 10), (Way::Share, 20)];
    assert_eq!(audience.ways, BTreeMap::from(ways));
    // The host; those who came at 20 s, the lost and the moved one among them; at 21 s, of whom five left at 140 s; the
    // last two. Each request takes some milliseconds.
    let by_hand = 200 + 30 * 180 + 5 * 179 + 5 * 119 + 2 * 178;
    assert!(audience.listened_s.abs_diff(by_hand) <= 12, "{} s", audience.listened_s);
    let point = |after_s| {
        let points = numbers.retention.iter().filter(|point| point.after_s == after_s);
        points.map(|point| (point.stayed, point.of)).next()
    };
    assert_eq!(
        (point(10), point(60), point(120)),
        (Some((43, 43)), Some((43, 43)), Some((38, 43)))
    );
    assert_eq!(point(300), None);

    let shares = &numbers.shares;
    assert_eq!((shares.joins, shares.generations.as_slice(), shares.other), (20, &[10, 10][..], 0));
    let [first, second] = &shares.links[..] else { panic!("{:?}", shares.links) };
    let (first, second) = if first.generation == 1 { (first, second) } else { (second, first) };
    assert_eq!((first.joins, first.tag.as_str(), first.parent), (10, "mastodon", None));
    assert_eq!((second.joins, second.generation, second.parent), (10, 2, Some(first.share)));

    let hands = &numbers.hands;
    assert_eq!((hands.raised, hands.granted, hands.denied, hands.lowered), (3, 1, 1, 1));
    assert!(hands.wait_ms.abs_diff(10_000) < 300, "{}", hands.wait_ms);
    let invitations = &numbers.invitations;
    assert_eq!((invitations.made, invitations.accepted, invitations.declined), (1, 1, 0));
    let talk = &numbers.talk;
    assert_eq!((talk.speech_ms, talk.overlap_ms), (13_000, 2_000));
    let said: Vec<_> = talk.speakers.iter().map(|it| (it.talk_ms, it.turns)).collect();
    assert_eq!(said, [(10_000, 1), (5_000, 1)]);
    assert_eq!(numbers.reactions, BTreeMap::from([(Reaction::Clap, 20)]));
    let texts = &numbers.texts;
    assert_eq!((texts.written, texts.asked, texts.answered, texts.votes), (20, 3, 1, 10));
    assert_eq!(numbers.pinned.as_str(), "https://example.org/notes");
    assert_eq!(numbers.moderation.get(&LogAction::HandDenied), Some(&1));
    assert_eq!((numbers.moments[0].reactions, numbers.moments[0].texts), (20, 20));
    let relays: Vec<_> =
        numbers.relays.iter().map(|relay| relay.joins).filter(|n| *n > 0).collect();
    assert_eq!(relays, [13, 10, 10, 10]);

    let buckets = evening.buckets();
    assert_eq!(buckets.iter().map(|bucket| bucket.joins).sum::<u64>(), 43);
    assert_eq!(buckets.iter().map(|bucket| bucket.leaves).sum::<u64>(), audience.leaves);
    assert_eq!(buckets.iter().map(|bucket| bucket.hands).sum::<u32>(), 3);
    assert_eq!(buckets.iter().map(|bucket| bucket.reactions).sum::<u64>(), 20);
    assert_eq!(buckets.iter().map(|bucket| bucket.listeners).max(), Some(42));
}

#[test]
fn an_audience_that_acts_costs_the_origin_no_more_when_it_is_large() {
    let measured = [100_u64, 10_000].map(|audience| {
        let runs = over_seeds(1, |seed| active(seed, audience));
        let mean = runs.iter().map(|run| run.bytes).sum::<u64>() / runs.len() as u64;
        println!("{audience} listeners: {mean} bytes to the origin in 60 s");
        mean
    });
    let [small, large] = measured;
    assert!(large.abs_diff(small) * 10 < small, "{large} bytes against {small}");
}

/// Everybody reacts, writes and votes for a minute. Gives what came to the origin; all relays end up with the same
/// totals within two seconds.
fn active(seed: u64, audience: u64) -> Traffic {
    let mut evening = Evening::begin(seed, Weather::clean());
    let mut seats = Vec::new();
    for seat in 0..audience {
        seats.push(evening.come(seat as usize % 4, Arrival::default()));
    }
    evening.net.run_for(15 * SECOND);
    for (seat, (_, conn)) in seats.iter().enumerate().take(4) {
        let text = format!("Question {seat}?").parse().expect("a text");
        evening.net.say(*conn, &FromParticipant::Ask { text });
        evening.net.run_for(SECOND);
    }
    // The sketch of those who came is told by now, by the leaves and then by the relays above them.
    evening.net.run_for(75 * SECOND);
    let before = evening.net.traffic(evening.tree.origin).0;
    let (mut reactions, mut texts) = (0_u64, 0_u64);
    // In each round everybody acts once, the small audience as often as the large one would have to.
    for round in 0..10 {
        for (seat, (_, conn)) in seats.iter().enumerate() {
            let conn = *conn;
            evening.net.say(conn, &FromParticipant::React { reaction: Reaction::Clap });
            let text = "What a night, and what a question".parse().expect("a text");
            evening.net.say(conn, &FromParticipant::Write { text });
            if round == 0 {
                let question = QuestionId(seat as u32 % 4 + 1);
                evening.net.say(conn, &FromParticipant::Vote { question, on: true });
            }
            reactions += 1;
            texts += 1;
        }
        evening.net.run_for(6 * SECOND);
    }
    let after = evening.net.traffic(evening.tree.origin).0;
    evening.net.run_for(SPREADS);
    for relay in evening.tree.leaves.clone() {
        let (questions, written) = evening.net.totals(relay).expect("everybody was told");
        assert_eq!(questions.reactions.get(&Reaction::Clap), Some(&reactions), "{relay:?}");
        assert_eq!((questions.votes, written), (audience, texts), "{relay:?}");
    }
    Traffic { messages: after.messages - before.messages, bytes: after.bytes - before.bytes }
}
