//! Streams cut anywhere, and broken anywhere.

use proptest::prelude::*;
use sluice_providers::{StreamOut, TranslateError};

use crate::answers::Answer;
use crate::files::goldens;

/// All that a client or the gateway can see of a stream.
fn seen((result, out): (Result<(), TranslateError>, StreamOut)) -> impl PartialEq + std::fmt::Debug {
    (result, out.frames.concat(), out.text, out.usage, out.done, out.content, out.error)
}

fn streams() -> Vec<(String, Answer)> {
    let all = goldens("answers").into_iter();
    let all = all.map(|golden| (format!("{}/{}", golden.folder(), golden.name()), Answer::parse(&golden.input)));
    all.filter(|(_, answer)| answer.stream).collect()
}

#[test]
fn one_byte_at_a_time_is_the_same() {
    for (name, answer) in streams() {
        let cuts: Vec<usize> = (0..answer.body.len()).collect();
        assert_eq!(seen(answer.streamed(&cuts)), seen(answer.streamed(&[])), "{name}");
    }
}

#[test]
fn a_stream_that_breaks_off_is_never_complete() {
    for (name, answer) in streams() {
        let (whole, out) = answer.streamed(&[]);
        if whole.is_err() || out.error.is_some() {
            continue;
        }
        let body = answer.body.clone();
        let mut answer = answer;
        // The first half never holds the end of an answer.
        for end in (0..body.len() / 2).step_by(7) {
            answer.body = body[..end].to_vec();
            let (result, out) = answer.streamed(&[]);
            assert!(result.is_err() && !out.done, "{name} cut at {end}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn splits_do_not_matter(mut cuts in proptest::collection::vec(0..4000_usize, 0..12)) {
        cuts.sort_unstable();
        for (name, answer) in streams() {
            prop_assert_eq!(seen(answer.streamed(&cuts)), seen(answer.streamed(&[])), "{}", name);
        }
    }

    #[test]
    fn a_changed_byte_is_no_crash(at in 0..2000_usize, byte in any::<u8>()) {
        for (_, mut answer) in streams() {
            let at = at % answer.body.len().max(1);
            if let Some(slot) = answer.body.get_mut(at) {
                *slot = byte;
            }
            let (_, out) = answer.streamed(&[]);
            prop_assert!(out.frames.len() <= answer.body.len());
        }
    }
}
