//! The security matrix: what each principal may do, at each place of a tree, as it comes out of real
//! hubs. The rows of principals and actions are code, what is expected of each cell stands in
//! `matrix.txt`, and the policy table has to say the same. So a changed row of the table, a changed
//! check and a new permission, request or role all fail here until the text says so too.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::command::{Govern, RoomChange};
use tribune_protocol::control::participant::{FromParticipant, Join, OneShot, ToParticipant};
use tribune_protocol::control::trunk::{Action as Act, Credentials, ToChild, ToParent};
use tribune_protocol::domain::access::Access;
use tribune_protocol::domain::audience_text::{QuestionId, TextId};
use tribune_protocol::domain::permission::{Permission, PermissionSet};
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::domain::reaction::Reaction;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::room::RoomState;
use tribune_protocol::domain::settings::RoomSettings;
use tribune_protocol::domain::share::ShareTag;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{Channel, Note, ParticipantId, RelayId, RequestId, SessionKey};
use tribune_protocol::quality::Quality;
use tribune_protocol::quality::report::{Ranking, Report};
use tribune_protocol::statistics::StatisticsWanted;
use tribune_protocol::statistics::tally::RelayTally;

use super::tree::{EPOCH_S, LEAF, MID, ORIGIN, OTHER_LEAF, Tree, read, token};
use crate::messages::ShardEvent;
use crate::room::authority::policy::{Policy, RolePolicy, overrules};
use crate::store::Store;

/// Expected result of each cell: a line an action, a column a principal.
const EXPECTED: &str = include_str!("matrix.txt");

const PLACES: [(&str, usize); 3] = [("origin", ORIGIN), ("mid relay", MID), ("leaf", LEAF)];

/// Somebody, or something, that tries everything.
#[derive(Debug, Clone, Copy)]
struct Principal {
    /// The column's head.
    name: &'static str,
    kind: Kind,
    /// The role whose row of the policy table they act by. `None`: no row lets them do anything.
    role: Option<&'static str>,
    allow: PermissionSet,
    deny: PermissionSet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// In the room: with a token for `role`, having asked for another one.
    In { token: &'static str, asks: &'static str },
    /// In the room without a token.
    Guest,
    /// In the room, on its stage and silenced.
    Silenced,
    /// Outside, with a token for a role, by one-shot requests.
    OneShot(&'static str),
    /// Outside without a token, by one-shot requests.
    GuestOneShot,
    /// Banned, by one-shot requests, and by joining again.
    Banned,
    /// By a token that is over.
    Expired,
    /// By a token for another room.
    Elsewhere,
    /// Connected, and has never joined.
    NotJoined,
    /// A relay below that has not subscribed to the room, in the name of its host.
    Unsubscribed,
    /// A relay below, in the name of the host, whom it does not have, and without credentials.
    NoCredentials,
}

/// Something to try.
struct Attempt {
    /// The line's head.
    name: &'static str,
    /// Permission that it takes.
    permission: Option<Permission>,
    /// The role of whom it is against, if that counts.
    against: Option<Role>,
    /// Precondition.
    first: First,
    message: Message,
}

/// Precondition of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    Nothing,
    /// An invitation to speak, for whoever tries.
    Invited,
    /// An invitation to speak for the listener.
    ListenerInvited,
    /// A ban.
    SomebodyBanned,
    /// A decision about whoever tries, which they can appeal.
    Decided,
    /// An appeal of the speaker's.
    Appealed,
    /// An open question.
    Asked,
    /// No room: this one is not opened.
    NoRoom,
}

/// The room that somebody tries something in.
struct Scene {
    tree: Tree,
    place: usize,
    principal: Principal,
    /// The host, as a person of the tree, and by id.
    host_index: usize,
    host: ParticipantId,
    /// Others, as persons of the tree.
    speaker: usize,
    hand: usize,
    /// The principal, as a person of the tree, if they are in the room.
    me: Option<usize>,
    session: SessionKey,
    /// Entries of the log so far.
    entries: u64,
}

const NONE: PermissionSet = PermissionSet::NONE;
const KICK: PermissionSet = PermissionSet::of(&[Permission::Kick]);

#[rustfmt::skip]
const PRINCIPALS: [Principal; 20] = [
    inside("host", "host", "host", "host"),
    inside("cohost", "cohost", "cohost", "cohost"),
    Principal { deny: KICK, ..inside("cohost-kick", "cohost", "cohost", "cohost") },
    inside("cohost-off", "cohost", "listener", "cohost"),
    inside("panelist", "panelist", "panelist", "panelist"),
    inside("steward", "steward", "steward", "steward"),
    inside("speaker", "speaker", "speaker", "speaker"),
    inside("speaker-off", "speaker", "listener", "speaker"),
    Principal { kind: Kind::Silenced, ..inside("silenced", "", "", "speaker") },
    inside("listener", "listener", "listener", "listener"),
    Principal { allow: KICK, ..inside("listener+kick", "listener", "listener", "listener") },
    Principal { kind: Kind::Guest, ..inside("guest", "", "", "listener") },
    Principal { kind: Kind::OneShot("host"), ..inside("host-errand", "", "", "host") },
    Principal { kind: Kind::GuestOneShot, ..inside("guest-errand", "", "", "listener") },
    outside("banned", Kind::Banned),
    outside("expired", Kind::Expired),
    outside("other-room", Kind::Elsewhere),
    outside("not-joined", Kind::NotJoined),
    outside("unsubscribed", Kind::Unsubscribed),
    outside("no-credentials", Kind::NoCredentials),
];

