//! The name that somebody probably meant.

/// Longest name that is compared; the sum grows with the square.
const COMPARED_MAX: usize = 64;

/// The candidate nearest to `name`, if it is near enough to be meant: a third of its letters may be wrong.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name: Vec<char> = name.to_lowercase().chars().take(COMPARED_MAX).collect();
    let reach = (name.len() / 3).max(2);
    candidates
        .into_iter()
        .map(|candidate| (distance(&name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= reach && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Letters to insert, remove or replace.
fn distance(from: &[char], to: &str) -> usize {
    let to: Vec<char> = to.to_lowercase().chars().take(COMPARED_MAX).collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_nonsense_finds_none() {
        let keys = ["listen", "keys", "max_waiting", "max_waiting_bytes"];
        for (name, meant) in [("lisen", "listen"), ("key", "keys"), ("maxwaiting", "max_waiting"), ("Listen", "listen")]
        {
            assert_eq!(nearest(name, keys), Some(meant), "{name}");
        }
        assert_eq!(nearest("certificate", keys), None);
        assert_eq!(nearest("", ["ab"]), None);
    }
}
