//! Every bound of the protocol, in one place, with its unit and its reason.
//!
//! A sender never exceeds these; a receiver treats an excess as SPEC.md section 9 says.

use std::time::Duration;

/// Time between two frames of a track. Version 1 knows no other; it is also the unit of [`crate::ids::Seq`].
pub const FRAME_PERIOD: Duration = Duration::from_millis(20);
/// Opus bytes in one frame: 256 kb/s at 20 ms. One frame fits a datagram on any path that carries QUIC.
pub const MAX_OPUS_BYTES: usize = 640;
/// Extension bytes in one frame: room for a handful of extensions, no more than a header's worth.
pub const MAX_EXTENSION_BYTES: usize = 64;
/// Frames of a talkspurt that say their place in it: five datagrams of an audience and more than a burst of losses is
/// long, at 4 bytes each.
pub const ONSET_FRAMES: u8 = 16;
/// Frames in one datagram: top-N at its largest times the ticks of a packed datagram.
pub const MAX_FRAMES_PER_DATAGRAM: usize = 32;
/// Payload of a datagram: RFC 9000 guarantees 1,200 bytes a UDP packet; QUIC's own header, an
/// authentication tag and the DATAGRAM frame header need at most 38 of them with 8-byte connection IDs.
pub const MAX_DATAGRAM_BYTES: usize = 1_162;
/// Least delay of playout in the profile `audience`: one round of repair over a long path.
pub const MIN_PLAYOUT_DELAY: Duration = Duration::from_millis(200);
/// Longest delay of playout that can be chosen: what a relay keeps for repair.
pub const MAX_PLAYOUT_DELAY: Duration = Duration::from_secs(2);
/// Delay of playout in `audience` where nobody has chosen: several rounds of repair over any path.
pub const DEFAULT_PLAYOUT_DELAY: Duration = Duration::from_millis(500);
/// Missing frames named in one NACK datagram: one second of one track.
pub const MAX_NACK_FRAMES: usize = 50;
/// A control message, without its length prefix. Large enough for a full stage, small enough to buffer per connection.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024;
/// Nesting of maps and arrays in a control message. The deepest message of this version has 7 levels.
pub const MAX_MESSAGE_DEPTH: usize = 12;
/// A room's name, in bytes.
pub const MAX_ROOM_NAME_BYTES: usize = 64;
/// The place of a relay as `host:port`, in bytes: the longest name of DNS, a colon, a port.
pub const MAX_PLACE_BYTES: usize = 260;
/// A participant's or relay's name, in bytes.
pub const MAX_NAME_BYTES: usize = 64;
/// A subject. Fits mail addresses and the ids of other services.
pub const MAX_SUBJECT_BYTES: usize = 128;
/// A role's name, in bytes. Fits a column of a table.
pub const MAX_ROLE_NAME_BYTES: usize = 24;
/// A note on a raised hand or a reason of a moderator, in bytes.
pub const MAX_NOTE_BYTES: usize = 200;
/// A token in `join` or `hello`, in bytes.
pub const MAX_TOKEN_BYTES: usize = 4 * 1024;
/// Attributes in one token. More than a room's rule can ask about.
pub const MAX_ATTRIBUTES: usize = 32;
/// An attribute's key, in bytes.
pub const MAX_ATTRIBUTE_KEY_BYTES: usize = 64;
/// An attribute's text, in bytes. Fits addresses and ids; a profile does not belong into a token.
pub const MAX_ATTRIBUTE_VALUE_BYTES: usize = 256;
/// Metadata in a token, in bytes. A quarter of the token.
pub const MAX_METADATA_BYTES: usize = 1024;
/// The most that the clock of an issuer of tokens may differ from the one that checks them.
pub const TOKEN_LEEWAY: Duration = Duration::from_secs(5);
/// A room's access rule, in bytes, as it stands and in canonical form. Fits a line that people read.
pub const MAX_RULE_BYTES: usize = 512;
/// Comparisons in one access rule. Bounds the work of an edge for each join.
pub const MAX_RULE_COMPARISONS: usize = 16;
/// Parentheses and negations in each other in one access rule. Bounds the parser's recursion.
pub const MAX_RULE_DEPTH: usize = 8;
/// Digits of a number in an access rule. A 64-bit float holds 15 decimal digits exactly.
pub const MAX_RULE_NUMBER_DIGITS: usize = 15;
/// Participants with the right to speak in one room. Keeps the room's state in one control message.
pub const MAX_STAGE: usize = 32;
/// Text of a share link, in bytes: the longest tag, in base64url.
pub const MAX_SHARE_TEXT_BYTES: usize = 64;
/// Tag of a share link, in bytes. A word, so that the link stays short.
pub const MAX_SHARE_TAG_BYTES: usize = 16;
/// Generations of share links that are told apart: a link comes that far from hand to hand, or it is famous.
pub const MAX_SHARE_GENERATION: u8 = 8;
/// Share links whose joins a relay keeps apart in one run of a room. Further ones are added up.
pub const MAX_SHARES_COUNTED: usize = 256;
/// Share links, relays and speakers named in one room's statistics. With names at their longest they fit a message.
pub const MAX_STATISTICS_ROWS: usize = 20;
/// Relays that one room's statistics keep apart. As many as a tree answers with.
pub const MAX_RELAYS_COUNTED: usize = 2_048;
/// Buckets of the course of a run: as many as a picture has pixels.
pub const MAX_STATISTICS_BUCKETS: usize = 1_024;
/// Buckets in one `statistics` message.
pub const MAX_BUCKETS_A_MESSAGE: usize = 128;
/// Marks on the course of a run: more would be one beside the other.
pub const MAX_STATISTICS_MARKS: usize = 400;
/// Marks in one `statistics` message. With names at their longest they fit.
pub const MAX_MARKS_A_MESSAGE: usize = 120;
/// Runs of a room named in its statistics.
pub const MAX_RUNS_LISTED: usize = 50;
/// Messages of the audience in one sample, and so a second: as many as people on a stage can read.
pub const MAX_TEXTS_A_SAMPLE: usize = 8;
/// Open questions of one room. The one with the fewest votes makes room.
pub const MAX_QUESTIONS: usize = 200;
/// Questions of one run whose votes are kept apart: more than are asked in an evening. Of more, the first ones are
/// forgotten.
pub const MAX_QUESTIONS_VOTED: usize = 1_000;
/// Questions named in one `questions` message: the ones with the most votes.
pub const MAX_QUESTIONS_SHOWN: usize = 20;
/// Questions named in one room's statistics.
pub const MAX_QUESTIONS_REPORTED: usize = 10;
/// The shortest time between two tallies of a relay, and between two totals of the origin: what somebody does is
/// in everybody's totals within two of them and the way.
pub const TALLY_PERIOD: Duration = Duration::from_millis(750);
/// Time after which a relay tells that stays have grown longer, where nothing else has changed.
pub const STAY_PERIOD: Duration = Duration::from_secs(30);
/// The shortest time between two sketches of a relay, where new persons have come: 2 KiB beside what 30 s of counts
/// cost.
pub const SKETCH_PERIOD: Duration = Duration::from_secs(30);
/// A sketch of distinct persons, in bytes.
pub const MAX_SKETCH_BYTES: usize = 8 * 1024;
/// The shortest time between two messages of a participant, where the room asks for no more.
pub const TEXT_PERIOD: Duration = Duration::from_secs(5);
/// Questions that one relay passes on a second, and at once after a pause: people cannot read more, and more
/// participants at the same relay pay for it.
pub const QUESTIONS_A_SECOND: u32 = 2;
/// Pause in somebody's speech after which a new turn begins.
pub const TURN_PAUSE: Duration = Duration::from_secs(2);
/// Longest duration of an announced room, in seconds: a day.
pub const MAX_DURATION_S: u32 = 86_400;
/// Raised hands in one room.
pub const MAX_HANDS: usize = 500;
/// Hands named in one `hands` message; the rest is a number.
pub const MAX_HANDS_SHOWN: usize = 40;
/// Persons of one room with a ruling of the origin: bans, roles, permissions, invitations to speak.
pub const MAX_RULINGS: usize = 4_096;
/// Rulings in one `rulings` message. A usual one has 150 bytes; of longer ones fewer are sent.
pub const MAX_RULINGS_A_MESSAGE: usize = 40;
/// Rulings taken back in one `rulings` message: 17 bytes each.
pub const MAX_LIFTED_A_MESSAGE: usize = 200;
/// Bans named in one `bans` message. With subjects, names and reasons at their longest they fit.
pub const MAX_BANS_A_MESSAGE: usize = 20;
/// Rooms named in one `rooms` message. Of those with long names and titles fewer are sent.
pub const MAX_ROOMS_A_MESSAGE: usize = 64;
/// Bytes of entries of the log in one `log` message: the room in a message beside its frame and the head.
pub const MAX_LOG_PAGE_BYTES: usize = 15 * 1024;
/// Relays from the origin to a leaf, both counted.
pub const MAX_TREE_DEPTH: usize = 8;
/// Tracks that go to listeners at the same time, unless a relay is told otherwise.
pub const DEFAULT_TOP_N: usize = 4;
/// Time that a relay keeps a frame for repair and resume.
pub const RING_SPAN: Duration = Duration::from_secs(2);
/// Time that the origin keeps role, track and hand of a participant without a connection.
pub const RECONNECT_GRACE: Duration = Duration::from_secs(30);
/// Time from the handshake to the first message, after which a connection is closed.
pub const JOIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Period of capture times in the frames of a track.
pub const CAPTURE_STAMP_PERIOD: Duration = Duration::from_secs(1);
/// Period of reports of reception.
pub const REPORT_PERIOD: Duration = Duration::from_secs(5);
/// The shortest time between two reports of a participant that count, and between two sums of them that
/// a child says: a report that was held up by the network is followed by the next one sooner.
pub const MIN_REPORT_PERIOD: Duration = Duration::from_secs(2);
/// Frames of one kind in one report. A full stage for twice the time of a report.
pub const MAX_REPORTED_FRAMES: u32 = 16_000;
/// Most microseconds that a time in a report is taken for, 60 s: a longer one is a clock's error.
pub const MAX_REPORTED_US: u32 = 60_000_000;
/// Loss that a speaker protects against, in percent. An encoder that expects more leaves the voice itself
/// too few bits.
pub const MAX_PROTECTED_LOSS_PERCENT: u8 = 20;
/// Length of the bursts that a speaker protects against. What lies further back than a listener's buffer
/// comes after its turn.
pub const MAX_PROTECTED_SPAN: Duration = Duration::from_millis(240);
/// Listeners named in one answer. With names at their longest they fit a message.
pub const MAX_LISTENERS_A_MESSAGE: usize = 30;
/// Relays named in one `seen` message. With names at their longest they fit.
pub const MAX_RELAYS_A_MESSAGE: usize = 12;
/// Relays that a whole tree answers with. A tree of as many serves millions.
pub const MAX_RELAYS_SEEN: usize = 2_048;
/// A relay's version, in bytes.
pub const MAX_VERSION_BYTES: usize = 32;
/// Detail of an entry of the log, in bytes. Two names and some words.
pub const MAX_DETAIL_BYTES: usize = 300;
/// A network address or a range of them as text, in bytes. IPv6 with a prefix length needs 49.
pub const MAX_ADDRESS_BYTES: usize = 64;
/// An entry of the log as it is stored and sent. Seven of the largest fit a control message.
pub const MAX_LOG_ENTRY_BYTES: usize = 2 * 1024;