const fn inside(
    name: &'static str,
    token: &'static str,
    asks: &'static str,
    role: &'static str,
) -> Principal {
    Principal { name, kind: Kind::In { token, asks }, role: Some(role), allow: NONE, deny: NONE }
}

const fn outside(name: &'static str, kind: Kind) -> Principal {
    Principal { name, kind, role: None, allow: NONE, deny: NONE }
}

/// The default table, with two roles of an operator's.
fn policy() -> Policy {
    let mut policy = Policy::default();
    let listener = policy.may(Role::Listener);
    let moderation = [
        Permission::SeeHands,
        Permission::Grant,
        Permission::Silence,
        Permission::RemoveFromStage,
        Permission::Kick,
        Permission::Ban,
        Permission::SetRole,
        Permission::SetPermission,
        Permission::HandOver,
        Permission::MakeInvitation,
        Permission::AnswerAppeal,
    ];
    let may = listener.with(&moderation);
    policy.add(RolePolicy { role: role("steward"), rank: 50, may }).unwrap();
    let may = listener.with(&[Permission::Speak, Permission::SeeHands]);
    policy.add(RolePolicy { role: role("panelist"), rank: 30, may }).unwrap();
    policy
}

fn role(name: &str) -> Role {
    name.parse().unwrap()
}

fn attempts() -> Vec<Attempt> {
    let mut all = of_everybody();
    all.extend(of_moderators());
    all
}

#[rustfmt::skip]
fn of_everybody() -> Vec<Attempt> {
    use Permission as P;
    vec![
        free("join as a listener", P::Listen, |s| s.join(Role::Listener)),
        free("join as a speaker", P::Speak, |s| s.join(Role::Speaker)),
        Attempt { first: First::NoRoom, ..free("join where no room is", P::OpenRoom, |s| s.join(s.asks())) },
        free("raise a hand", P::RaiseHand, |_| FromParticipant::RaiseHand { note: Note::default() }),
        free("lower the own hand", P::RaiseHand, |_| FromParticipant::LowerHand {}),
        free("react", P::React, |_| FromParticipant::React { reaction: Reaction::Clap }),
        free("write a message", P::Write, |_| FromParticipant::Write { text: note("Hello") }),
        free("ask a question", P::Ask, |_| FromParticipant::Ask { text: note("Why?") }),
        Attempt { first: First::Asked, ..free("vote for a question", P::Vote, |_| FromParticipant::Vote { question: QuestionId(1), on: true }) },
        free("mute oneself", P::MuteSelf, |_| FromParticipant::OwnMute { muted: true }),
        free("leave the stage", P::LeaveStage, |_| FromParticipant::LeaveStage {}),
        Attempt { first: First::Invited, ..act("accept an invitation", P::AnswerInvite, |_| Govern::AnswerInvite { accept: true }) },
        Attempt { first: First::Invited, ..act("decline an invitation", P::AnswerInvite, |_| Govern::AnswerInvite { accept: false }) },
        act("share the room", P::Share, |_| Govern::MakeShare { tag: ShareTag::default() }),
        act("ask to be told", P::ShowRoom, |_| Govern::TellMe { on: true }),
        act("show the room", P::ShowRoom, |_| Govern::Show {}),
        Attempt { first: First::Decided, ..act("appeal", P::Appeal, |s| Govern::Appeal { entry: s.entries, text: note("no") }) },
    ]
}

