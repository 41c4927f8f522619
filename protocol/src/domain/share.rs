//! Share links: the signed text `s` of a link, which says whose link it is and of which generation, never a
//! name. Relays of a room hold its share key and count joins by link; nobody else can make one up.

use std::fmt;
use std::str::FromStr;

use ring::hmac;
use serde::{Deserialize, Serialize};

use super::invalid_text::InvalidText;
use super::key::LogKey;
use crate::ids::{ByteString, RoomName, Subject};
use crate::limits::{MAX_SHARE_GENERATION, MAX_SHARE_TAG_BYTES, MAX_SHARE_TEXT_BYTES};
use crate::token::base64url;

/// Version of the text's layout.
const VERSION: u8 = 1;
/// Bytes of a share's id: 48 bits keep a million links apart, and a link short.
const ID_BYTES: usize = 6;
/// Bytes of the authentication code: 2^80 guesses for one join that counts wrongly.
const CODE_BYTES: usize = 10;
/// Version, generation, id, parent, length of the tag.
const FIXED_BYTES: usize = 2 + 2 * ID_BYTES + 1;

/// Key that authenticates the share links of one room. The origin derives it, relays of the room are told.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ByteString", into = "ByteString")]
pub struct ShareKey([u8; 32]);

/// Id of a share: one person's link with one tag. Written as 12 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct ShareId(u64);

/// Where a link is shared, in the sharer's words: up to 16 bytes of `a–z 0–9 -`; may be empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ShareTag(String);

/// Content of a share link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The share.
    #[serde(rename = "share")]
    pub id: ShareId,
    /// The share by which the sharer came; absent in the first generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ShareId>,
    /// 1 for the link of somebody who came by none, and one more for each link in between; at most 8, which
    /// stands for all further ones.
    pub generation: u8,
    /// Where it is shared.
    #[serde(default, skip_serializing_if = "ShareTag::is_empty")]
    pub tag: ShareTag,
}

/// A share as the text of a link, authenticated. Anybody can read it; relays check it.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ShareText(String);

/// Reason why a share's text does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// It is no share's text, or one of a later version.
    #[error("the text is not one of a share link")]
    Malformed,
    /// It has been altered, made up, or made for another room.
    #[error("the share link was not made by this room")]
    Forged,
}

impl ShareKey {
    /// The key of a room, derived from its origin's key.
    #[must_use]
    pub fn of(key: &LogKey, room: &RoomName) -> Self {
        // Ed25519 gives one signature for a key and a message, which nobody else can make.
        Self::derive(&key.sign(b"tribune share secret").0, room)
    }

    /// The key of a room, derived from a secret.
    fn derive(secret: &[u8], room: &RoomName) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let mut context = hmac::Context::with_key(&key);
        context.update(b"tribune share key\0");
        context.update(room.as_str().as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.sign().as_ref());
        Self(bytes)
    }

    fn code(&self, payload: &[u8]) -> [u8; CODE_BYTES] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let mut code = [0; CODE_BYTES];
        code.copy_from_slice(&hmac::sign(&key, payload).as_ref()[..CODE_BYTES]);
        code
    }
}

impl Share {
    /// The link of a person. The same person, parent and tag always give the same id.
    #[must_use]
    pub fn new(key: &ShareKey, sharer: &Subject, came_by: Option<&Self>, tag: ShareTag) -> Self {
        let parent = came_by.map(|share| share.id);
        let generation = came_by.map_or(1, |share| share.generation.saturating_add(1));
        let mac = hmac::Key::new(hmac::HMAC_SHA256, &key.0);
        let mut context = hmac::Context::with_key(&mac);
        context.update(b"tribune share id\0");
        context.update(&parent.unwrap_or(ShareId(0)).0.to_be_bytes());
        context.update(tag.0.as_bytes());
        context.update(b"\0");
        context.update(sharer.as_str().as_bytes());
        let digest = context.sign();
        let id = ShareId::of_bytes(&digest.as_ref()[..ID_BYTES]);
        Self { id, parent, generation: generation.min(MAX_SHARE_GENERATION), tag }
    }

    /// The link's text.
    #[must_use]
    pub fn seal(&self, key: &ShareKey) -> ShareText {
        let mut bytes = Vec::with_capacity(FIXED_BYTES + self.tag.0.len() + CODE_BYTES);
        bytes.extend([VERSION, self.generation]);
        bytes.extend(self.id.bytes());
        bytes.extend(self.parent.unwrap_or(ShareId(0)).bytes());
        bytes.push(self.tag.0.len() as u8);
        bytes.extend(self.tag.0.as_bytes());
        bytes.extend(key.code(&bytes));
        ShareText(base64url::encode(&bytes))
    }
}

impl ShareText {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Checks the text with the room's key.
    ///
    /// # Errors
    /// [`ShareError`]
    pub fn open(&self, key: &ShareKey) -> Result<Share, ShareError> {
        let bytes = base64url::decode(&self.0).ok_or(ShareError::Malformed)?;
        let split = bytes.len().checked_sub(CODE_BYTES).ok_or(ShareError::Malformed)?;
        let (payload, code) = bytes.split_at(split);
        let share = parse(payload).ok_or(ShareError::Malformed)?;
        // A guess learns nothing from the time that a comparison takes: one code is good for one join.
        if key.code(payload) != code {
            return Err(ShareError::Forged);
        }
        Ok(share)
    }
}

