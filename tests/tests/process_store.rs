//! Decisions of a room outlive its relay: a relay that is killed at any moment knows, once it is
//! started again, everything that it has acknowledged, and its log is whole.
//!
//! `make test` kills the relay 8 times; `TRIBUNE_KILLS=100` says how many times instead.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tribune_client::session::oneshot::{Answer, Config, OneShotClient};
use tribune_client::session::tls::Trust;
use tribune_protocol::control::command::Govern;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{ParticipantId, RoomName, SessionKey};
use tribune_protocol::log::{Head, LogPublicKey, SignedEntry, Verifier};
use tribune_tests::process::{Client, Process, Relay, RelayOptions, Scratch, with_scratch};

const ROOM: &str = "stage";
/// Time limit of a command on a busy machine.
const COMMAND: Duration = Duration::from_secs(20);
/// Time limit of one answer.
const ANSWER: Duration = Duration::from_secs(30);
/// Kills in `make test`.
const USUAL_KILLS: u32 = 8;
/// Time of a kill, from the first request on.
const LIVES_MS: std::ops::Range<u64> = 20..400;
/// Bytes that a file takes on a disk that is full: what a relay has logged by then, and less than its
/// database has.
#[cfg(target_os = "linux")]
const FULL_BYTES: u64 = 16 * 1024;
/// Moderators at the same time: their decisions share commits.
const MODERATORS: usize = 4;
/// From one decision of a moderator to the next: in the longest life that makes fewer messages than a
/// relay takes at once, which is 50.
const PAUSE: Duration = Duration::from_millis(10);
/// Persons whom each of them moderates.
const PERSONS: usize = 6;

/// State of a ban.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ban {
    Acknowledged,
    Lifted,
    /// The relay was killed before it answered.
    Unknown,
}

/// Acknowledged decisions.
#[derive(Debug, Default)]
struct Ledger {
    /// The reason given, which no other decision has.
    reasons: BTreeSet<String>,
    bans: BTreeMap<String, Ban>,
    /// Whether the guest is silenced, if that was not cut short.
    silenced: Option<bool>,
    asked: u32,
}

/// A relay that is killed repeatedly, and its output.
struct Trial {
    options: RelayOptions,
    room: RoomName,
    key: Option<LogPublicKey>,
    ledger: RefCell<Ledger>,
}

#[test]
fn a_relay_killed_at_any_moment_keeps_what_it_has_acknowledged() {
    with_scratch(|scratch| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut trial = Trial::new(scratch, "killed", RelayOptions::new("origin"));
        let mut relay = trial.options.start(scratch)?;
        // The same address each time, so that those in the room find it again.
        trial.options = trial.options.clone().listen(relay.address());
        let _host = in_room(&relay, scratch, "Host", "300")?;
        let _guest = in_room(&relay, scratch, "Guest", "500")?;
        let guest = runtime.block_on(on_stage(&relay, &trial.room, "Guest"))?;
        let mut chance = StdRng::seed_from_u64(1);
        let kills = kills();
        for kill in 1..=kills {
            let life = Duration::from_millis(chance.random_range(LIVES_MS));
            runtime.block_on(trial.moderate_until_killed(relay, guest, life))?;
            relay = trial.options.start(scratch)?;
            let checked = runtime.block_on(trial.check(&relay));
            checked.with_context(|| format!("after kill {kill}"))?;
        }
        Client::new(&["log", ROOM, "--verify"], &relay).run_well(scratch, "verify", COMMAND)?;
        let ledger = trial.ledger.borrow();
        println!(
            "{kills} kills, {} decisions asked for, {} acknowledged, all of them kept",
            ledger.asked,
            ledger.reasons.len()
        );
        ensure!(ledger.reasons.len() > 2 * kills as usize, "too few decisions to mean anything");
        Ok(())
    });
}

/// The file system takes no more for a while, as when a disk is full.
#[cfg(target_os = "linux")]
#[test]
fn where_nothing_can_be_stored_nothing_is_decided_and_the_audience_goes_on_listening() {
    with_scratch(|scratch| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let options = RelayOptions::new("origin").files_can_be_full();
        let mut trial = Trial::new(scratch, "full", options);
        let relay = trial.options.start(scratch)?;
        let mut host = in_room(&relay, scratch, "Host", "300")?;
        let mut listener =
            Client::listen(ROOM, "null".as_ref(), &relay).enter(scratch, "listener")?;
        let ban = |name: &str| {
            let subject = format!("sub:{name}");
            Client::new(&["ban", "create", ROOM, &subject], &relay).run(scratch, name, COMMAND)
        };
        let kept = ban("kept")?;
        ensure!(kept.code == Some(0), "{}", kept.stderr);

        limit_files(&relay, Some(FULL_BYTES))?;
        let lost = ban("lost")?;
        let said = format!("{:?} {}", lost.stdout, lost.stderr);
        ensure!(lost.code != Some(0) && said.contains("not_durable"), "{:?} {said}", lost.code);
        let now = listener.statistics().map_or(0.0, |statistics| statistics.t_s);
        let before = listener
            .wait_statistics("fresh statistics", COMMAND, |next| next.t_s > now + 1.0)?
            .received_of("Host");
        listener.wait_statistics("the host to be heard", COMMAND, |statistics| {
            statistics.received_of("Host") > before + 50
        })?;
        ensure!(host.is_running()?, "{}", host.stderr());

        limit_files(&relay, None)?;
        let after = ban("after")?;
        ensure!(after.code == Some(0), "{}", after.stderr);
        runtime.block_on(trial.check(&relay))?;
        let banned = runtime.block_on(async {
            let mut requests = one_shots(&relay, MODERATORS)?;
            trial.list_bans(&mut requests).await
        })?;
        ensure!(banned == ["after", "kept"].map(str::to_owned).into(), "{banned:?}");
        Client::new(&["log", ROOM, "--verify"], &relay).run_well(scratch, "verify", COMMAND)?;
        Ok(())
    });
}

