//! The screen of `tribune join`, from a model and a room. Pure.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::stage::{Hand, StageEntry};
use tribune_protocol::ids::TrackId;
use tribune_protocol::log::span;

use super::model::{Microphone, Mode, Model, Moderation, Prompt};
use crate::session::room_view::RoomView;

/// Cells of a level meter.
const METER_CELLS: usize = 20;
/// Level at the empty end of a meter, in −dBov: quieter than a quiet room.
const METER_FLOOR_DBOV: u8 = 60;
/// Cells of the list of keys, from edge to edge.
const HELP_CELLS: u16 = 56;
/// Cells of a name on the stage and in the queue.
const NAME_CELLS: usize = 20;

/// Keys, their meaning, and the permission they need, if any.
const KEYS: [(&str, &str, Option<Permission>); 18] = [
    ("r", "raise a hand, with a note; lower it", None),
    ("t", "talk: microphone on or off", None),
    ("m", "mute: stop sending for a while", None),
    ("l", "leave the stage", None),
    ("y n", "accept or decline an invitation to speak", None),
    ("1-6", "react: clap heart laugh agree disagree wow", None),
    ("↑ ↓", "select a row", None),
    ("g", "grant the right to speak", Some(Permission::Grant)),
    ("d", "deny: lower the hand", Some(Permission::Deny)),
    ("i", "invite to speak", Some(Permission::Invite)),
    ("a", "ask to mute", Some(Permission::AskMute)),
    ("s", "silence, or let be heard again", Some(Permission::Silence)),
    ("x", "move off the stage", Some(Permission::RemoveFromStage)),
    ("k", "kick: remove from the room", Some(Permission::Kick)),
    ("b", "ban: remove and keep out", Some(Permission::Ban)),
    ("c", "close or open the queue of hands", Some(Permission::SetRoom)),
    ("L", "lock or unlock the room", Some(Permission::Lock)),
    ("q", "quit", None),
];