#[rustfmt::skip]
fn of_moderators() -> Vec<Attempt> {
    use Permission as P;
    let host = Some(Role::Host);
    let speaker = Some(Role::Speaker);
    vec![
        act("hide a message", P::HideText, |s| Govern::HideText { text: TextId(1), participant: s.id(s.hand), reason: note("") }),
        Attempt { first: First::Asked, ..act("hide a question", P::HideText, |_| Govern::CloseQuestion { question: QuestionId(1), answered: false, reason: note("") }) },
        Attempt { first: First::Asked, ..act("answer a question", P::HideText, |_| Govern::CloseQuestion { question: QuestionId(1), answered: true, reason: note("") }) },
        set("open the messages", P::HideText, || RoomChange { texts: Some(false), ..RoomChange::default() }),
        act("read the statistics", P::SeeStatistics, |_| Govern::ReadStatistics { run: None, part: StatisticsWanted::Numbers }),
        act("list hands", P::SeeHands, |_| Govern::ListHands {}),
        act("lower a hand", P::LowerHand, |s| Govern::LowerHand { participant: s.id(s.hand) }),
        act("grant a hand", P::Grant, |s| Govern::Grant { participant: s.id(s.hand) }),
        act("deny a hand", P::Deny, |s| Govern::Deny { participant: s.id(s.hand), reason: note("") }),
        act("clear hands", P::ClearHands, |_| Govern::ClearHands { reason: note("") }),
        set("close the queue", P::ClearHands, || RoomChange { hands_closed: Some(true), ..RoomChange::default() }),
        act("invite to speak", P::Invite, |_| Govern::Invite { target: subject("friend") }),
        Attempt { first: First::ListenerInvited, ..act("take an invitation back", P::Invite, |_| Govern::Uninvite { target: subject("friend") }) },
        act("ask to mute", P::AskMute, |s| Govern::AskMute { participant: s.id(s.speaker), reason: note("") }),
        against(speaker, act("silence a speaker", P::Silence, |s| silence(s.id(s.speaker)))),
        against(host, act("silence the host", P::Silence, |s| silence(s.host))),
        act("silence a listener", P::Silence, |s| silence(s.id(s.hand))),
        act("silence everybody", P::SilenceAll, |_| Govern::SilenceAll { on: true, reason: note("") }),
        against(speaker, act("remove a speaker", P::RemoveFromStage, |s| remove(s.id(s.speaker)))),
        against(host, act("remove the host", P::RemoveFromStage, |s| remove(s.host))),
        act("remove a listener", P::RemoveFromStage, |s| remove(s.id(s.hand))),
        against(speaker, act("kick a speaker", P::Kick, |s| kick(Target::Participant(s.id(s.speaker))))),
        act("kick a subject", P::Kick, |_| kick(subject("friend"))),
        against(host, act("kick the host", P::Kick, |s| kick(Target::Participant(s.host)))),
        against(speaker, act("ban a speaker", P::Ban, |_| ban(subject("speaker")))),
        act("ban an address", P::Ban, |_| ban(Target::Address("198.51.100.1".parse().unwrap()))),
        against(host, act("ban the host", P::Ban, |_| ban(subject("host")))),
        Attempt { first: First::SomebodyBanned, ..act("lift a ban", P::Ban, |_| Govern::Unban { target: subject("enemy"), reason: note("") }) },
        act("list bans", P::SeeBans, |_| Govern::ListBans { after: 0 }),
        act("list listeners", P::SeeListeners, |_| Govern::ListListeners { worst: 20, by: Ranking::Concealed }),
        act("show a listener", P::SeeListeners, |s| Govern::ShowListener { participant: s.id(s.hand) }),
        act("make a speaker", P::SetRole, |_| set_role("friend", Role::Speaker)),
        act("make a cohost", P::SetRole, |_| set_role("friend", Role::Cohost)),
        act("make a host", P::SetRole, |_| set_role("friend", Role::Host)),
        against(host, act("demote the host", P::SetRole, |_| set_role("host", Role::Listener))),
        act("give a permission", P::SetPermission, |_| permit("friend", true)),
        against(speaker, act("take a permission", P::SetPermission, |_| permit("speaker", false))),
        against(host, act("take one of the host's", P::SetPermission, |_| permit("host", false))),
        act("hand the room over", P::HandOver, |s| Govern::HandOver { participant: s.id(s.speaker) }),
        act("invite a listener", P::MakeInvitation, |_| invitation(Role::Listener)),
        act("invite a cohost", P::MakeInvitation, |_| invitation(Role::Cohost)),
        act("invite a host", P::MakeInvitation, |_| invitation(Role::Host)),
        set("lock the room", P::Lock, || RoomChange { locked: Some(true), ..RoomChange::default() }),
        set("change settings", P::SetRoom, || RoomChange { title: Some(note("An evening")), ..RoomChange::default() }),
        act("read the log", P::ReadLog, |_| Govern::ReadLog { from: 1 }),
        Attempt { first: First::Appealed, ..act("answer an appeal", P::AnswerAppeal, |s| Govern::AnswerAppeal { entry: s.entries, uphold: true, reason: note("") }) },
        Attempt { first: First::NoRoom, ..act("create a room", P::OpenRoom, |_| Govern::Create { settings: RoomSettings::default() }) },
        act("end the room", P::EndRoom, |_| Govern::EndRoom {}),
        Attempt { permission: None, ..act("something unknown", P::Listen, |_| Govern::Unknown) },
        Attempt { permission: None, ..free("renew the token", P::Listen, |s| FromParticipant::RenewToken { token: s.newer_token().into() }) },
        Attempt { permission: None, ..free("report", P::Listen, |_| FromParticipant::Report(Report::default())) },
        Attempt { permission: None, ..free("choose a profile", P::Listen, |_| FromParticipant::SetProfile { profile: Some(Profile::Audience) }) },
        Attempt { permission: None, ..free("list the public rooms", P::Listen, |_| FromParticipant::ListRooms { after: None }) },
        Attempt { permission: None, ..free("leave", P::Listen, |_| FromParticipant::Leave {}) },
    ]
}

type Message = Box<dyn Fn(&Scene) -> FromParticipant>;

fn free(
    name: &'static str,
    permission: Permission,
    message: impl Fn(&Scene) -> FromParticipant + 'static,
) -> Attempt {
    let (permission, message) = (Some(permission), Box::new(message));
    Attempt { name, permission, against: None, first: First::Nothing, message }
}

fn act(
    name: &'static str,
    permission: Permission,
    act: impl Fn(&Scene) -> Govern + 'static,
) -> Attempt {
    free(name, permission, move |scene| FromParticipant::Govern { act: act(scene) })
}

fn set(name: &'static str, permission: Permission, change: fn() -> RoomChange) -> Attempt {
    act(name, permission, move |_| Govern::Set { change: change(), reason: note("") })
}

fn against(role: Option<Role>, attempt: Attempt) -> Attempt {
    Attempt { against: role, ..attempt }
}

fn note(text: &str) -> Note {
    text.parse().unwrap()
}

fn subject(name: &str) -> Target {
    Target::Subject(name.parse().unwrap())
}

fn silence(participant: ParticipantId) -> Govern {
    Govern::Silence { participant, on: true, reason: note("") }
}

fn remove(participant: ParticipantId) -> Govern {
    Govern::RemoveFromStage { participant, reason: note("") }
}

