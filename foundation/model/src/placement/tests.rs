//! Rules as text, as JSON and in use.

use super::*;

fn rule(text: &str) -> Rule {
    text.parse().unwrap()
}

fn passes(text: &str, found: Option<&str>) -> bool {
    let Rule::Label(label) = rule(text) else { panic!("{text} is about a label") };
    label.compile().unwrap().passes(found)
}

#[test]
fn a_label_passes_by_its_operator_and_where_it_is_missing_only_what_is_denied_passes() {
    for (text, found, expected) in [
        ("disk==ssd", Some("ssd"), true),
        ("disk==ssd", Some("ssd2"), false),
        ("disk==ssd", None, false),
        ("disk!=ssd", Some("hdd"), true),
        ("disk!=ssd", Some("ssd"), false),
        ("disk!=ssd", None, true),
        ("rack glob r?-*", Some("r1-top"), true),
        ("rack glob r?-*", Some("r12-top"), false),
        ("rack glob r.", Some("rx"), false),
        ("rack glob *", None, false),
        ("rack glob a*b", Some("a\nb"), true),
        ("rack regex ^r[0-9]+$", Some("r12"), true),
        ("rack regex [0-9]", Some("r1"), true),
        ("rack regex ^[0-9]", Some("r1"), false),
        ("rack regex .*", None, false),
    ] {
        assert_eq!(passes(text, found), expected, "{text} {found:?}");
    }
}

#[test]
fn a_rule_is_read_as_it_is_shown() {
    for text in ["disk==ssd", "disk!=", "a/b.c==x == y", "rack glob r*", "rack regex ^a!=b$"] {
        assert_eq!(rule(text).to_string(), text);
    }
    for (text, shown) in [(" disk == ssd ", "disk==ssd"), ("with  db", "with db")] {
        assert_eq!(rule(text).to_string(), shown);
    }
    let Rule::App(found) = rule("apart db") else { panic!() };
    assert_eq!(found, AppRule { app: "db".into(), relation: Relation::Apart });
    for bad in ["", "disk", "disk=ssd", "near db"] {
        assert!(Rule::from_str(bad).unwrap_err().contains("is no rule"), "{bad}");
    }
}

#[test]
fn an_affinity_has_a_weight_before_it_or_the_default_one() {
    let affinity = |text: &str| text.parse::<Affinity>().unwrap();
    assert_eq!(affinity("disk==a:b"), Affinity { rule: rule("disk==a:b"), weight: 50 });
    assert_eq!(affinity("80:with db"), Affinity { rule: rule("with db"), weight: 80 });
}

#[test]
fn a_placement_is_the_same_after_json_and_absent_parts_are_left_out() {
    let placement = Placement {
        strategy: Some(Strategy::Binpack),
        constraints: vec![rule("disk==ssd"), rule("apart db")],
        affinities: vec!["80:rack glob r*".parse().unwrap()],
    };
    let json = serde_json::to_value(&placement).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "strategy": "binpack",
            "constraints": [
                {"label": "disk", "operator": "==", "value": "ssd"},
                {"app": "db", "relation": "apart"},
            ],
            "affinities": [
                {"label": "rack", "operator": "glob", "value": "r*", "weight": 80},
            ],
        })
    );
    assert_eq!(serde_json::from_value::<Placement>(json).unwrap(), placement);
    assert_eq!(serde_json::to_string(&Placement::default()).unwrap(), "{}");
    assert!(serde_json::from_str::<Placement>("{}").unwrap().is_default());
}

#[test]
fn a_rule_that_is_neither_about_a_label_nor_about_an_app_is_refused() {
    for (json, why) in [
        (r#"{"constraints": [{}]}"#, "a rule has label, operator and value"),
        (r#"{"constraints": [{"label": "a", "operator": "=="}]}"#, "a rule has label"),
        (r#"{"constraints": [{"app": "a", "relation": "near"}]}"#, "unknown variant `near`"),
        (r#"{"constraints": [{"app": "a", "relation": "with", "weight": 5}]}"#, "has no weight"),
        (r#"{"constraints": [{"label": "a", "operator": "=~", "value": ""}]}"#, "`=~`"),
        (r#"{"tags": []}"#, "unknown field `tags`"),
        (r#"{"strategy": "pack"}"#, "unknown variant `pack`"),
    ] {
        let error = serde_json::from_str::<Placement>(json).unwrap_err().to_string();
        assert!(error.contains(why), "{json}: {error}");
    }
}

#[test]
fn what_could_not_be_used_is_refused_with_its_reason() {
    let check = |rules: Vec<Rule>| {
        Placement { constraints: rules, ..Placement::default() }.check().unwrap_err().to_string()
    };
    let label = |label: &str, operator, value: &str| {
        Rule::Label(LabelRule { label: label.into(), operator, value: value.into() })
    };
    let regex = |value: &str| label("a", Operator::Regex, value);
    for (found, expected) in [
        (check(vec![regex("(")]), "rule 'a regex (': error: unclosed group"),
        (check(vec![regex(r"\w{1000}")]), "the pattern is too large once compiled"),
        (check(vec![label("a b", Operator::Is, "")]), "a label is letters, digits and - _ . /"),
        (check(vec![label("", Operator::Is, "")]), "a label is letters"),
        (check(vec![regex(&"x".repeat(257))]), "257 bytes are more than 256"),
        (check(vec![rule("with ../x")]), "rule 'with ../x': the app"),
        (check(vec![rule("a==b"); 17]), "17 constraints are more than 16"),
    ] {
        assert!(found.contains(expected), "{found}");
    }
    let heavy = Affinity { rule: rule("a==b"), weight: 101 };
    let placement = Placement { affinities: vec![heavy], ..Placement::default() };
    let error = placement.check().unwrap_err().to_string();
    assert_eq!(error, "rule 'a==b': weight 101 is not within 1 to 100");
    assert_eq!(Placement::default().check(), Ok(()));
}

#[test]
fn a_strategy_is_known_by_its_name() {
    for strategy in [Strategy::Spread, Strategy::Binpack, Strategy::Random] {
        assert_eq!(strategy.name().parse(), Ok(strategy));
        let json = serde_json::to_value(strategy).unwrap();
        assert_eq!(json, strategy.name());
    }
    assert!("pack".parse::<Strategy>().is_err());
}

#[test]
fn a_cells_label_is_read_as_rules_name_it() {
    let check = |text: &str, label: &str, value: &str| {
        assert_eq!(parse_label(text), Ok((label.to_owned(), value.to_owned())));
    };
    check("disk=ssd", "disk", "ssd");
    check("example.org/gpu-kind=a=b, c", "example.org/gpu-kind", "a=b, c");
    check("spot=", "spot", "");
    let refused = |text: &str, words: &str| {
        let why = parse_label(text).unwrap_err();
        assert!(why.contains(words), "{text}: {why}");
    };
    refused("ssd", "'ssd' is no label: write LABEL=VALUE");
    refused("=ssd", "a label is letters, digits and - _ . /");
    refused("a b=c", "a label is letters, digits and - _ . /");
    refused(&format!("disk={}", "x".repeat(257)), "257 bytes are more than 256");
}