/// Draws the whole screen. `level` gives the current level of a track, in −dBov.
pub(crate) fn draw(
    frame: &mut Frame<'_>,
    model: &Model,
    view: &RoomView,
    level: &dyn Fn(TrackId) -> Option<u8>,
) {
    let moderates = view.may(Permission::SeeHands);
    let stage_rows = view.stage().len().max(1) as u16 + 2;
    let hand_rows = view.hands().map_or(0, <[Hand]>::len).max(1) as u16 + 2;
    let [head, stage, hands, log, foot] = Layout::vertical([
        Constraint::Length(3),
        Constraint::Max(stage_rows),
        Constraint::Max(if moderates { hand_rows } else { 0 }),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(header(model, view), head);
    draw_stage(frame, stage, model, view, level);
    if moderates {
        draw_hands(frame, hands, model, view);
    }
    draw_log(frame, log, model);
    frame.render_widget(footer(model, view), foot);
    if model.mode == Mode::Help {
        draw_help(frame, view);
    }
}

fn header(model: &Model, view: &RoomView) -> Paragraph<'static> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let relay = view.relay().map(|relay| format!("  ·  {relay}, depth {}", view.depth()));
    let first = Line::from(vec![
        Span::styled(model.room.clone(), bold),
        Span::raw(format!("  ·  {} listening", view.listeners())),
        Span::raw(relay.unwrap_or_default()),
    ]);
    let second = Line::raw(settings_line(view));
    let third = match (&model.offline, view.you()) {
        (Some(why), _) => {
            Line::styled(format!("no connection: {why}"), Style::new().fg(Color::Red))
        }
        (None, None) => Line::raw(""),
        (None, Some(you)) => {
            let microphone = match (model.microphone, view.may_speak()) {
                (_, false) => "you listen",
                (_, true) if you.silenced => "a moderator silenced you",
                (Microphone::Off, true) => "microphone off",
                (Microphone::On, true) => "microphone ON",
                (Microphone::Muted, true) => "muted",
            };
            let hand = you.hand.map(|place| format!("  ·  hand up, number {place}"));
            let own = format!("{}  ·  {microphone}{}", you.role, hand.unwrap_or_default());
            match &you.invited_by {
                None => Line::raw(own),
                Some(by) => {
                    let asked = format!("  ·  {by} invites you to speak: y or n");
                    Line::from(vec![Span::raw(own), Span::styled(asked, bold)])
                }
            }
        }
    };
    Paragraph::new(vec![first, second, third])
}

/// The room's title, and its settings that differ from the default.
fn settings_line(view: &RoomView) -> String {
    let Some(room) = view.room() else { return String::new() };
    let settings = &room.settings;
    let slow = |seconds: u32, what: &str| {
        (seconds > 0).then(|| format!("one {what} in {}", span(seconds.into())))
    };
    let parts = [
        (!settings.title.as_str().is_empty()).then(|| settings.title.to_string()),
        settings.locked.then(|| "locked".to_owned()),
        settings.hands_closed.then(|| "hands closed".to_owned()),
        slow(settings.hand_slow_s, "hand"),
        slow(settings.reaction_slow_s, "reaction"),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("  ·  ")
}

fn draw_stage(
    frame: &mut Frame<'_>,
    area: Rect,
    model: &Model,
    view: &RoomView,
    level: &dyn Fn(TrackId) -> Option<u8>,
) {
    let own = view.you().map(|you| you.participant);
    let row = |entry: &StageEntry| {
        let flags = [
            (own == Some(entry.participant), "you"),
            (entry.silenced, "silenced"),
            (entry.muted, "muted"),
            (entry.away, "away"),
        ];
        let flags: Vec<&str> = flags.iter().filter(|(is, _)| *is).map(|(_, flag)| *flag).collect();
        let lit = level(entry.track).map_or(0, lit_cells);
        let marker = if model.selected(view) == Some(entry.participant) { "▶ " } else { "  " };
        Line::from(vec![
            Span::raw(format!("{marker}{} {:8}", fit(entry.name.as_str()), entry.role.as_str())),
            Span::styled("█".repeat(lit), Style::new().fg(Color::Green)),
            Span::styled("·".repeat(METER_CELLS - lit), Style::new().fg(Color::DarkGray)),
            Span::raw(format!(" {}", flags.join(", "))),
        ])
    };
    let mut lines: Vec<Line<'_>> = view.stage().iter().map(row).collect();
    if lines.is_empty() {
        lines.push(Line::raw("  nobody"));
    }
    frame.render_widget(
        Paragraph::new(lines).block(Block::bordered().title(" On the stage ")),
        area,
    );
}

fn draw_hands(frame: &mut Frame<'_>, area: Rect, model: &Model, view: &RoomView) {
    let row = |hand: &Hand| {
        let marker = if model.selected(view) == Some(hand.participant) { "▶ " } else { "  " };
        let waiting_s = u64::from(hand.waiting_s) + model.hands_age().as_secs();
        let (minutes, seconds) = (waiting_s / 60, waiting_s % 60);
        Line::raw(format!(
            "{marker}{} {minutes:3}:{seconds:02}  {}",
            fit(hand.name.as_str()),
            hand.note
        ))
    };
    let mut lines: Vec<Line<'_>> = view.hands().unwrap_or_default().iter().map(row).collect();
    if lines.is_empty() {
        lines.push(Line::raw("  none"));
    }
    let title = format!(" Hands: {} ", view.hands_total());
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(title)), area);
}

fn draw_log(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let shown = usize::from(area.height.saturating_sub(2));
    let width = usize::from(area.width.saturating_sub(2)).max(1);
    let mut rows: Vec<String> = model.log().flat_map(|line| wrap(line, width)).collect();
    let lines: Vec<Line<'_>> =
        rows.split_off(rows.len().saturating_sub(shown)).into_iter().map(Line::raw).collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" Events ")), area);
}

fn footer(model: &Model, view: &RoomView) -> Paragraph<'static> {
    let text = match &model.mode {
        Mode::Ask(prompt, text) => {
            let (ask, enter) = prompt_words(prompt);
            format!("{ask}: {text}▏  (Enter {enter}, Esc does not)")
        }
        Mode::Browse | Mode::Help => {
            let keys = own_keys(view).map(|(key, meaning)| {
                let short = meaning.split([':', ',', ' ']).next().unwrap_or(meaning);
                format!("{key} {short}")
            });
            let keys: Vec<String> = keys.collect();
            format!("? help  {}", keys.join("  "))
        }
    };
    Paragraph::new(text).style(Style::new().add_modifier(Modifier::REVERSED))
}

