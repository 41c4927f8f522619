//! The screen of `tribune top`, from its model. Pure.

use std::time::Instant;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Clear, Paragraph, Wrap};

use super::model::{Model, View};
use super::tables::{headline, relay_lines, relays, room_lines, rooms, rooms_title};
use crate::status::phrases::{age, printable};
use crate::status::table::cells;

/// Lines about the selected relay, with their frame.
const DETAIL_LINES: u16 = 6;
/// Cells of the list of keys, from edge to edge.
const HELP_CELLS: u16 = 70;

/// The keys, and what they do.
const KEYS: [(&str, &str); 9] = [
    ("↑ ↓", "select a relay or a room; move a room's listeners"),
    ("← →", "columns, on a narrow screen"),
    ("Enter", "rooms of the relay that is asked; the selected room"),
    ("Esc", "back"),
    ("Tab", "tree, rooms, the last room"),
    ("s", "sort: siblings in the tree, rooms"),
    ("b", "by what listeners are the worst off"),
    ("?", "this"),
    ("q", "quit"),
];

/// Meaning of the columns whose head is not self-explanatory.
const COLUMNS: [&str; 6] = [
    "people: connected to it / capacity. listeners: at it and below",
    "load: time at work of its busiest shard",
    "missing %: frames missing when the next came from a relay",
    "trunk, clock ±: round trip to the parent, error of its clock, ms",
    "latency (p50/p99), lost, made up: as its own listeners report",
    "*: the relay that is asked",
];

/// Draws the whole screen.
pub(crate) fn draw(frame: &mut Frame<'_>, model: &Model, now: Instant) {
    let detail = if model.view == View::Tree { DETAIL_LINES } else { 0 };
    let [head, main, below, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Min(3),
        Constraint::Length(detail),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(header(model, now), head);
    match model.view {
        View::Tree => {
            draw_tree(frame, main, model);
            draw_detail(frame, below, model);
        }
        View::Rooms => draw_rooms(frame, main, model),
        View::Room => draw_room(frame, main, model),
    }
    frame.render_widget(footer(model), foot);
    if model.is_help {
        draw_help(frame);
    }
}

fn header(model: &Model, now: Instant) -> Paragraph<'static> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let age = age(u64::try_from(model.age(now).as_millis()).unwrap_or(u64::MAX));
    let second = match model.failure() {
        None => Line::raw(format!("{}  ·  {age} ago", model.place)),
        Some(why) => {
            let text = format!("FIGURES OF {age} AGO: {}", printable(why));
            Line::styled(text, Style::new().fg(Color::Red))
        }
    };
    Paragraph::new(vec![Line::styled(headline(model.snapshot()), bold), second])
}

fn draw_tree(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let (table, ids) = relays(model.snapshot(), model.sort());
    let selected = ids.iter().position(|id| Some(*id) == model.relay());
    let title = format!(" Relays, by {} ", model.sort().as_str());
    draw_table(frame, area, title, &table.lines(model.left_out), selected);
}

fn draw_detail(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let relays = &model.snapshot().tree.relays;
    let Some(relay) = relays.iter().find(|relay| Some(relay.relay) == model.relay()) else {
        return;
    };
    let lines: Vec<Line<'_>> = relay_lines(relay).into_iter().map(Line::raw).collect();
    let block = Block::bordered().title(" Selected ");
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: true }).block(block), area);
}

fn draw_rooms(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let (table, names) = rooms(&model.snapshot().rooms, model.sort());
    let selected = names.iter().position(|name| Some(name) == model.room().as_ref());
    let title = rooms_title(&model.snapshot().rooms, names.len());
    let title = format!(" {title}, by {} ", model.sort().as_str());
    draw_table(frame, area, title, &table.lines(model.left_out), selected);
}

fn draw_room(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let lines = match model.room_metrics() {
        Some(snapshot) => room_lines(snapshot, model.left_out),
        None => vec!["waiting for the relay".to_owned()],
    };
    let rows = usize::from(area.height.saturating_sub(2));
    let moved = model.moved.min(lines.len().saturating_sub(rows));
    let lines: Vec<Line<'_>> = lines.into_iter().skip(moved).map(Line::raw).collect();
    let title = format!(" Room, worst by {} ", model.by.as_str());
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(title)), area);
}

