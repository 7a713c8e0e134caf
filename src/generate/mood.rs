//! How content and discontent visitors rate.

use dataflows::domain::{Criterion, Score, Scores};

use super::chance::Chance;

/// The digit of an SMS.
pub fn digit(chance: &mut Chance, happy: bool) -> u8 {
    match (happy, chance.below(100)) {
        (true, 0..82) => 5,
        (true, _) => 4,
        (false, 0..45) => 3,
        (false, 45..75) => 2,
        (false, _) => 1,
    }
}

/// Scores for criteria 1 to `criteria`, at least one; one form in seven leaves some out. The queue
/// (criterion 2) is what is liked least.
pub fn scores(chance: &mut Chance, criteria: u8, happy: bool) -> Scores {
    let mut bits = chance.bits();
    let partial = chance.myriad(1400);
    // The last criterion is never left out.
    let skipped = if partial { chance.below(1 << (criteria - 1)) } else { 0 };
    let mut scores = Scores::NONE;
    for criterion in Criterion::ALL.into_iter().take(usize::from(criteria)) {
        let drawn = (bits & 0xff) as u8;
        bits >>= 8;
        if skipped >> (criterion.get() - 1) & 1 == 1 {
            continue;
        }
        let strict = if criterion.get() == 2 { drawn.saturating_add(4) } else { drawn };
        let score = match (happy, strict) {
            (true, 0..208) => 5,
            (true, 208..253) => 4,
            (true, 253..) | (false, 150..200) => 3,
            (false, 0..70) => 1,
            (false, 70..150) => 2,
            (false, 200..232) => 4,
            (false, 232..) => 5,
        };
        scores = scores.with(criterion, Score::new(score).expect("the arms are 1..5"));
    }
    scores
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_are_content_and_some_leave_criteria_out() {
        let mut chance = Chance::new(1, 0);
        for criteria in [5, 8] {
            for (happy, percents) in [(true, 97..=99), (false, 18..=26)] {
                let forms: Vec<Scores> =
                    (0..5000).map(|_| scores(&mut chance, criteria, happy)).collect();
                let all: Vec<Score> =
                    forms.iter().flat_map(|form| form.iter().map(|(_, score)| score)).collect();
                let positive = all.iter().filter(|score| score.is_positive()).count();
                assert!(percents.contains(&(positive * 100 / all.len())), "{positive}");
                assert!(all.len() < 5000 * usize::from(criteria));
                assert!(forms.iter().all(|form| form.iter().all(|(c, _)| c.get() <= criteria)));
                assert!(forms.iter().all(|form| !form.is_empty()));
            }
        }
    }
}