/// Text of a prompt, and the effect of Enter.
fn prompt_words(prompt: &Prompt) -> (String, &'static str) {
    let why = |what: &str, name: &str| format!("Why {what} {name}?");
    match prompt {
        Prompt::Note => ("Note".to_owned(), "raises the hand"),
        Prompt::BanTime(_, name) => {
            (format!("For how long ban {name}, such as 1h; nothing: until lifted"), "goes on")
        }
        Prompt::Reason(moderation, _, name) => match moderation {
            Moderation::Deny => (why("deny", name), "denies"),
            Moderation::AskMute => (why("ask to mute:", name), "asks"),
            Moderation::Silence => (why("silence", name), "silences"),
            Moderation::Remove => (why("move off the stage:", name), "moves"),
            Moderation::Kick => (why("remove from the room:", name), "removes"),
            Moderation::Ban(_) => (why("ban", name), "bans"),
        },
    }
}

/// Keys that the user is permitted to use.
fn own_keys(view: &RoomView) -> impl Iterator<Item = (&'static str, &'static str)> {
    let may = |needs: Option<Permission>| needs.is_none_or(|permission| view.may(permission));
    KEYS.into_iter()
        .filter(move |(_, _, needs)| may(*needs))
        .map(|(key, meaning, _)| (key, meaning))
}

fn draw_help(frame: &mut Frame<'_>, view: &RoomView) {
    let mut lines: Vec<String> =
        own_keys(view).map(|(key, meaning)| format!(" {key:5} {meaning}")).collect();
    lines.push(String::new());
    let may: Vec<&str> =
        view.you().map(|you| you.may.iter().map(Permission::as_str).collect()).unwrap_or_default();
    let screen = frame.area();
    let width = HELP_CELLS.min(screen.width);
    let inner = usize::from(width.saturating_sub(2)).max(1);
    if !may.is_empty() {
        lines.extend(wrap(&format!(" you may: {}", may.join(", ")), inner));
        lines.push(String::new());
    }
    lines.push(" any key closes this".to_owned());
    let height = (lines.len() as u16 + 2).min(screen.height);
    let area =
        Rect { x: (screen.width - width) / 2, y: (screen.height - height) / 2, width, height };
    let lines: Vec<Line<'_>> = lines.into_iter().map(Line::raw).collect();
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" Keys ")), area);
}

/// Wraps a line of the log at `width` characters; continuation rows are indented.
fn wrap(line: &str, width: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    let mut used = 0;
    for c in line.chars() {
        if used >= width {
            rows.push("  ".to_owned());
            used = 2;
        }
        if let Some(row) = rows.last_mut() {
            row.push(c);
        }
        used += 1;
    }
    rows
}

/// Lit cells of a meter.
fn lit_cells(minus_dbov: u8) -> usize {
    let above = METER_FLOOR_DBOV.saturating_sub(minus_dbov);
    usize::from(above) * METER_CELLS / usize::from(METER_FLOOR_DBOV)
}

/// A name, cut or padded to its column.
fn fit(name: &str) -> String {
    let cut: String = name.chars().take(NAME_CELLS).collect();
    format!("{cut:NAME_CELLS$}")
}

#[cfg(test)]
mod tests {
    use crossterm::event::{KeyCode, KeyEvent};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use tribune_protocol::control::participant::{RoomInfo, ToParticipant, You};
    use tribune_protocol::domain::permission::PermissionSet;
    use tribune_protocol::domain::role::Role;
    use tribune_protocol::domain::room::Phase;
    use tribune_protocol::domain::settings::RoomSettings;
    use tribune_protocol::ids::ParticipantId;

    use super::*;
    use crate::tui::model::tests::view;

