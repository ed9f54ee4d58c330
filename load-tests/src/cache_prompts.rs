//! Short questions, as many as are needed, each also in other words.

const THINGS: [&str; 20] = [
    "battery",
    "invoice",
    "hose",
    "passport",
    "router",
    "bicycle",
    "oven",
    "index",
    "form",
    "jacket",
    "violin",
    "account",
    "dishwasher",
    "spreadsheet",
    "visa",
    "tent",
    "grinder",
    "lawn",
    "thermostat",
    "contract",
];
const DEEDS: [&str; 16] = [
    "repair", "replace", "clean", "choose", "compare", "store", "measure", "sell", "insure", "print", "test", "label",
    "order", "share", "protect", "recycle",
];
const PLACES: [&str; 24] = [
    "Oslo", "Lima", "Kyoto", "Accra", "Quito", "Riga", "Perth", "Cairo", "Dublin", "Hanoi", "Bergen", "Tunis",
    "Zagreb", "Bogota", "Austin", "Leeds", "Turin", "Ghent", "Basel", "Porto", "Vilnius", "Warsaw", "Prague", "Milan",
];

/// Of what a question asks; different numbers give different questions.
fn parts(number: u64) -> (&'static str, &'static str, &'static str, u64) {
    let mut rest = number;
    let mut of = |list: &[&'static str]| {
        let count = list.len() as u64;
        let at = usize::try_from(rest % count).unwrap_or_default();
        rest /= count;
        list.get(at).copied().unwrap_or_default()
    };
    let (place, thing, deed) = (of(&PLACES), of(&THINGS), of(&DEEDS));
    (deed, thing, place, 10 + rest)
}

/// Question `number`.
pub(crate) fn asked(number: u64) -> String {
    let (deed, thing, place, euros) = parts(number);
    format!("How do I {deed} a {thing} in {place} without spending more than {euros} euros on it?")
}

/// The same question in other words.
pub(crate) fn reworded(number: u64) -> String {
    let (deed, thing, place, euros) = parts(number);
    format!("How can I {deed} a {thing} in {place} without spending more than {euros} euros on it")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_questions_are_the_same() {
        let all: HashSet<String> = (0..20_000).flat_map(|number| [asked(number), reworded(number)]).collect();
        assert_eq!(all.len(), 40_000);
    }
}
