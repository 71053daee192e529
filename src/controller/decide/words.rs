//! Words of others, as they come into conditions.

/// Whether two messages say the same. Servers put what changes from one answer to the next into their words, such as the number of a
/// request or the time; a status that followed would be written again and again, each write calling for the next look. So words with a
/// digit in them, and words longer than any language has, do not count.
pub(super) fn same(one: &str, other: &str) -> bool {
    stable(one).eq(stable(other))
}

/// Longest word that is taken for one of a language, in characters.
const LONGEST: usize = 24;

fn stable(text: &str) -> impl Iterator<Item = Option<&str>> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| (!word.contains(|c: char| c.is_numeric()) && word.chars().count() <= LONGEST).then_some(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_from_answer_to_answer_does_not_count() {
        let told = |id: &str, used: u8| {
            format!("admission webhook \"gate\" denied the request {id}: {used} of 8 GPUs are used")
        };
        assert!(same(&told("7f3c-11", 3), &told("09ab-12", 4)));
        assert!(same("no at 2027-01-15T08:00:00Z", "no at 2027-01-15T09:30:01Z"));
        assert!(same(
            "token abcdefghijklmnopqrstuvwxyz",
            "token zyxwvutsrqponmlkjihgfedcba"
        ));
        assert!(!same(&told("1", 3), "admission webhook \"gate\" is not there"));
        assert!(!same("node lost", "node lost twice"));
    }
}
