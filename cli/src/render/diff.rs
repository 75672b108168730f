//! A line difference of two texts, for the question "what would this apply change?".

/// Lines of context around a change.
const CONTEXT: usize = 3;
/// Most table cells the exact comparison may use (two middles of 2000 lines); beyond it the middle is shown as replaced.
const CELLS_MAX: usize = 4_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    Same(&'a str),
    Removed(&'a str),
    Added(&'a str),
}

pub fn lines<'a>(old: &'a str, new: &'a str) -> Vec<Line<'a>> {
    let old: Vec<&str> = old.lines().collect();
    let new: Vec<&str> = new.lines().collect();
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (old.get(head..).unwrap_or(&[]), new.get(head..).unwrap_or(&[]));
    let tail = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let (old_middle, old_tail) = old_rest.split_at(old_rest.len() - tail);
    let (new_middle, _) = new_rest.split_at(new_rest.len() - tail);
    let mut out: Vec<Line<'a>> = old.iter().take(head).map(|line| Line::Same(line)).collect();
    out.extend(middle(old_middle, new_middle));
    out.extend(old_tail.iter().map(|line| Line::Same(line)));
    out
}

fn middle<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    if old.len().saturating_add(1).saturating_mul(new.len().saturating_add(1)) > CELLS_MAX {
        return old.iter().map(|line| Line::Removed(line)).chain(new.iter().map(|line| Line::Added(line))).collect();
    }
    walk(old, new, &common_lengths(old, new))
}

/// `[i][j]`: length of the longest common subsequence of `old[i..]` and `new[j..]`, row by row.
fn common_lengths(old: &[&str], new: &[&str]) -> Vec<Vec<u32>> {
    let mut rows = vec![vec![0u32; new.len() + 1]];
    for old_line in old.iter().rev() {
        let below = rows.last().cloned().unwrap_or_default();
        let mut row = vec![0u32; new.len() + 1];
        for (j, new_line) in new.iter().enumerate().rev() {
            let value = if old_line == new_line { at(&below, j + 1) + 1 } else { at(&below, j).max(at(&row, j + 1)) };
            if let Some(cell) = row.get_mut(j) {
                *cell = value;
            }
        }
        rows.push(row);
    }
    rows.reverse();
    rows
}

fn at(row: &[u32], j: usize) -> u32 {
    row.get(j).copied().unwrap_or(0)
}

fn walk<'a>(old: &[&'a str], new: &[&'a str], lengths: &[Vec<u32>]) -> Vec<Line<'a>> {
    let cell = |i: usize, j: usize| lengths.get(i).map_or(0, |row| at(row, j));
    let (mut i, mut j) = (0, 0);
    let mut out = Vec::with_capacity(old.len() + new.len());
    loop {
        match (old.get(i), new.get(j)) {
            (Some(a), Some(b)) if a == b => {
                out.push(Line::Same(a));
                (i, j) = (i + 1, j + 1);
            }
            (Some(a), Some(_)) if cell(i + 1, j) >= cell(i, j + 1) => {
                out.push(Line::Removed(a));
                i += 1;
            }
            (_, Some(b)) => {
                out.push(Line::Added(b));
                j += 1;
            }
            (Some(a), None) => {
                out.push(Line::Removed(a));
                i += 1;
            }
            (None, None) => return out,
        }
    }
}

/// The difference with a little context; empty when there is none.
pub fn render(old: &str, new: &str, paint: crate::output::Paint) -> String {
    let lines = lines(old, new);
    let changed: Vec<usize> =
        lines.iter().enumerate().filter(|(_, line)| !matches!(line, Line::Same(_))).map(|(at, _)| at).collect();
    let near = |at: usize| changed.iter().any(|change| change.abs_diff(at) <= CONTEXT);
    let mut text = String::new();
    let mut skipped = false;
    for (at, line) in lines.iter().enumerate() {
        if !near(at) {
            skipped = true;
            continue;
        }
        if std::mem::take(&mut skipped) {
            text.push_str(&paint.dim("  …"));
            text.push('\n');
        }
        text.push_str(&match line {
            Line::Same(line) => format!("  {line}"),
            Line::Removed(line) => paint.red(&format!("- {line}")),
            Line::Added(line) => paint.green(&format!("+ {line}")),
        });
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Paint;

    #[test]
    fn equal_texts_have_no_difference() {
        assert_eq!(render("a\nb\n", "a\nb\n", Paint::PLAIN), "");
        assert_eq!(render("", "", Paint::PLAIN), "");
    }

    #[test]
    fn a_changed_line_is_shown_with_its_neighbours_only() {
        let old: String = (1..=20).map(|n| format!("line {n}\n")).collect();
        let new = old.replace("line 10\n", "line ten\n");
        let expected = "  …\n  line 7\n  line 8\n  line 9\n- line 10\n+ line ten\n  line 11\n  line 12\n  line 13\n";
        assert_eq!(render(&old, &new, Paint::PLAIN), expected);
    }

    #[test]
    fn a_difference_rebuilds_both_texts() {
        let (old, new) = ("a\nb\nc\nd\ne\n", "b\nx\nd\ne\nf\n");
        let of = |keep: fn(&Line<'_>) -> bool| -> Vec<String> {
            lines(old, new)
                .iter()
                .filter(|line| keep(line))
                .map(|line| match line {
                    Line::Same(text) | Line::Removed(text) | Line::Added(text) => (*text).to_owned(),
                })
                .collect()
        };
        assert_eq!(of(|line| !matches!(line, Line::Added(_))).join("\n") + "\n", old);
        assert_eq!(of(|line| !matches!(line, Line::Removed(_))).join("\n") + "\n", new);
    }

    #[test]
    fn a_huge_replacement_is_bounded() {
        let old: String = (0..3000).map(|n| format!("old {n}\n")).collect();
        let new: String = (0..3000).map(|n| format!("new {n}\n")).collect();
        assert_eq!(lines(&old, &new).len(), 6000);
    }
}