    fn screen(model: &Model, view: &RoomView, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let level = |track: TrackId| (track == TrackId(1)).then_some(30);
        terminal.draw(|frame| draw(frame, model, view, &level)).unwrap();
        let buffer = terminal.backend().buffer();
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..height).map(|y| row(y).trim_end().to_owned() + "\n").collect()
    }

    fn online() -> Model {
        let mut model = Model::new("agora".to_owned());
        model.offline = None;
        model
    }

    fn in_mode(mode: Mode) -> Model {
        let mut model = online();
        model.mode = mode;
        model
    }

    #[test]
    fn a_host_sees_stage_meters_hands_and_events() {
        let mut model = online();
        model.tell("Eve raises a hand: about trees");
        let host = view(Role::Host, None);
        model.handle_key(KeyEvent::from(KeyCode::Down), &host);
        let screen = screen(&model, &host, 90, 20);
        let has = |text: &str| assert!(screen.contains(text), "no {text:?} in\n{screen}");
        has("agora  ·  40 listening  ·  edge-1, depth 3");
        has("host  ·  microphone off");
        has("▶ Ada                  host    ██████████·········· you");
        has("  Bob                  speaker ···················· silenced");
        has("Hands: 1");
        has("  Eve                    1:05  about trees");
        has("Eve raises a hand: about trees");
    }

    #[test]
    fn a_listener_sees_no_hands() {
        let screen = screen(&online(), &view(Role::Listener, Some(3)), 90, 20);
        assert!(!screen.contains("Hands"), "{screen}");
        assert!(screen.contains("you listen  ·  hand up, number 3"), "{screen}");
    }

    #[test]
    fn help_notes_and_a_lost_connection_show() {
        let host = view(Role::Host, None);
        let help = in_mode(Mode::Help);
        assert!(screen(&help, &host, 90, 30).contains("kick: remove from the room"));
        let note = in_mode(Mode::Ask(Prompt::Note, "hi".to_owned()));
        assert!(screen(&note, &host, 90, 24).contains("Note: hi▏"));
        let ban = Prompt::Reason(Moderation::Ban(None), ParticipantId(2), "Bob".to_owned());
        let ban = in_mode(Mode::Ask(ban, "spam".to_owned()));
        assert!(screen(&ban, &host, 90, 24).contains("Why ban Bob?: spam▏  (Enter bans, Esc"));
        let mut offline = online();
        offline.offline = Some("the relay is gone".to_owned());
        assert!(screen(&offline, &host, 90, 24).contains("no connection: the relay is gone"));
    }

    #[test]
    fn keys_follow_the_permissions() {
        let help = in_mode(Mode::Help);
        let listener = screen(&help, &view(Role::Listener, None), 90, 40);
        assert!(!listener.contains("kick"), "{listener}");
        assert!(listener.contains("raise a hand"), "{listener}");
        let mut host = view(Role::Host, None);
        let may = PermissionSet::of(&[Permission::Silence, Permission::React]);
        let you = You { may, ..host.you().unwrap().clone() };
        host.handle_message(&ToParticipant::You(you));
        let some = screen(&help, &host, 90, 40);
        assert!(some.contains("silence, or let be heard"), "{some}");
        assert!(!some.contains("kick: remove"), "{some}");
        assert!(some.contains("you may: react, silence"), "{some}");
        let footer = screen(&online(), &host, 200, 24);
        assert!(footer.contains("s silence") && !footer.contains("k kick"), "{footer}");
    }

    #[test]
    fn the_room_and_an_invitation_show() {
        let mut listener = view(Role::Listener, None);
        let invited_by = Some("Ben".parse().unwrap());
        let you = You { invited_by, ..listener.you().unwrap().clone() };
        listener.handle_message(&ToParticipant::You(you));
        listener.handle_message(&ToParticipant::Room(RoomInfo {
            room: "agora".parse().unwrap(),
            phase: Phase::Live,
            settings: RoomSettings {
                title: "Rivers and bridges".parse().unwrap(),
                locked: true,
                hand_slow_s: 60,
                ..RoomSettings::default()
            },
            stage: Vec::new(),
            listeners: 0,
            key: None,
        }));
        let screen = screen(&online(), &listener, 90, 20);
        assert!(screen.contains("Rivers and bridges  ·  locked  ·  one hand in 1 min"), "{screen}");
        assert!(screen.contains("Ben invites you to speak: y or n"), "{screen}");
    }

    #[test]
    fn long_events_are_wrapped_and_waiting_times_go_on() {
        let mut model = online();
        model.tell("x".repeat(100) + "END");
        model.set_hands_age(std::time::Duration::from_secs(60));
        let screen = screen(&model, &view(Role::Host, None), 60, 20);
        assert!(screen.contains("END"), "{screen}");
        assert!(screen.contains("2:05  about trees"), "{screen}");
    }

    #[test]
    fn any_size_can_be_drawn() {
        let model = in_mode(Mode::Help);
        for (width, height) in [(1, 1), (10, 3), (40, 8), (300, 100)] {
            screen(&model, &view(Role::Host, None), width, height);
        }
    }

    #[test]
    fn meters_go_from_empty_to_full() {
        assert_eq!([127, 60, 30, 0].map(lit_cells), [0, 0, 10, 20]);
    }
}
