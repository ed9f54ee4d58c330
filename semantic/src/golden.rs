//! The features and scores of a reference implementation, compared with ours.

use serde::Deserialize;

use crate::{FEATURE_NAMES, Semantic};

#[derive(Deserialize)]
struct Golden {
    a: String,
    b: String,
    x: Vec<f64>,
    veto: Option<String>,
    score: f64,
}

#[test]
fn features_vetoes_and_scores_are_those_of_the_reference() {
    let semantic = Semantic::built_in().unwrap();
    let goldens: Vec<Golden> = serde_json::from_str(include_str!("../testdata/golden.json")).unwrap();
    assert!(goldens.len() > 200, "{}", goldens.len());
    let (mut wrong, mut far) = (Vec::new(), 0);
    for g in &goldens {
        let (a, b) = (semantic.prompt(&g.a), semantic.prompt(&g.b));
        let (features, back) = (semantic.features(&a, &b), semantic.features(&b, &a));
        for (i, (name, expected)) in FEATURE_NAMES.iter().zip(&g.x).enumerate() {
            if (features[i] - expected).abs() > 2e-4 {
                wrong.push(format!("{name}: {} for {expected}: {:?} | {:?}", features[i], g.a, g.b));
            }
            if (features[i] - back[i]).abs() > 2e-4 {
                wrong.push(format!("{name}: {} and {} the other way: {:?} | {:?}", features[i], back[i], g.a, g.b));
            }
        }
        let judgement = semantic.judge(&a, &b);
        if judgement.veto != g.veto.as_deref() {
            wrong.push(format!("veto {:?} for {:?}: {:?} | {:?}", judgement.veto, g.veto, g.a, g.b));
        }
        far += usize::from((judgement.score - g.score).abs() > 1e-3);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // A value on the edge of the grid may fall to either side of a split.
    assert!(far * 100 <= goldens.len(), "{far} of {} scores differ", goldens.len());
}
