//! Lists and maps with a limit, as they are read: what is beyond it is not held. A relay keeps tallies of relays
//! below for a whole run, so that the size of a message is no bound for them.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Reads a list: the first entries, up to the limit.
pub(super) fn list<'de, const MAX: usize, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_seq(List::<MAX, T>(PhantomData))
}

/// Reads a map: the entries with the largest keys, up to the limit.
pub(super) fn map<'de, const MAX: usize, K, V, D>(
    deserializer: D,
) -> Result<BTreeMap<K, V>, D::Error>
where
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_map(Map::<MAX, K, V>(PhantomData))
}

struct List<const MAX: usize, T>(PhantomData<T>);

struct Map<const MAX: usize, K, V>(PhantomData<(K, V)>);

impl<'de, const MAX: usize, T: Deserialize<'de>> Visitor<'de> for List<MAX, T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::with_capacity(seq.size_hint().unwrap_or(0).min(MAX));
        while list.len() < MAX {
            let Some(entry) = seq.next_element()? else { return Ok(list) };
            list.push(entry);
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(list)
    }
}

impl<'de, const MAX: usize, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Visitor<'de>
    for Map<MAX, K, V>
{
    type Value = BTreeMap<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<BTreeMap<K, V>, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, value)) = entries.next_entry()? {
            map.insert(key, value);
            if map.len() > MAX {
                map.pop_first();
            }
        }
        Ok(map)
    }
}