fn kick(target: Target) -> Govern {
    Govern::Kick { target, reason: note("") }
}

fn ban(target: Target) -> Govern {
    Govern::Ban { target, duration_s: None, reason: note("") }
}

fn set_role(name: &str, role: Role) -> Govern {
    Govern::SetRole { target: subject(name), role, reason: note("") }
}

fn permit(name: &str, allow: bool) -> Govern {
    let (target, permission) = (subject(name), Permission::Kick);
    Govern::SetPermission { target, permission, allow: Some(allow), reason: note("") }
}

fn invitation(role: Role) -> Govern {
    Govern::MakeInvitation { subject: None, role, valid_for_s: 60 }
}

/// The channel that relays of the tests use.
const CHANNEL: Channel = Channel(7);
/// Number of the requests that relays of the tests send.
const REQUEST: RequestId = RequestId(1);

impl Scene {
    /// A room with a host, a speaker and a raised hand, and somebody in it who is about to try
    /// something.
    fn new(policy: &Policy, place: usize, principal: &Principal, first: First) -> Self {
        let tree = Tree::with_policy(policy);
        let session = SessionKey([9; 16]);
        let nobody = usize::MAX;
        let mut scene = Self {
            tree,
            place,
            principal: *principal,
            host_index: nobody,
            host: crate::auth::participant_id(&SessionKey([1; 16])),
            speaker: nobody,
            hand: nobody,
            me: None,
            session,
            entries: 0,
        };
        let is_host = matches!(principal.kind, Kind::In { token: "host", .. });
        let is_empty = first == First::NoRoom;
        if is_empty && principal.kind != Kind::Banned {
            return scene;
        }
        if is_host {
            scene.session = SessionKey([1; 16]);
            scene.enter();
            scene.host_index = scene.me.unwrap();
        } else {
            let claims = json!({"sub": "host", "role": "host"});
            scene.host_index = scene.tree.join_by_token(ORIGIN, 1, Role::Host, claims);
        }
        assert_eq!(scene.tree.joined(scene.host_index), Some(Role::Host));
        let change = RoomChange {
            access: Some(Access::Open),
            texts: Some(true),
            questions: Some(true),
            ..RoomChange::default()
        };
        scene.tree.set(scene.host_index, change);
        let claims = json!({"sub": "speaker", "role": "speaker"});
        scene.speaker = scene.tree.join_by_token(OTHER_LEAF, 3, Role::Speaker, claims);
        let claims = json!({"sub": "friend", "role": "listener"});
        scene.hand = scene.tree.join_by_token(OTHER_LEAF, 4, Role::Listener, claims);
        scene.tree.ask(scene.hand, FromParticipant::RaiseHand { note: note("") });
        if !is_host {
            scene.enter();
        }
        scene.prepare(first);
        scene.entries = scene.log_entries();
        scene
    }

    /// Brings whoever is to try something to where they try it from.
    fn enter(&mut self) {
        match self.principal.kind {
            Kind::In { asks, .. } => self.come_in(role(asks)),
            Kind::Guest => self.come_in(Role::Listener),
            Kind::Silenced => {
                self.come_in(Role::Speaker);
                self.by_host(silence(self.my_id()));
            }
            Kind::Banned => {
                self.come_in(Role::Speaker);
                self.by_host(ban(subject("me")));
            }
            Kind::OneShot(_)
            | Kind::GuestOneShot
            | Kind::Expired
            | Kind::Elsewhere
            | Kind::NotJoined
            | Kind::Unsubscribed
            | Kind::NoCredentials => {}
        }
        let Principal { allow, deny, .. } = self.principal;
        for (set, allow) in [(allow, true), (deny, false)] {
            for permission in set.iter() {
                let (target, allow) = (subject("me"), Some(allow));
                let reason = note("");
                self.by_host(Govern::SetPermission { target, permission, allow, reason });
            }
        }
    }

    fn come_in(&mut self, role: Role) {
        let me = self.connect();
        let message = self.join(role);
        self.tree.ask(me, message);
        assert!(self.tree.joined(me).is_some(), "{:?}", self.tree.refusal(me));
        self.me = Some(me);
    }

    fn prepare(&mut self, first: First) {
        let me = self.my_target();
        match first {
            First::Nothing => {}
            // Who is on the stage already cannot be invited.
            First::Invited => {
                let target = me;
                self.tree.govern(self.host_index, Govern::Invite { target });
            }
            First::ListenerInvited => self.by_host(Govern::Invite { target: subject("friend") }),
            First::SomebodyBanned => self.by_host(ban(subject("enemy"))),
            First::Decided if self.principal.kind == Kind::Banned => {}
            First::Decided => {
                let (permission, allow) = (Permission::SeeBans, Some(false));
                let reason = note("");
                self.by_host(Govern::SetPermission { target: me, permission, allow, reason });
            }
            First::Appealed => {
                let speaker = self.id(self.speaker);
                self.by_host(silence(speaker));
                let act = Govern::Appeal { entry: self.log_entries(), text: note("no") };
                let request = self.tree.govern(self.speaker, act);
                assert!(self.tree.is_answered(self.speaker, request));
            }
            First::Asked => {
                let text = note("Why?");
                self.tree.ask(self.hand, FromParticipant::Ask { text });
                // Everybody is told of it.
                self.tree.pass(std::time::Duration::from_secs(1));
            }
            First::NoRoom => self.by_host(Govern::EndRoom {}),
        }
    }