/// A head that stays, and of the rows as many as there is room for, the selected one among them.
fn draw_table(
    frame: &mut Frame<'_>,
    area: Rect,
    title: String,
    lines: &[String],
    selected: Option<usize>,
) {
    let Some((head, rows)) = lines.split_first() else { return };
    let shown = usize::from(area.height.saturating_sub(3)).max(1);
    let first = selected.unwrap_or(0).saturating_sub(shown - 1);
    let marked = Style::new().add_modifier(Modifier::REVERSED);
    let row = |(at, row): (usize, &String)| match Some(at) == selected {
        true => Line::styled(row.clone(), marked),
        false => Line::raw(row.clone()),
    };
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut drawn = vec![Line::styled(head.clone(), bold)];
    drawn.extend(rows.iter().enumerate().skip(first).take(shown).map(row));
    let widest = lines.iter().map(|line| cells(line)).max().unwrap_or(0);
    let is_cut = widest > usize::from(area.width.saturating_sub(2));
    let title = if is_cut { format!("{title}· → more columns ") } else { title };
    frame.render_widget(Paragraph::new(drawn).block(Block::bordered().title(title)), area);
}

fn footer(model: &Model) -> Paragraph<'static> {
    let keys = match model.view {
        View::Tree => "? help  q quit  ↑↓ select  Enter rooms  s sort  Tab view",
        View::Rooms => "? help  q quit  ↑↓ select  Enter room  Esc back  s sort  Tab view",
        View::Room => "? help  q quit  ↑↓ move  b worst by  Esc back  Tab view",
    };
    Paragraph::new(keys).style(Style::new().add_modifier(Modifier::REVERSED))
}