/// A file of the relay takes so many bytes from now on; `None`: as many as there are.
#[cfg(target_os = "linux")]
fn limit_files(relay: &Relay, bytes: Option<u64>) -> Result<()> {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let pid = i32::try_from(relay.pid()).ok().and_then(Pid::from_raw);
    let pid = pid.context("a process id that is none")?;
    prlimit(Some(pid), Resource::Fsize, Rlimit { current: bytes, maximum: None })?;
    Ok(())
}

/// A speaker who rejoins when the relay restarts.
fn in_room(relay: &Relay, scratch: &Scratch, name: &str, tone: &str) -> Result<Process> {
    Client::new(&["speak", ROOM, "--name", name, "--tone", tone], relay).enter(scratch, name)
}

/// Participant of that name on the stage.
async fn on_stage(relay: &Relay, room: &RoomName, name: &str) -> Result<ParticipantId> {
    let mut requests = one_shots(relay, MODERATORS)?;
    let answer = ask(&mut requests, room, Govern::Show {}).await?;
    requests.close().await;
    let Answer::Room(info) = answer else { bail!("no room") };
    let found = info.stage.iter().find(|entry| entry.name.as_str() == name);
    Ok(found.with_context(|| format!("no {name} on the stage"))?.participant)
}

fn kills() -> u32 {
    match std::env::var("TRIBUNE_KILLS") {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("TRIBUNE_KILLS is {text:?}, no number")),
        Err(_) => USUAL_KILLS,
    }
}

/// A moderator with one-shot requests.
fn one_shots(relay: &Relay, number: usize) -> Result<OneShotClient> {
    Ok(OneShotClient::new(Config {
        addresses: vec![relay.address().to_string().parse()?],
        trust: Trust::Pinned(relay.fingerprint().parse()?),
        session: SessionKey([number as u8 + 1; 16]),
        name: format!("Moderator {number}").parse()?,
        role: Role::Host,
        token: None,
    })?)
}

async fn ask(one_shots: &mut OneShotClient, room: &RoomName, act: Govern) -> Result<Answer> {
    let answer = tokio::time::timeout(ANSWER, one_shots.ask(room, act)).await;
    Ok(answer.context("no answer")??)
}

impl Trial {
    fn new(scratch: &Scratch, directory: &str, options: RelayOptions) -> Self {
        let data = scratch.file(directory).display().to_string();
        Self {
            options: options.arg("--data").arg(&data),
            room: ROOM.parse().expect("a room's name"),
            key: None,
            ledger: RefCell::default(),
        }
    }

    /// Moderators decide without a pause, until the relay is killed under their hands.
    async fn moderate_until_killed(
        &self,
        mut relay: Relay,
        guest: ParticipantId,
        life: Duration,
    ) -> Result<()> {
        let mut all_requests = Vec::new();
        for number in 0..MODERATORS {
            let mut requests = one_shots(&relay, number)?;
            // The connection is there before the time runs.
            ask(&mut requests, &self.room, Govern::Show {}).await?;
            all_requests.push(requests);
        }
        let [a, b, c, d] = &mut all_requests[..] else { bail!("not {MODERATORS} moderators") };
        tokio::select! {
            biased;
            killed = async {
                tokio::time::sleep(life).await;
                relay.process().kill()
            } => killed,
            failed = self.moderate(a, 0, guest) => failed,
            failed = self.moderate(b, 1, guest) => failed,
            failed = self.moderate(c, 2, guest) => failed,
            failed = self.moderate(d, 3, guest) => failed,
        }
    }

