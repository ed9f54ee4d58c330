//! The features and scores of a reference implementation, compared with ours.

use serde::Deserialize;

use crate::{FEATURE_NAMES, Semantic};

#[derive(Deserialize)]
struct Golden {
    a: String,
    b: String,
    x: Vec<f64>,
    veto: bool,
    score: f64,
}

#[test]
fn features_vetoes_and_scores_are_those_of_the_reference() {
    let semantic = Semantic::built_in().unwrap();
    let goldens: Vec<Golden> = serde_json::from_str(include_str!("../testdata/golden_features.json")).unwrap();
    assert_eq!(goldens.len(), 237);
    let (mut wrong, mut far) = (Vec::new(), 0);
    for g in &goldens {
        let (a, b) = (semantic.prompt(&g.a), semantic.prompt(&g.b));
        let features = semantic.features(&a, &b);
        for ((name, x), expected) in FEATURE_NAMES.iter().zip(features).zip(&g.x) {
            // The reference vectors are those of a model before it was cut to int8.
            let tolerance = match *name {
                "resid1" | "resid2" | "resid_sum" | "wmax_unm" => 0.03,
                _ => 0.0025,
            };
            if (x - expected).abs() > tolerance {
                wrong.push(format!("{name}: {x} for {expected}: {:?} | {:?}", g.a, g.b));
            }
        }
        let judgement = semantic.judge(&a, &b);
        if judgement.veto.is_some() != g.veto {
            wrong.push(format!("veto {:?} for {}: {:?} | {:?}", judgement.veto, g.veto, g.a, g.b));
        }
        far += usize::from((judgement.score - g.score).abs() > 0.01);
        assert!((judgement.score - g.score).abs() < 0.9, "{} for {}: {:?}", judgement.score, g.score, g.a);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(far < 70, "{far} scores differ");
}
