//! Reading of a run's statistics: the numbers, then the course page by page.

use tribune_protocol::control::command::Govern;
use tribune_protocol::limits::{MAX_STATISTICS_BUCKETS, MAX_STATISTICS_MARKS};
use tribune_protocol::statistics::{Bucket, Mark, Statistics, StatisticsPart, StatisticsWanted};

use crate::commands::oneshot::{Requests, no_answer};
use crate::outcome::CommandError;
use crate::session::oneshot::Answer;
use crate::stats::RunReport;

/// Attempts to read a course in one piece, while its buckets become twice as long.
const ATTEMPTS: u32 = 3;

/// Reads a run. Of a course that is `known`, only what has come since.
pub(super) async fn read(
    requests: &mut Requests,
    run: Option<u32>,
    known: Option<RunReport>,
) -> Result<RunReport, CommandError> {
    let mut report = numbers(requests, run).await?;
    let (mut buckets, mut marks) = match known {
        Some(known) if is_same_course(known.numbers(), report.numbers()) => known.into_course(),
        Some(_) | None => Default::default(),
    };
    for _ in 0..ATTEMPTS {
        let Statistics { run, buckets: bucket_count, marks: mark_count, .. } = *report.numbers();
        // The last one goes on while it is read.
        buckets.pop();
        read_buckets(requests, run, bucket_count, &mut buckets).await?;
        read_marks(requests, run, mark_count, &mut marks).await?;
        let after = numbers(requests, Some(run)).await?;
        if is_same_course(report.numbers(), after.numbers()) {
            break;
        }
        report = after;
        buckets.clear();
    }
    Ok(report.with_course(buckets, marks))
}

/// Reads the numbers of a run.
pub(super) async fn numbers(
    requests: &mut Requests,
    run: Option<u32>,
) -> Result<RunReport, CommandError> {
    let (statistics, runs) = ask(requests, run, StatisticsWanted::Numbers, |part| match part {
        StatisticsPart::Numbers { statistics, runs } => Some((statistics, runs)),
        StatisticsPart::Buckets { .. } | StatisticsPart::Marks { .. } | StatisticsPart::Unknown => {
            None
        }
    })
    .await?;
    Ok(RunReport::new(*statistics, runs))
}

async fn read_buckets(
    requests: &mut Requests,
    run: u32,
    count: u32,
    buckets: &mut Vec<Bucket>,
) -> Result<(), CommandError> {
    let count = MAX_STATISTICS_BUCKETS.min(count as usize);
    while buckets.len() < count {
        let wanted = StatisticsWanted::Buckets(buckets.len() as u32);
        let page = ask(requests, Some(run), wanted, |part| match part {
            StatisticsPart::Buckets { from, buckets } => Some((from, buckets)),
            StatisticsPart::Numbers { .. }
            | StatisticsPart::Marks { .. }
            | StatisticsPart::Unknown => None,
        });
        let (from, page) = page.await?;
        if page.is_empty() || from as usize != buckets.len() {
            break;
        }
        buckets.extend(page);
    }
    buckets.truncate(count);
    Ok(())
}

async fn read_marks(
    requests: &mut Requests,
    run: u32,
    count: u32,
    marks: &mut Vec<Mark>,
) -> Result<(), CommandError> {
    let count = MAX_STATISTICS_MARKS.min(count as usize);
    while marks.len() < count {
        let wanted = StatisticsWanted::Marks(marks.len() as u32);
        let page = ask(requests, Some(run), wanted, |part| match part {
            StatisticsPart::Marks { from, marks } => Some((from, marks)),
            StatisticsPart::Numbers { .. }
            | StatisticsPart::Buckets { .. }
            | StatisticsPart::Unknown => None,
        });
        let (from, page) = page.await?;
        if page.is_empty() || from as usize != marks.len() {
            break;
        }
        marks.extend(page);
    }
    marks.truncate(count);
    Ok(())
}

async fn ask<T>(
    requests: &mut Requests,
    run: Option<u32>,
    part: StatisticsWanted,
    wanted: impl FnOnce(StatisticsPart) -> Option<T>,
) -> Result<T, CommandError> {
    let answer = requests.ask(Govern::ReadStatistics { run, part }).await?;
    let part = if let Answer::Statistics { part } = answer { wanted(part) } else { None };
    part.ok_or_else(|| no_answer("statistics"))
}

/// Whether buckets of both are of the same run and length.
const fn is_same_course(one: &Statistics, other: &Statistics) -> bool {
    one.run == other.run && one.bucket_s == other.bucket_s
}
