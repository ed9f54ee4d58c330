//! Whole policy files: the shipped examples, every kind of mistake, and any text at all.

use proptest::prelude::*;
use sluice_policies::{Demand, Kind, PolicyError, PolicyFile, PolicySet, Subject, Unit};

fn file(name: &str, text: &str) -> PolicyFile {
    PolicyFile { name: name.to_owned(), text: text.to_owned() }
}

fn compile(text: &str) -> Result<PolicySet, Vec<PolicyError>> {
    PolicySet::compile(&[file("p.yaml", text)])
}

fn hash(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

#[test]
fn the_examples_compile_together() {
    let files = [
        file("demo.yaml", include_str!("../examples/demo.yaml")),
        file("team.yaml", include_str!("../examples/team.yaml")),
    ];
    let set = PolicySet::compile(&files).unwrap();
    assert_eq!((set.keys().count(), set.limits().count()), (4, 13));
    let intern = set.keys().find(|key| &*key.name == "intern").unwrap();
    assert!(intern.may_use("gpt-4o-mini") && !intern.may_use("gpt-4o"));
    assert_eq!(intern.default_output, 2048);
    let who = Subject { tenant: "acme", key: "intern", user: None, class: "standard", model: "gpt-4o-mini" };
    let mut ids: Vec<_> = set.limits_for(&who).map(|limit| limit.id.to_string()).collect();
    ids.sort();
    assert_eq!(ids.len(), 9, "{ids:?}");
    let cost = set.limits().find(|limit| &*limit.id == "acme/interns-are-frugal").unwrap();
    assert_eq!(cost.amount, 2_000_000);
    assert_eq!(cost.amount_of(&Demand { input: 1, output: 2, cost_micros: 3 }), 3);
}

#[test]
fn classes_are_clamped_by_the_key() {
    let text = format!(
        "tenant: t\nkeys:\n  - {{ name: a, key: \"{}\", class: standard }}\nclasses:\n  nightly: {{ rank: 9 }}\n",
        hash('a')
    );
    let set = compile(&text).unwrap();
    let key = set.keys().next().unwrap();
    let class = |asked| set.class_for(key, asked).map(|class| class.name.to_string());
    assert_eq!(class(None).unwrap(), "standard");
    assert_eq!(class(Some("interactive")).unwrap(), "standard");
    assert_eq!(class(Some("nightly")).unwrap(), "nightly");
    assert!(class(Some("nope")).unwrap_err().to_string().contains("standard, batch, nightly"));
}

#[test]
fn every_error_is_reported_with_its_place() {
    let text = format!(
        "tenant: acme\nkeys:\n  - {{ name: a, key: \"sha256:12\" }}\n  - {{ name: b, key: \"{h}\", class: vip }}\n  \
         - {{ name: c, key: \"{h}\" }}\n  - {{ name: c, key: \"{i}\" }}\nlimits:\n  - 5 bananas/min\n  - 5 tokens\n  \
         - 8 concurrent/min\n  - 5 tokens/min\n  - 5  tokens/min\n  - 1B tokens/hour burst 2B\n",
        h = hash('b'),
        i = hash('c'),
    );
    let errors = compile(&text).unwrap_err();
    let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let expected = [
        ("p.yaml:3:", "keys[0].key", "sluice key new"),
        ("p.yaml:4:", "keys[1].class", "vip"),
        ("p.yaml:6:", "keys[3].name", "twice"),
        ("p.yaml:8:", "limits[0]", "bananas"),
        ("p.yaml:9:", "limits[1]", "how often"),
        ("p.yaml:10:", "limits[2]", "at once"),
        ("p.yaml:12:", "limits[4]", "twice"),
        ("p.yaml:13:", "limits[5]", "too large"),
    ];
    assert_eq!(shown.len(), expected.len(), "{shown:#?}");
    for (line, (place, path, word)) in shown.iter().zip(expected) {
        assert!(line.starts_with(place) && line.contains(path) && line.contains(word), "{line}");
    }
}

#[test]
fn hits_cost_what_the_file_says_or_the_key() {
    let text = format!(
        "tenant: t\nhit_cost: 25%\nkeys:\n  - {{ name: a, key: \"{}\" }}\n  - {{ name: b, key: \"{}\", hit_cost: full }}\n  \
         - {{ name: c, key: \"{}\", hit_cost: 0 }}\n",
        hash('a'),
        hash('b'),
        hash('c')
    );
    let set = compile(&text).unwrap();
    let made = Demand { input: 40, output: 0, cost_micros: 0 };
    let mut costs: Vec<_> = set.keys().map(|key| (key.name.to_string(), key.hit_cost.of(&made).input)).collect();
    costs.sort();
    assert_eq!(costs, [("a".to_owned(), 10), ("b".to_owned(), 40), ("c".to_owned(), 0)]);
    let none = compile(&format!("tenant: t\nkeys: [{{ name: a, key: \"{}\" }}]\n", hash('a'))).unwrap();
    assert!(none.keys().all(|key| key.hit_cost.is_nothing()));
    let wrong = format!("tenant: t\nhit_cost: most\nkeys:\n  - {{ name: a, key: \"{}\", hit_cost: 2 }}\n", hash('a'));
    let shown: Vec<String> = compile(&wrong).unwrap_err().iter().map(ToString::to_string).collect();
    assert!(shown[0].starts_with("p.yaml:2:11: hit_cost: `most`"), "{shown:?}");
    assert!(shown[1].starts_with("p.yaml:4:") && shown[1].contains("keys[0].hit_cost: `2`"), "{shown:?}");
}

#[test]
fn unknown_keys_are_errors_with_a_line() {
    let error = compile("tenant: t\nlimit:\n  - 5 tokens/min\n").unwrap_err().remove(0);
    assert!(error.line == 2 && error.message.contains("limit"), "{error}");
}

#[test]
fn one_tenant_has_one_file_and_a_secret_one_key() {
    let text = format!("tenant: t\nkeys: [{{ name: a, key: \"{}\" }}]\n", hash('d'));
    let errors = PolicySet::compile(&[file("a.yaml", &text), file("b.yaml", &text)]).unwrap_err();
    let shown = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(shown.contains("b.yaml:1:") && shown.contains("key `a` of tenant `t` already"), "{shown}");
}

#[test]
fn buckets_of_different_scopes_never_meet() {
    let text = "tenant: t\nlimits:\n  - 5 requests/min per key\n  - 5 requests/min per user\n  - 9 requests/day\n";
    let set = compile(text).unwrap();
    let who = |key, user| Subject { tenant: "t", key, user, class: "standard", model: "m" };
    let keys = |who: &Subject<'_>| set.limits_for(who).map(|limit| limit.scope_key(who)).collect::<Vec<_>>();
    let (a, b) = (keys(&who("a", Some("u"))), keys(&who("b", None)));
    assert_eq!(a.len(), 3);
    assert_eq!(a.iter().filter(|key| b.contains(key)).count(), 1, "only the tenant's bucket is shared: {a:?} {b:?}");
    assert!(set.limits().any(|limit| limit.unit == Unit::Requests && matches!(limit.kind, Kind::Budget(_))));
}

proptest! {
    #[test]
    fn any_text_is_an_error_and_not_a_crash(text in ".{0,200}") {
        prop_assert!(compile(&text).is_err());
    }

    #[test]
    fn any_sentence_is_an_error_or_a_limit(words in proptest::collection::vec(
        prop_oneof!["[0-9]{1,20}[kMB]?", "\\$[0-9.]{1,9}(/day)?", "(tokens|requests|concurrent)(/(min|s|day|month))?",
            "per|on|burst|observe|key|user|tenant|input|output"], 0..7)) {
        let text = format!("tenant: t\nlimits:\n  - \"{}\"\n", words.join(" "));
        if let Err(errors) = compile(&text) {
            prop_assert_eq!(errors.len(), 1);
        }
    }
}