    /// Decides and notes what is acknowledged. Ends only by a failure.
    async fn moderate(
        &self,
        requests: &mut OneShotClient,
        number: usize,
        guest: ParticipantId,
    ) -> Result<()> {
        loop {
            let asked = {
                let mut ledger = self.ledger.borrow_mut();
                ledger.asked += 1;
                ledger.asked
            };
            let reason = format!("decision {asked}");
            let person = format!("person-{number}-{}", asked as usize / MODERATORS % PERSONS);
            let known = self.ledger.borrow().bans.get(&person).copied();
            let was_silenced = self.ledger.borrow().silenced;
            let because = reason.parse()?;
            let target = Target::Subject(person.parse()?);
            // One of the four also moderates the one who is there.
            let (act, ban) = match (asked % 5, known) {
                (0, _) => {
                    let role = if asked % 2 == 0 { Role::Speaker } else { Role::Listener };
                    let target = Target::Subject(format!("role-{person}").parse()?);
                    (Govern::SetRole { target, role, reason: because }, None)
                }
                (1, _) if number == 0 => {
                    let on = !was_silenced.unwrap_or_default();
                    (Govern::Silence { participant: guest, on, reason: because }, None)
                }
                (_, Some(Ban::Acknowledged)) => {
                    (Govern::Unban { target, reason: because }, Some(Ban::Lifted))
                }
                (_, Some(Ban::Lifted | Ban::Unknown) | None) => {
                    let act = Govern::Ban { target, duration_s: None, reason: because };
                    (act, Some(Ban::Acknowledged))
                }
            };
            let silences = if let Govern::Silence { on, .. } = &act { Some(*on) } else { None };
            {
                let mut ledger = self.ledger.borrow_mut();
                if ban.is_some() {
                    ledger.bans.insert(person.clone(), Ban::Unknown);
                }
                ledger.silenced = was_silenced.filter(|_| silences.is_none());
            }
            let answer = ask(requests, &self.room, act).await.with_context(|| reason.clone())?;
            ensure!(answer == Answer::Done, "{reason}: {answer:?}");
            {
                let mut ledger = self.ledger.borrow_mut();
                // To ask for what is so already is no decision, and is not in the log.
                if silences.is_none() || was_silenced.is_some() {
                    ledger.reasons.insert(reason);
                }
                ledger.silenced = silences.or(ledger.silenced);
                ledger.bans.extend(ban.map(|ban| (person, ban)));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Checks that acknowledged decisions are in the log, which is whole, and in the list of bans.
    async fn check(&mut self, relay: &Relay) -> Result<()> {
        let mut requests = one_shots(relay, MODERATORS)?;
        let Answer::Room(info) = ask(&mut requests, &self.room, Govern::Show {}).await? else {
            bail!("no room");
        };
        let key = info.key.map(|key| LogPublicKey(key.0)).context("the room states no key")?;
        ensure!(*self.key.get_or_insert(key) == key, "the relay has another key than before");
        let reasons = self.read_log(&mut requests, key).await?;
        let banned = self.list_bans(&mut requests).await?;
        requests.close().await;
        let ledger = self.ledger.borrow();
        let lost: Vec<_> = ledger.reasons.difference(&reasons).collect();
        ensure!(lost.is_empty(), "acknowledged and not in the log: {lost:?}");
        for (person, ban) in &ledger.bans {
            match ban {
                Ban::Acknowledged => ensure!(banned.contains(person), "{person} is not banned"),
                Ban::Lifted => ensure!(!banned.contains(person), "{person} is banned still"),
                Ban::Unknown => {}
            }
        }
        Ok(())
    }

    /// The reasons in the log, once it is verified.
    async fn read_log(
        &self,
        requests: &mut OneShotClient,
        key: LogPublicKey,
    ) -> Result<BTreeSet<String>> {
        let mut verifier = Verifier::new(self.room.clone(), key);
        let mut reasons = BTreeSet::new();
        let mut from = 1;
        loop {
            let Answer::Log(page) = ask(requests, &self.room, Govern::ReadLog { from }).await?
            else {
                bail!("no log");
            };
            ensure!(!page.own_only, "the log is not shown whole");
            for bytes in &page.entries {
                let entry = SignedEntry::from_bytes(&bytes.0)?;
                verifier.handle_entry(&entry)?;
                reasons.insert(entry.entry.reason.as_str().to_owned());
            }
            if let Some(head) = page.head {
                verifier.check_head(&Head::from_bytes(&head.0)?)?;
                return Ok(reasons);
            }
            ensure!(page.next > from, "the log does not go on after {from}");
            from = page.next;
        }
    }

    async fn list_bans(&self, requests: &mut OneShotClient) -> Result<BTreeSet<String>> {
        let mut banned = BTreeSet::new();
        let mut after = 0;
        loop {
            let Answer::Bans { bans, total } =
                ask(requests, &self.room, Govern::ListBans { after }).await?
            else {
                bail!("no bans");
            };
            after += u32::try_from(bans.len())?;
            for ban in &bans {
                match &ban.target {
                    Target::Subject(subject) => banned.insert(subject.as_str().to_owned()),
                    other @ (Target::Participant(_) | Target::Address(_)) => {
                        bail!("nobody has banned {other:?}")
                    }
                };
            }
            if bans.is_empty() || after >= total {
                return Ok(banned);
            }
        }
    }
}
