//! Last reports of members, for queries about single listeners.

use std::time::Instant;

use tribune_protocol::control::query::TreeQuery;
use tribune_protocol::ids::{DisplayName, ParticipantId};
use tribune_protocol::quality::report::ListenerReport;

use super::members::{Member, Members};
use super::rights;
use crate::quality::worst_first;
use crate::room::view::RoomView;

/// Last reports of members, as far as a query asks for them.
pub(super) fn reports(
    members: &Members,
    view: RoomView<'_>,
    now: Instant,
    about: &TreeQuery,
    relay: &DisplayName,
) -> Vec<ListenerReport> {
    let report = |who: ParticipantId, member: &Member| {
        let (at, report) = member.report()?;
        let age = now.saturating_duration_since(at).as_millis();
        let (name, relay) = (member.name().clone(), relay.clone());
        let role = rights::role(view, who, Some(member));
        let profile = rights::view_key(view, who, Some(member)).profile;
        let age_ms = u32::try_from(age).unwrap_or(u32::MAX);
        Some(ListenerReport { participant: who, name, role, relay, profile, age_ms, report })
    };
    match about {
        TreeQuery::Listeners { worst, by, .. } => {
            let all = members.iter().filter_map(|(who, member)| report(who, member));
            worst_first(all.collect(), *by, (*worst).into())
        }
        TreeQuery::Listener { participant, .. } => {
            let member = members.get(*participant);
            member.and_then(|member| report(*participant, member)).into_iter().collect()
        }
        TreeQuery::Relays {} | TreeQuery::Unknown => Vec::new(),
    }
}