    fn by_host(&mut self, act: Govern) {
        let request = self.tree.govern(self.host_index, act.clone());
        let answer = self.tree.answer(self.host_index, request);
        assert_eq!(answer, Some(&ToParticipant::Ok {}), "{act:?}");
    }

    /// The principal, as the target of a ruling.
    fn my_target(&self) -> Target {
        match self.principal.kind {
            Kind::In { token: "host", .. }
            | Kind::OneShot("host")
            | Kind::Unsubscribed
            | Kind::NoCredentials => subject("host"),
            Kind::Guest | Kind::GuestOneShot | Kind::NotJoined => Target::Participant(self.my_id()),
            Kind::In { .. }
            | Kind::OneShot(_)
            | Kind::Silenced
            | Kind::Banned
            | Kind::Expired
            | Kind::Elsewhere => subject("me"),
        }
    }

    fn my_id(&self) -> ParticipantId {
        crate::auth::participant_id(&self.session)
    }

    fn id(&self, person: usize) -> ParticipantId {
        // Where no room is, nobody is meant.
        self.tree.people.get(person).map_or(ParticipantId(1), |person| person.id)
    }

    fn asks(&self) -> Role {
        match self.principal.kind {
            Kind::In { asks, .. } => role(asks),
            Kind::OneShot(token) => role(token),
            Kind::Silenced | Kind::Banned | Kind::Expired | Kind::Elsewhere => Role::Speaker,
            Kind::Guest | Kind::GuestOneShot | Kind::NotJoined => Role::Listener,
            Kind::Unsubscribed | Kind::NoCredentials => Role::Host,
        }
    }

    /// Token that they show; `None`, if they have none.
    fn token(&self) -> Option<String> {
        let of = |role: &str, name: &str| json!({"sub": name, "role": role});
        Some(token(match self.principal.kind {
            Kind::In { token: "host", .. } | Kind::OneShot("host") => of("host", "host"),
            Kind::In { token, .. } | Kind::OneShot(token) => of(token, "me"),
            Kind::Silenced | Kind::Banned => of("speaker", "me"),
            Kind::Expired => {
                json!({"sub": "me", "role": "host", "iat": EPOCH_S - 900, "exp": EPOCH_S - 60})
            }
            Kind::Elsewhere => json!({"sub": "me", "role": "host", "video": {
                "room": "cellar", "roomJoin": true, "roomAdmin": true, "roomCreate": true,
                "canPublish": true, "canSubscribe": true,
            }}),
            Kind::Guest
            | Kind::GuestOneShot
            | Kind::NotJoined
            | Kind::Unsubscribed
            | Kind::NoCredentials => return None,
        }))
    }

    fn newer_token(&self) -> String {
        let (name, role) = match self.principal.kind {
            Kind::In { token: "host", .. } | Kind::OneShot("host") => ("host", "host"),
            Kind::In { token, .. } | Kind::OneShot(token) => ("me", token),
            Kind::Silenced | Kind::Banned => ("me", "speaker"),
            Kind::Guest
            | Kind::GuestOneShot
            | Kind::Expired
            | Kind::Elsewhere
            | Kind::NotJoined
            | Kind::Unsubscribed
            | Kind::NoCredentials => ("me", "host"),
        };
        token(json!({"sub": name, "role": role, "exp": EPOCH_S + 90_000}))
    }

    fn join(&self, role: Role) -> FromParticipant {
        FromParticipant::Join(Join {
            room: room(),
            session: self.session.clone(),
            name: "me".parse().unwrap(),
            role,
            token: self.token().map(Into::into),
            returning: false,
            heard: Vec::new(),
            profile: None,
            redundancy: false,
            way: None,
            share: None,
            stay_s: None,
        })
    }

    fn one_shot(&self, act: Govern) -> FromParticipant {
        FromParticipant::OneShot(OneShot {
            room: room(),
            session: self.session.clone(),
            name: "me".parse().unwrap(),
            role: Role::Listener,
            token: self.token().map(Into::into),
            act,
        })
    }

    /// A new connection of whoever tries, from elsewhere if they have no token.
    fn connect(&mut self) -> usize {
        let me = self.tree.connect(self.place, self.session.0[0]);
        self.tree.people[me].remote = "192.0.2.7:9".parse().unwrap();
        me
    }

    /// Tries it. The answer comes back, if there is one.
    fn attempt(&mut self, message: FromParticipant) -> Option<ToParticipant> {
        match (self.principal.kind, self.me) {
            (Kind::Unsubscribed | Kind::NoCredentials, _) => self.attempt_as_relay(message),
            (Kind::In { .. } | Kind::Guest | Kind::Silenced, Some(me))
                if !matches!(message, FromParticipant::Join(_)) =>
            {
                self.ask(me, message)
            }
            (Kind::NotJoined, _) => {
                let me = self.connect();
                self.ask(me, message)
            }
            (
                Kind::In { .. }
                | Kind::Guest
                | Kind::Silenced
                | Kind::OneShot(_)
                | Kind::GuestOneShot
                | Kind::Banned
                | Kind::Expired
                | Kind::Elsewhere,
                _,
            ) => {
                let me = self.connect();
                let one_shot = govern_of(&message).map(|act| self.one_shot(act.clone()));
                let message = one_shot.unwrap_or(message);
                self.ask(me, message)
            }
        }
    }

