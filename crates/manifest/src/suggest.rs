//! "Did you mean": the known word that is nearest to an unknown one.

/// The nearest of `known`: the same but for case, `-` and `_`, or at most a third of the letters away.
pub(crate) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Words longer than every key need no look, and the distance is quadratic.
    if given.len() > 64 {
        return None;
    }
    let plain = |word: &str| word.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    let wanted = plain(given);
    let allowed = |word: &str| 1.max(word.chars().count().min(wanted.chars().count()) / 3);
    known
        .into_iter()
        .map(|word| (distance(&wanted, &plain(word)), word))
        .filter(|(away, word)| *away <= allowed(word))
        .min_by_key(|(away, _)| *away)
        .map(|(_, word)| word)
}

/// Levenshtein's.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let value = (diagonal + usize::from(x != *y)).min(left + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, value);
            left = value;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_recognised_and_another_word_is_not() {
        let known = ["depends-on", "description", "regions", "resources"];
        assert_eq!(nearest("dependsOn", known), Some("depends-on"));
        assert_eq!(nearest("depend-on", known), Some("depends-on"));
        assert_eq!(nearest("region", known), Some("regions"));
        assert_eq!(nearest("Resources", known), Some("resources"));
        assert_eq!(nearest("tomatoes", known), None);
        assert_eq!(nearest(&"x".repeat(1000), known), None);
    }
}