fn parse(payload: &[u8]) -> Option<Share> {
    let (head, tag) = payload.split_at_checked(FIXED_BYTES)?;
    let (version, generation, tag_len) = (head[0], head[1], head[FIXED_BYTES - 1]);
    let is_sound = version == VERSION
        && (1..=MAX_SHARE_GENERATION).contains(&generation)
        && usize::from(tag_len) == tag.len();
    if !is_sound {
        return None;
    }
    let id = ShareId::of_bytes(&head[2..2 + ID_BYTES]);
    let parent = ShareId::of_bytes(&head[2 + ID_BYTES..2 + 2 * ID_BYTES]);
    let tag = ShareTag::try_from(str::from_utf8(tag).ok()?.to_owned()).ok()?;
    Some(Share { id, parent: (parent.0 != 0).then_some(parent), generation, tag })
}

impl ShareId {
    fn of_bytes(bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(0, |id, byte| id << 8 | u64::from(*byte)))
    }

    fn bytes(self) -> [u8; ID_BYTES] {
        let mut bytes = [0; ID_BYTES];
        bytes.copy_from_slice(&self.0.to_be_bytes()[8 - ID_BYTES..]);
        bytes
    }
}

impl TryFrom<u64> for ShareId {
    type Error = &'static str;

    fn try_from(id: u64) -> Result<Self, Self::Error> {
        if id >> (8 * ID_BYTES) == 0 { Ok(Self(id)) } else { Err("a share's id has 48 bits") }
    }
}

impl From<ShareId> for u64 {
    fn from(id: ShareId) -> Self {
        id.0
    }
}

impl fmt::Display for ShareId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

impl fmt::Debug for ShareId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl ShareTag {
    /// The tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for ShareTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl TryFrom<String> for ShareTag {
    type Error = InvalidText;

    fn try_from(text: String) -> Result<Self, InvalidText> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if text.len() > MAX_SHARE_TAG_BYTES || !text.bytes().all(allowed) {
            let why = "is not up to 16 characters of a-z, 0-9 and '-'";
            return Err(InvalidText::new("tag", &text, why));
        }
        Ok(Self(text))
    }
}

impl FromStr for ShareTag {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        Self::try_from(text.to_owned())
    }
}

impl From<ShareTag> for String {
    fn from(tag: ShareTag) -> Self {
        tag.0
    }
}

impl fmt::Display for ShareTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ShareText {
    type Error = InvalidText;

    fn try_from(text: String) -> Result<Self, InvalidText> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if text.is_empty() || text.len() > MAX_SHARE_TEXT_BYTES || !text.bytes().all(allowed) {
            return Err(InvalidText::new("share link", &text, "is not one"));
        }
        Ok(Self(text))
    }
}

impl FromStr for ShareText {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        Self::try_from(text.to_owned())
    }
}

impl From<ShareText> for String {
    fn from(text: ShareText) -> Self {
        text.0
    }
}

impl fmt::Debug for ShareText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl fmt::Debug for ShareKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShareKey(secret)")
    }
}

impl TryFrom<ByteString> for ShareKey {
    type Error = &'static str;

    fn try_from(bytes: ByteString) -> Result<Self, Self::Error> {
        bytes.0.try_into().map(Self).map_err(|_| "a share key is 32 bytes")
    }
}

impl From<ShareKey> for ByteString {
    fn from(key: ShareKey) -> Self {
        Self(key.0.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(room: &str) -> ShareKey {
        ShareKey::derive(b"a secret of the origin", &room.parse().unwrap())
    }

    fn ada() -> Subject {
        "ada".parse().unwrap()
    }

    #[test]
    fn a_link_is_read_back_by_its_room_alone() {
        let first = Share::new(&key("stage"), &ada(), None, "mastodon".parse().unwrap());
        let text = first.seal(&key("stage"));
        assert_eq!(text.open(&key("stage")), Ok(first.clone()));
        assert_eq!(text.open(&key("other")), Err(ShareError::Forged));
        assert!(text.as_str().len() <= MAX_SHARE_TEXT_BYTES);
        let bob: Subject = "bob".parse().unwrap();
        let second = Share::new(&key("stage"), &bob, Some(&first), ShareTag::default());
        assert_eq!((second.generation, second.parent), (2, Some(first.id)));
        assert_eq!(second.seal(&key("stage")).open(&key("stage")), Ok(second));
    }

    #[test]
    fn an_altered_link_counts_as_none() {
        let text =
            Share::new(&key("stage"), &ada(), None, "x".parse().unwrap()).seal(&key("stage"));
        for at in 0..text.as_str().len() {
            let mut altered = text.as_str().as_bytes().to_vec();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered: ShareText = String::from_utf8(altered).unwrap().parse().unwrap();
            assert!(altered == text || altered.open(&key("stage")).is_err(), "{altered:?}");
        }
        for cut in 1..text.as_str().len() {
            let cut: ShareText = text.as_str()[..cut].parse().unwrap();
            assert!(cut.open(&key("stage")).is_err());
        }
    }

    #[test]
    fn the_same_person_and_tag_make_the_same_link() {
        let of = |who: &str, tag: &str| {
            Share::new(&key("stage"), &who.parse().unwrap(), None, tag.parse().unwrap()).id
        };
        assert_eq!(of("ada", "x"), of("ada", "x"));
        assert_ne!(of("ada", "x"), of("ada", "y"));
        assert_ne!(of("ada", "x"), of("bob", "x"));
    }

    #[test]
    fn generations_end_at_the_last() {
        let mut share = Share::new(&key("stage"), &ada(), None, ShareTag::default());
        for _ in 0..20 {
            share = Share::new(&key("stage"), &ada(), Some(&share), ShareTag::default());
        }
        assert_eq!(share.generation, MAX_SHARE_GENERATION);
        assert_eq!(share.seal(&key("stage")).open(&key("stage")), Ok(share));
    }
}