    fn ask(&mut self, me: usize, message: FromParticipant) -> Option<ToParticipant> {
        let leaves = message == FromParticipant::Leave {};
        let request = self.tree.ask(me, message);
        if leaves && self.tree.closed(me).is_some() && self.tree.answer(me, request).is_none() {
            return Some(ToParticipant::Ok {});
        }
        self.tree.answer(me, request).cloned()
    }

    /// The same from a relay below, in the host's name.
    fn attempt_as_relay(&mut self, message: FromParticipant) -> Option<ToParticipant> {
        let (link, place) = (self.tree.link(), self.place);
        let hello = ToParent::Hello {
            relay: RelayId(99),
            name: "below".parse().unwrap(),
            height: 1,
            token: None,
        };
        self.send_from_below(link, hello);
        let has_subscribed = self.principal.kind == Kind::NoCredentials;
        if has_subscribed {
            let subscribe = ToParent::Subscribe { channel: CHANNEL, room: room(), heard: vec![] };
            self.send_from_below(link, subscribe);
        }
        self.tree.strays.clear();
        let by = (!has_subscribed).then(|| Credentials {
            subject: "host".parse().unwrap(),
            name: "me".parse().unwrap(),
            role: Role::Host,
            may_open: true,
            barred: false,
            came_by: None,
        });
        let message = from_below(self.host, by.as_ref(), message);
        self.send_from_below(link, message);
        let to_us = self.tree.strays.iter().filter(|(relay, to, _)| (*relay, *to) == (place, link));
        to_us.map(|(_, _, bytes)| read::<ToChild>(bytes).1).find_map(|message| match message {
            ToChild::Deliver { request: Some(REQUEST), message, .. } => Some(message),
            ToChild::Rooms { rooms, more } => Some(ToParticipant::Rooms { rooms, more }),
            ToChild::Welcome { .. }
            | ToChild::Path { .. }
            | ToChild::State { .. }
            | ToChild::Rulings { .. }
            | ToChild::Reactions { .. }
            | ToChild::Texts { .. }
            | ToChild::Questions { .. }
            | ToChild::Listeners { .. }
            | ToChild::Protect { .. }
            | ToChild::Deliver { .. }
            | ToChild::Replaced { .. }
            | ToChild::Query { .. }
            | ToChild::Answer { .. }
            | ToChild::GoAway { .. }
            | ToChild::Unknown => None,
        })
    }

    fn send_from_below(&mut self, link: crate::messages::LinkId, message: ToParent) {
        let (remote, certified) = ("127.0.0.1:1".parse().unwrap(), false);
        self.tree.event(
            self.place,
            ShardEvent::FromChild { link, remote, certified, message: Box::new(message) },
        );
    }

    fn log_entries(&mut self) -> u64 {
        self.tree.store.read_log(&room(), 1, 1).unwrap().total
    }

    /// Everything that a refusal leaves as it is.
    fn all(&mut self) -> (Option<RoomState>, usize, u64) {
        let room = self.tree.hubs[ORIGIN].room(&room());
        let state = room.map(|room| room.state().clone());
        let state = state.filter(|state| !state.stage.is_empty());
        // A room that is over is read in when somebody asks for it.
        let rulings = room.filter(|_| state.is_some()).map_or(0, |room| room.rulings());
        (state, rulings, self.log_entries())
    }
}

/// A participant's message, as a relay below would pass it on.
fn from_below(
    participant: ParticipantId,
    by: Option<&Credentials>,
    message: FromParticipant,
) -> ToParent {
    let act = |action| ToParent::Act {
        channel: CHANNEL,
        participant,
        request: Some(REQUEST),
        by: by.cloned(),
        action,
    };
    match message {
        FromParticipant::Join(join) if join.role == Role::Listener => act(Act::Present {}),
        FromParticipant::Join(join) => act(Act::Enter { role: join.role }),
        FromParticipant::Leave {} => act(Act::Left {}),
        FromParticipant::RaiseHand { note } => act(Act::RaiseHand { note }),
        FromParticipant::LowerHand {} => act(Act::LowerHand {}),
        FromParticipant::LeaveStage {} => act(Act::LeaveStage {}),
        FromParticipant::OwnMute { muted } => act(Act::OwnMute { muted }),
        FromParticipant::Write { .. } => ToParent::Texts { channel: CHANNEL, texts: vec![] },
        FromParticipant::Vote { .. } => {
            let relay = RelayId(99);
            let tally = RelayTally::unchanged(relay, "below".parse().unwrap(), 1, 1);
            ToParent::Tally { channel: CHANNEL, tally }
        }
        FromParticipant::Ask { text } => act(Act::Ask { text }),
        FromParticipant::React { reaction: of } => {
            ToParent::Reactions { channel: CHANNEL, counts: [(of, 1)].into() }
        }
        FromParticipant::RenewToken { .. } | FromParticipant::Unknown => act(Act::Unknown),
        FromParticipant::SetProfile { .. } => act(Act::Unknown),
        FromParticipant::Report(_) => {
            ToParent::Quality { channel: CHANNEL, quality: Quality::default() }
        }
        FromParticipant::Govern { act: what } => act(Act::Govern { act: what }),
        FromParticipant::OneShot(one_shot) => act(Act::OneShot { act: one_shot.act }),
        FromParticipant::ListRooms { after } => ToParent::ListRooms { after },
    }
}

fn room() -> tribune_protocol::ids::RoomName {
    "stage".parse().unwrap()
}