fn draw_help(frame: &mut Frame<'_>) {
    let mut lines: Vec<String> =
        KEYS.iter().map(|(key, meaning)| format!(" {key:6} {meaning}")).collect();
    lines.push(String::new());
    lines.extend(COLUMNS.map(|meaning| format!(" {meaning}")));
    lines.extend([String::new(), " any key closes this".to_owned()]);
    let screen = frame.area();
    let width = HELP_CELLS.min(screen.width);
    let height = (lines.len() as u16 + 2).min(screen.height);
    let area =
        Rect { x: (screen.width - width) / 2, y: (screen.height - height) / 2, width, height };
    let lines: Vec<Line<'_>> = lines.into_iter().map(Line::raw).collect();
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" Keys ")), area);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crossterm::event::KeyCode;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::tui::top::model::tests::{model, press, snapshot, with_room};

    fn screen(model: &Model, now: Instant, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, model, now)).unwrap();
        let buffer = terminal.backend().buffer();
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..height).map(|y| row(y).trim_end().to_owned() + "\n").collect()
    }

    #[test]
    fn the_tree_shows_relays_below_each_other() {
        let now = Instant::now();
        let mut model = model(now);
        press(&mut model, &[KeyCode::Down]);
        let screen = screen(&model, now + Duration::from_millis(400), 170, 20);
        let has = |text: &str| assert!(screen.contains(text), "no {text:?} in\n{screen}");
        has("leaf (ready)  ·  2 relays");
        has("the whole tree");
        has("http://127.0.0.1:9433  ·  0.4 s ago");
        has("│origin");
        has("│└ leaf*");
        has("Selected");
        has("depth 2");
        assert!(!screen.contains("more columns"), "{screen}");
    }

    #[test]
    fn what_is_not_the_whole_tree_is_said() {
        let now = Instant::now();
        let mut model = model(now);
        let mut part = snapshot();
        (part.tree.complete, part.tree.missing) = (false, 2);
        part.tree.relays[1].draining = true;
        model.handle_snapshot(now, part.clone());
        let shown = screen(&model, now, 170, 20);
        assert!(shown.contains("NOT THE WHOLE TREE: 2 relays have not answered"), "{shown}");
        assert!(shown.contains("draining   2/500"), "{shown}");
        (part.tree.rooted, part.tree.missing) = (false, 0);
        part.tree.relays.remove(0);
        part.tree.relays[0].draining = false;
        model.handle_snapshot(now, part);
        let shown = screen(&model, now, 170, 20);
        assert!(shown.contains("NO WAY TO THE ORIGIN: this relay and what is below"), "{shown}");
        assert!(shown.contains("leaf*  orphan"), "{shown}");
    }

    #[test]
    fn a_silent_relay_leaves_its_last_figures_with_their_age() {
        let now = Instant::now();
        let mut model = model(now);
        model.handle_failure("Cannot reach \x1b[31m.".to_owned());
        let screen = screen(&model, now + Duration::from_secs(14), 170, 20);
        assert!(screen.contains("FIGURES OF 14 s AGO: Cannot reach ?[31m."), "{screen}");
        assert!(screen.contains("└ leaf*"), "{screen}");
    }

    #[test]
    fn rooms_and_a_room_show() {
        let now = Instant::now();
        let mut model = model(now);
        press(&mut model, &[KeyCode::Tab]);
        let rooms = screen(&model, now, 150, 20);
        assert!(rooms.contains("Rooms of the relay that was asked: 1, by listeners"), "{rooms}");
        assert!(rooms.contains("│agora  live"), "{rooms}");
        press(&mut model, &[KeyCode::Enter]);
        let waiting = screen(&model, now, 150, 20);
        assert!(waiting.contains("waiting for the relay"), "{waiting}");
        model.handle_snapshot(now, with_room());
        let room = screen(&model, now, 150, 20);
        let has = |text: &str| assert!(room.contains(text), "no {text:?} in\n{room}");
        has("Room, worst by concealed");
        has("on the stage: Ada (host)");
        has("Eve");
        has("reports in the last minute");
    }

    #[test]
    fn who_is_not_entitled_is_told_in_a_line() {
        let now = Instant::now();
        let mut model = model(now);
        press(&mut model, &[KeyCode::Tab, KeyCode::Enter]);
        let mut refused = with_room();
        let why = "This needs the operator token: Authorization: Bearer TOKEN.".to_owned();
        if let Some(room) = &mut refused.room {
            room.listeners = Err(why);
        }
        model.handle_snapshot(now, refused);
        let room = screen(&model, now, 150, 20);
        assert!(room.contains("single listeners are not shown: This needs the operator"), "{room}");
        assert!(!room.contains("Eve"), "{room}");
    }

    #[test]
    fn a_narrow_screen_can_be_moved_along_and_any_size_drawn() {
        let now = Instant::now();
        let mut model = model(now);
        let narrow = screen(&model, now, 60, 20);
        assert!(narrow.contains("more columns") && !narrow.contains("made up %"), "{narrow}");
        press(&mut model, &[KeyCode::Right; 12]);
        let moved = screen(&model, now, 60, 20);
        assert!(moved.contains("made up %") && moved.contains("└ leaf*"), "{moved}");
        press(&mut model, &[KeyCode::Char('?')]);
        for (width, height) in [(1, 1), (10, 3), (40, 8), (300, 100)] {
            screen(&model, now, width, height);
        }
        assert!(screen(&model, now, 100, 40).contains("by what listeners are the worst off"));
    }

    #[test]
    fn the_selected_row_is_among_those_shown() {
        let now = Instant::now();
        let mut model = model(now);
        let mut many = snapshot();
        let leaf = many.tree.relays[1].clone();
        for id in 0..50u64 {
            let mut relay = leaf.clone();
            relay.relay = tribune_protocol::ids::RelayId(id + 1);
            relay.name = format!("x{id:02}").parse().unwrap();
            many.tree.relays.push(relay);
        }
        model.handle_snapshot(now, many);
        press(&mut model, &[KeyCode::Down; 60]);
        let last = screen(&model, now, 150, 20);
        assert!(last.contains("└ x49") && last.contains("relay "), "{last}");
    }
}