/// The letters of refusals.
const LETTERS: [(ErrorCode, char); 10] = [
    (ErrorCode::NotPermitted, '-'),
    (ErrorCode::BadRequest, '?'),
    (ErrorCode::NotJoined, 'j'),
    (ErrorCode::RoomNotFound, 'r'),
    (ErrorCode::NoSuchParticipant, 'n'),
    (ErrorCode::NoHand, 'h'),
    (ErrorCode::Barred, 'b'),
    (ErrorCode::TokenExpired, 'e'),
    (ErrorCode::TokenWrongRoom, 'w'),
    (ErrorCode::TokenMissing, 't'),
];

/// Act that a message asks of the origin, if it governs.
fn govern_of(message: &FromParticipant) -> Option<&Govern> {
    if let FromParticipant::Govern { act } = message { Some(act) } else { None }
}

/// The letter of an answer. What is not permitted is `-`, whoever's word that is.
fn letter(answer: Option<&ToParticipant>) -> char {
    match answer {
        None => '.',
        Some(ToParticipant::Log(page)) if page.own_only => 'p',
        Some(ToParticipant::Err { code, message }) => {
            let known = LETTERS.iter().find(|(known, _)| known == code);
            known.unwrap_or_else(|| panic!("no letter for {code}: {message}")).1
        }
        Some(_) => '+',
    }
}

/// Answer of the policy table for a cell; `None` of those who have no row there.
fn permitted(policy: &Policy, principal: &Principal, attempt: &Attempt) -> Option<bool> {
    let by = role(principal.role?);
    let Some(permission) = attempt.permission else { return Some(true) };
    let may = policy.may(by).union(principal.allow).minus(principal.deny);
    let outranked = |against| overrules(permission) && policy.rank(against) > policy.rank(by);
    Some(may.contains(permission) && !attempt.against.is_some_and(outranked))
}

/// The lines of the expected table, and the principals in its head.
fn expected() -> (Vec<&'static str>, BTreeMap<&'static str, Vec<char>>) {
    let mut principals = Vec::new();
    let mut lines = BTreeMap::new();
    for line in EXPECTED.lines() {
        if let Some(legend) = line.strip_prefix('#') {
            principals.extend(legend.strip_prefix(" column ").map(str::trim));
        } else if !line.trim().is_empty() {
            let (name, letters) = line.split_once('|').expect("a name, a bar, letters");
            lines.insert(name.trim(), letters.chars().filter(|c| !c.is_whitespace()).collect());
        }
    }
    (principals, lines)
}

/// One place's part of the matrix, line by line.
fn run(place: usize) -> Vec<Vec<char>> {
    let policy = policy();
    let line =
        |attempt: &Attempt| PRINCIPALS.iter().map(|p| cell(&policy, place, p, attempt)).collect();
    attempts().iter().map(line).collect()
}

fn cell(policy: &Policy, place: usize, principal: &Principal, attempt: &Attempt) -> char {
    let mut scene = Scene::new(policy, place, principal, attempt.first);
    let message = (attempt.message)(&scene);
    let before = scene.all();
    let answer = scene.attempt(message);
    let letter = letter(answer.as_ref());
    if letter != '+' && scene.all() != before {
        let (attempt, principal) = (attempt.name, principal.name);
        println!("{attempt} by {principal} is refused, and changes something: {answer:?}");
        println!("before: {before:?}\nafter:  {:?}", scene.all());
        return '!';
    }
    letter
}

#[test]
fn every_cell_is_as_expected_at_every_place() {
    let (principals, lines) = expected();
    let columns: Vec<_> = PRINCIPALS.iter().map(|principal| principal.name).collect();
    assert_eq!(principals, columns, "the columns of matrix.txt are the principals");
    let runs: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = PLACES.iter().map(|(_, at)| scope.spawn(move || run(*at))).collect();
        runs.into_iter().map(|run| run.join().expect("every cell can be tried")).collect()
    });
    let mut wrong = Vec::new();
    for (row, attempt) in attempts().iter().enumerate() {
        let empty = Vec::new();
        let line = lines.get(attempt.name).unwrap_or(&empty);
        for (column, principal) in PRINCIPALS.iter().enumerate() {
            for ((place, _), run) in PLACES.iter().zip(&runs) {
                let (expected, found) = (line.get(column).copied(), run[row][column]);
                let expected = expected.map(|letter| if letter == 'x' { '-' } else { letter });
                if expected != Some(found) {
                    let cell = format!("{} by {} at the {place}", attempt.name, principal.name);
                    wrong.push(format!("{cell}: {found}, expected {expected:?}"));
                }
            }
        }
    }
    if !wrong.is_empty() {
        for (attempt, line) in attempts().iter().zip(&runs[0]) {
            let letters: Vec<_> = line.iter().map(char::to_string).collect();
            println!("{:26}| {}", attempt.name, letters.join(" "));
        }
        panic!("{} cells are wrong:\n{}", wrong.len(), wrong.join("\n"));
    }
    let (principals, attempts) = (PRINCIPALS.len(), attempts().len());
    println!(
        "security matrix: {} cells = {principals} principals x {attempts} actions x {} places",
        principals * attempts * PLACES.len(),
        PLACES.len()
    );
}

/// The cells in which what is expected is not what a policy table says.
fn disagreements(policy: &Policy) -> Vec<String> {
    let (_, lines) = expected();
    let mut found = Vec::new();
    for attempt in attempts() {
        for (principal, letter) in PRINCIPALS.iter().zip(&lines[attempt.name]) {
            // Rights are looked at before anything else, but for whether somebody is in a room at all.
            let agrees = match permitted(policy, principal, &attempt) {
                Some(true) => !"-p".contains(*letter),
                Some(false) => "-prj".contains(*letter),
                // Nobody who is not in the room, or does not truly say who they are, has a row.
                None => true,
            };
            if !agrees {
                found.push(format!("{} by {}: {letter}", attempt.name, principal.name));
            }
        }
    }
    found
}

#[test]
fn what_is_expected_is_what_the_policy_table_says() {
    let (_, lines) = expected();
    let attempts = attempts();
    let names: BTreeSet<_> = attempts.iter().map(|attempt| attempt.name).collect();
    assert_eq!(names, lines.keys().copied().collect(), "the lines of matrix.txt are the actions");
    for (name, line) in &lines {
        assert_eq!(line.len(), PRINCIPALS.len(), "{name}");
    }
    assert_eq!(disagreements(&policy()), Vec::<String>::new());
}

#[test]
fn a_changed_cell_of_the_policy_table_is_noticed() {
    for row in policy().rows() {
        for permission in Permission::ALL {
            let mut changed = policy();
            changed.flip(row.role, *permission);
            assert_ne!(disagreements(&changed), Vec::<String>::new(), "{} {permission}", row.role);
        }
    }
}

#[test]
fn there_is_no_untested_cell() {
    let attempts = attempts();
    let used: BTreeSet<_> = attempts.iter().filter_map(|attempt| attempt.permission).collect();
    let all: BTreeSet<_> = Permission::ALL.iter().copied().collect();
    let missing: Vec<_> = all.difference(&used).collect();
    assert!(missing.is_empty(), "no action takes {missing:?}");

    let scene = Scene::new(&policy(), ORIGIN, &PRINCIPALS[0], First::Nothing);
    let messages: Vec<_> = attempts.iter().map(|attempt| (attempt.message)(&scene)).collect();
    let kinds: BTreeSet<_> = messages.iter().map(message_number).collect();
    assert_eq!(kinds, (0..MESSAGES).collect(), "each message of a participant");
    let acts: BTreeSet<_> = messages.iter().filter_map(govern_of).map(govern_number).collect();
    assert_eq!(acts, (0..GOVERNS).collect(), "each request to govern");

    let tried: BTreeSet<_> = PRINCIPALS.iter().filter_map(|p| p.role).map(role).collect();
    for row in policy().rows() {
        assert!(tried.contains(&row.role), "nobody tries as {}", row.role);
    }
}

/// Messages that a participant sends, but the ones of a later version, and one-shot requests: each principal
/// who is not in the room sends what it governs as one.
const MESSAGES: usize = 15;

/// Numbers them; a new one does not compile until it has a number, and fails until it has a line.
fn message_number(message: &FromParticipant) -> usize {
    match message {
        FromParticipant::Join(_) => 0,
        FromParticipant::Leave {} => 1,
        FromParticipant::RaiseHand { .. } => 2,
        FromParticipant::LowerHand {} => 3,
        FromParticipant::LeaveStage {} => 4,
        FromParticipant::OwnMute { .. } => 5,
        FromParticipant::React { .. } => 6,
        FromParticipant::RenewToken { .. } => 7,
        FromParticipant::Govern { .. } | FromParticipant::OneShot(_) => 8,
        FromParticipant::ListRooms { .. } | FromParticipant::Unknown => 9,
        FromParticipant::Report(_) => 10,
        FromParticipant::SetProfile { .. } => 11,
        FromParticipant::Write { .. } => 12,
        FromParticipant::Ask { .. } => 13,
        FromParticipant::Vote { .. } => 14,
    }
}

/// Requests to govern.
const GOVERNS: usize = 35;

/// The same for what can be asked of the origin.
fn govern_number(act: &Govern) -> usize {
    match act {
        Govern::LowerHand { .. } => 0,
        Govern::Grant { .. } => 1,
        Govern::Deny { .. } => 2,
        Govern::ClearHands { .. } => 3,
        Govern::ListHands {} => 4,
        Govern::Invite { .. } => 5,
        Govern::Uninvite { .. } => 6,
        Govern::AnswerInvite { .. } => 7,
        Govern::AskMute { .. } => 8,
        Govern::Silence { .. } => 9,
        Govern::SilenceAll { .. } => 10,
        Govern::RemoveFromStage { .. } => 11,
        Govern::Kick { .. } => 12,
        Govern::Ban { .. } => 13,
        Govern::Unban { .. } => 14,
        Govern::ListBans { .. } => 15,
        Govern::SetRole { .. } => 16,
        Govern::SetPermission { .. } => 17,
        Govern::HandOver { .. } => 18,
        Govern::Create { .. } => 19,
        Govern::Set { .. } => 20,
        Govern::Show {} => 21,
        Govern::MakeInvitation { .. } => 22,
        Govern::ReadLog { .. } => 23,
        Govern::Appeal { .. } => 24,
        Govern::AnswerAppeal { .. } => 25,
        Govern::EndRoom {} => 26,
        Govern::Unknown => 27,
        Govern::ListListeners { .. } => 28,
        Govern::ShowListener { .. } => 29,
        Govern::MakeShare { .. } => 30,
        Govern::TellMe { .. } => 31,
        Govern::HideText { .. } => 32,
        Govern::CloseQuestion { .. } => 33,
        Govern::ReadStatistics { .. } => 34,
    }
}
