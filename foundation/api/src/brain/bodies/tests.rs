use lattice_model::Limit;
use lattice_model::action::ACTION_DEPTH_MAX;
use lattice_model::action::{Action, Run, Wrapped};
use lattice_model::desired_lrp::{PIDS_DEFAULT, RestartPolicy};
use proptest::prelude::*;
use serde_json::json;

use super::task::TaskCreateRequest;
use super::*;

fn run() -> Value {
    json!({"run": {"path": "/app", "user": "vcap"}})
}

fn valid_lrp() -> Value {
    json!({"process_guid": "web", "domain": "lattice", "rootfs": "docker:///repo#tag",
        "action": run()})
}

fn valid_task() -> Value {
    json!({"task_guid": "t", "domain": "lattice", "rootfs": "docker:///repo#tag", "action": run()})
}

fn with(mut body: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

#[track_caller]
fn check(found: Result<(), Refusal>, name: ErrorName, message: &str, input: &Value) {
    assert_eq!(found, Err(Refusal::new(name, message)), "{input}");
}

/// A way to read a body.
type Parse = fn(&Value) -> Result<(), Refusal>;

fn create(body: &Value) -> Result<(), Refusal> {
    desired_lrp::parse_create(body).map(drop)
}

fn task(body: &Value) -> Result<(), Refusal> {
    task::parse_create(body).map(drop)
}

#[test]
fn an_lrp_is_refused_in_the_receptors_words() {
    let long = "x".repeat(10_241);
    let host = json!({"x": "y".repeat(131_072)});
    for (changes, message) in [
        (json!({"domain": ""}), "Invalid field: domain"),
        (json!({"domain": null}), "Invalid field: domain"),
        (json!({"process_guid": "a b"}), "Invalid field: process_guid"),
        (json!({"process_guid": "../x"}), "Invalid field: process_guid"),
        (json!({"process_guid": "x".repeat(201)}), "Invalid field: process_guid"),
        (json!({"rootfs": ""}), "Invalid field: rootfs, Invalid field: rootfs"),
        (json!({"rootfs": "repo"}), "Invalid field: rootfs"),
        (json!({"rootfs": "://x"}), "Invalid field: rootfs"),
        (json!({"rootfs": "/a:b"}), "Invalid field: rootfs"),
        (json!({"setup": {}}), "Invalid field: setup, Invalid field: inner-action"),
        (json!({"action": null}), "invalid action type"),
        (json!({"action": {}}), "Invalid field: action, Invalid field: inner-action"),
        (
            json!({"action": {"run": {}}}),
            "Invalid field: action, Invalid field: path, Invalid field: user",
        ),
        (json!({"monitor": {"try": {}}}), "Invalid field: monitor, Invalid field: action"),
        (json!({"instances": -1}), "Invalid field: instances"),
        (json!({"instances": 100_001}), "Invalid field: instances"),
        (json!({"cpu_weight": 101}), "Invalid field: cpu_weight"),
        (json!({"cpu_limit_percent": 100_001}), "Invalid field: cpu_limit_percent"),
        (json!({"annotation": long}), "Invalid field: annotation"),
        (json!({"routes": host}), "Invalid field: routes"),
        (
            json!({"egress_rules": [{}]}),
            "Invalid field: egress_rules, Invalid field: protocol, Invalid field: destinations [ \
             Must have at least 1 destination ]",
        ),
        (json!({"log_rate_limit": -2}), "Invalid field: log_rate_limit"),
        (json!({"app": "a b"}), "Invalid field: app"),
        (json!({"restart_policy": "sometimes"}), "Invalid field: restart_policy"),
        (json!({"update_strategy": "never"}), "Invalid field: update_strategy"),
        (
            json!({"check_definition": {"checks": [{"tcp_check": {"port": 0}}]}}),
            "Invalid field: check_definition, check_definition: checks[0] has no port",
        ),
        (
            json!({"stop": {"grace_ms": 600_001}}),
            "Invalid field: stop, stop: a grace of 600001 ms, at most 600000",
        ),
    ] {
        let body = with(valid_lrp(), changes);
        check(create(&body), ErrorName::InvalidLRP, message, &body);
    }
    check(
        create(&json!({})),
        ErrorName::InvalidLRP,
        "Invalid field: domain, Invalid field: process_guid, Invalid field: rootfs, Invalid field: \
         rootfs, invalid action type",
        &json!({}),
    );
}

#[test]
fn all_that_is_wrong_with_an_lrp_is_told_in_the_receptors_order() {
    let body = json!({"domain": "", "process_guid": "", "rootfs": "", "setup": {}, "monitor": {},
        "action": {"serial": {"actions": [null]}}, "instances": -1, "cpu_weight": 101,
        "annotation": "x".repeat(10_241), "routes": {"a": "b".repeat(131_072)},
        "egress_rules": [{"protocol": "all", "destinations": ["1.2.3.4"]}, {"protocol": "x"}]});
    let expected = [
        "Invalid field: domain",
        "Invalid field: process_guid",
        "Invalid field: rootfs",
        "Invalid field: rootfs",
        "Invalid field: setup",
        "Invalid field: inner-action",
        "Invalid field: action",
        "Invalid field: action at index 0",
        "Invalid field: monitor",
        "Invalid field: inner-action",
        "Invalid field: instances",
        "Invalid field: cpu_weight",
        "Invalid field: annotation",
        "Invalid field: routes",
        "Invalid field: egress_rules",
        "Invalid field: protocol",
        "Invalid field: destinations [ Must have at least 1 destination ]",
    ];
    check(create(&body), ErrorName::InvalidLRP, &expected.join(", "), &body);
}

#[test]
fn amounts_and_blank_names_are_an_unknown_error() {
    for (changes, message) in [
        (json!({"memory_mb": -1}), "Invalid field: memory_mb"),
        (json!({"disk_mb": -1}), "Invalid field: disk_mb"),
        (json!({"max_pids": -1}), "Invalid field: max_pids"),
        (json!({"env": [{"name": " ", "value": "x"}]}), "invalid field: name cannot be blank"),
        (json!({"env": [{"value": "x"}]}), "invalid field: name cannot be blank"),
    ] {
        for (body, parse) in [
            (with(valid_lrp(), changes.clone()), create as Parse),
            (with(valid_task(), changes.clone()), task as Parse),
        ] {
            check(parse(&body), ErrorName::UnknownError, message, &body);
        }
    }
    let changes = json!({"rootfs": "x", "memory_mb": -1, "disk_mb": -1, "env": [{}]});
    let message = "Invalid field: rootfs, Invalid field: memory_mb, Invalid field: disk_mb, \
                   invalid field: name cannot be blank";
    let body = with(valid_lrp(), changes.clone());
    check(create(&body), ErrorName::InvalidLRP, message, &body);
    let body = with(valid_task(), changes);
    check(task(&body), ErrorName::InvalidTask, message, &body);
}

#[test]
fn a_wrong_type_names_the_field_and_what_it_wants() {
    for (changes, message) in [
        (json!({"instances": "3"}), "string into field instances of type int"),
        (json!({"instances": 1.5}), "number 1.5 into field instances of type int"),
        (json!({"process_guid": 7}), "number 7 into field process_guid of type string"),
        (json!({"privileged": "yes"}), "string into field privileged of type bool"),
        (json!({"ports": [80, 70000]}), "number 70000 into field ports[1] of type uint16"),
        (json!({"ports": [-1]}), "number -1 into field ports[0] of type uint16"),
        (json!({"ports": 80}), "number 80 into field ports of type array"),
        (json!({"cpu_weight": -1}), "number -1 into field cpu_weight of type uint32"),
        (
            json!({"cpu_limit_percent": 0.5}),
            "number 0.5 into field cpu_limit_percent of type uint64",
        ),
        (json!({"start_timeout": -1}), "number -1 into field start_timeout of type uint64"),
        (json!({"routes": []}), "array into field routes of type object"),
        (json!({"env": ["A=b"]}), "string into field env[0] of type object"),
        (json!({"env": [{"name": true}]}), "bool into field env[0].name of type string"),
        (json!({"action": "run"}), "string into field action of type object"),
        (
            json!({"action": {"run": {"args": "x"}}}),
            "string into field action.run.args of type array",
        ),
        (
            json!({"action": {"serial": {"actions": [run(), {"timeout": {"timeout": "1s"}}]}}}),
            "string into field action.serial.actions[1].timeout.timeout of type int",
        ),
        (
            json!({"egress_rules": [{"ports": ["x"]}]}),
            "string into field egress_rules[0].ports[0] of type uint32",
        ),
    ] {
        let body = with(valid_lrp(), changes);
        let message = format!("json: cannot unmarshal {message}");
        check(create(&body), ErrorName::InvalidJSON, &message, &body);
    }
    for body in [json!([]), json!("x"), json!(7)] {
        for parse in [create as Parse, task as Parse] {
            assert_eq!(parse(&body).unwrap_err().name, ErrorName::InvalidJSON, "{body}");
        }
    }
}

#[test]
fn an_action_is_refused_in_the_receptors_words() {
    for (action, message) in [
        (json!({}), "inner-action"),
        (json!({"jump": {}}), "inner-action"),
        (json!({"run": null}), "inner-action"),
        (json!({"run": {"path": "x", "user": "u"}, "try": {}}), "inner-action"),
        (json!({"run": {"user": "u"}}), "path"),
        (json!({"run": {"path": "x"}}), "user"),
        (json!({"run": {"path": "x", "user": "u", "env": [{"name": ""}]}}), "env"),
        (json!({"download": {"to": "/x", "user": "u"}}), "from"),
        (json!({"download": {"from": "/x", "user": "u"}}), "to"),
        (json!({"download": {"from": "/x", "to": "/y"}}), "user"),
        (json!({"upload": {"to": "/x", "user": "u"}}), "from"),
        (json!({"upload": {"from": "/x", "user": "u"}}), "to"),
        (json!({"upload": {"from": "/x", "to": "/y"}}), "user"),
        (json!({"timeout": {"timeout": 1}}), "action"),
        (json!({"timeout": {"action": run()}}), "timeout"),
        (json!({"timeout": {"action": run(), "timeout": 0}}), "timeout"),
        (json!({"timeout": {"action": run(), "timeout": -5}}), "timeout"),
        (json!({"try": {"action": {}}}), "inner-action"),
        (json!({"emit_progress": {"start_message": "x"}}), "action"),
        (json!({"parallel": {}}), "actions"),
        (json!({"serial": {"actions": []}}), "actions"),
        (json!({"codependent": {"actions": [run(), null]}}), "action at index 1"),
        (json!({"parallel": {"actions": [{"try": {"action": {"run": {"user": "u"}}}}]}}), "path"),
    ] {
        let message = format!("Invalid field: {message}");
        check(super::action::parse(&action).map(drop), ErrorName::InvalidLRP, &message, &action);
    }
}

#[test]
fn actions_come_back_as_they_went_in_without_empty_optional_fields() {
    for action in [
        json!({"run": {"path": "/a", "resource_limits": {}, "user": "u"}}),
        json!({"run": {"path": "/a", "args": ["b"], "dir": "/", "env": [{"name": "A", "value": ""}],
            "resource_limits": {"nofile": 9}, "user": "u", "log_source": "X"}}),
        json!({"download": {"from": "a", "to": "b", "cache_key": "", "user": "u"}}),
        json!({"upload": {"artifact": "z", "from": "a", "to": "b", "user": "u"}}),
        json!({"timeout": {"action": {"try": {"action": {"download":
            {"from": "a", "to": "b", "cache_key": "k", "user": "u"}}}}, "timeout": 5}}),
        json!({"emit_progress": {"action": {"upload": {"from": "a", "to": "b", "user": "u"}},
            "start_message": "", "success_message": "y", "failure_message_prefix": ""}}),
        json!({"parallel": {"actions": [{"serial": {"actions": [{"codependent": {"actions":
            [{"upload": {"from": "a", "to": "b", "user": "u"}}], "log_source": "L"}}]}}]}}),
    ] {
        let parsed = super::action::parse(&action).unwrap();
        assert_eq!(serde_json::to_value(&parsed).unwrap(), action);
    }
}

#[test]
fn a_tree_of_actions_has_a_greatest_depth() {
    let nested =
        |depth: usize| (1..depth).fold(run(), |inner, _| json!({"try": {"action": inner}}));
    assert!(super::action::parse(&nested(ACTION_DEPTH_MAX)).is_ok());
    let refusal = super::action::parse(&nested(ACTION_DEPTH_MAX + 1)).unwrap_err();
    assert_eq!(refusal.message, "Invalid field: action nested more than 32 deep");
    let hostile = "{\"try\":{\"action\":".repeat(100_000);
    assert_eq!(parse_json(hostile.as_bytes()).unwrap_err().name, ErrorName::InvalidJSON);
}

#[test]
fn egress_rules_are_refused_in_the_receptors_words() {
    let to = json!(["1.2.3.4"]);
    for (rule, message) in [
        (json!({"protocol": "x", "destinations": to}), "Invalid field: protocol"),
        (
            json!({"protocol": "tcp", "destinations": to}),
            "Missing required field: ports or port_range",
        ),
        (
            json!({"protocol": "tcp", "destinations": to, "ports": [1],
                "port_range": {"start": 1, "end": 2}}),
            "Invalid: ports and port_range provided",
        ),
        (json!({"protocol": "udp", "destinations": to, "ports": []}), "Invalid field: ports"),
        (json!({"protocol": "udp", "destinations": to, "ports": [0]}), "Invalid field: ports"),
        (json!({"protocol": "tcp", "destinations": to, "ports": [65536]}), "Invalid field: ports"),
        (
            json!({"protocol": "tcp", "destinations": to, "port_range": {"start": 9, "end": 8}}),
            "Invalid field: port_range",
        ),
        (
            json!({"protocol": "tcp", "destinations": to, "ports": [1],
                "icmp_info": {"type": 0, "code": 0}}),
            "Invalid field: icmp_info",
        ),
        (
            json!({"protocol": "udp", "destinations": to, "ports": [1], "log": true}),
            "Invalid field: log",
        ),
        (json!({"protocol": "icmp", "destinations": to}), "Invalid field: icmp_info"),
        (json!({"protocol": "all", "destinations": to, "ports": [1]}), "Invalid field: ports"),
        (
            json!({"protocol": "all"}),
            "Invalid field: destinations [ Must have at least 1 destination ]",
        ),
        (
            json!({"protocol": "all", "destinations": ["1.2.3.4/99"]}),
            "Invalid field: destinations [ Invalid IP, invalid CIDR address: 1.2.3.4/99 ]",
        ),
        (
            json!({"protocol": "all", "destinations": ["1.2.3.4-1.2.3.3", "1.2.3.4-::1"]}),
            "Invalid field: destinations [ Invalid IP range, 1.2.3.4-1.2.3.3 ], \
             Invalid field: destinations [ Invalid IP range, 1.2.3.4-::1 ]",
        ),
        (
            json!({"protocol": "icmp", "destinations": to, "icmp_info": {"type": 256, "code": 0}}),
            "Invalid field: icmp_info",
        ),
    ] {
        let body = with(valid_lrp(), json!({"egress_rules": [rule]}));
        let message = format!("Invalid field: egress_rules, {message}");
        check(create(&body), ErrorName::InvalidLRP, &message, &body);
    }
    let many = json!([{"protocol": "all", "destinations": vec!["1.2.3.4"; 1_001]}]);
    let body = with(valid_lrp(), json!({"egress_rules": many}));
    let message = "Invalid field: egress_rules [ 1001 destinations, at most 1000 ]";
    check(create(&body), ErrorName::InvalidLRP, message, &body);
    let rules = json!([
        {"protocol": "tcp", "destinations": ["1.2.3.4-1.2.3.9"], "ports": [80], "log": true},
        {"protocol": "icmp", "destinations": ["::/0"], "icmp_info": {"type": 8, "code": 0}},
    ]);
    let lrp =
        desired_lrp::parse_create(&with(valid_lrp(), json!({"egress_rules": rules}))).unwrap();
    let written = serde_json::to_value(DesiredLrpResponse::from(&lrp)).unwrap();
    assert_eq!(written["egress_rules"][0]["log"], true);
    assert_eq!(written["egress_rules"][1]["log"], false, "always included");
}

#[test]
fn a_task_is_refused_in_the_receptors_words_and_order() {
    for (changes, message) in [
        (json!({"task_guid": "a/b"}), "Invalid field: task_guid"),
        (json!({"domain": ""}), "Invalid field: domain"),
        (json!({"rootfs": ""}), "Invalid field: rootfs"),
        (json!({"action": null}), "invalid action type"),
        (json!({"action": {}}), "Invalid field: action, Invalid field: inner-action"),
        (json!({"cpu_weight": 101}), "Invalid field: cpu_weight"),
        (json!({"annotation": "x".repeat(10_241)}), "Invalid field: annotation"),
        (json!({"completion_callback_url": "here"}), "Invalid field: completion_callback_url"),
        (json!({"completion_callback_url": "http://"}), "Invalid field: completion_callback_url"),
        (json!({"completion_callback_url": "file:///x"}), "Invalid field: completion_callback_url"),
    ] {
        let body = with(valid_task(), changes);
        check(task(&body), ErrorName::InvalidTask, message, &body);
    }
    let body = json!({"cpu_weight": 101, "annotation": "x".repeat(10_241), "egress_rules": [{}]});
    let expected = [
        "Invalid field: task_guid",
        "Invalid field: domain",
        "Invalid field: rootfs",
        "invalid action type",
        "Invalid field: cpu_weight",
        "Invalid field: annotation",
        "Invalid field: egress_rules",
        "Invalid field: protocol",
        "Invalid field: destinations [ Must have at least 1 destination ]",
    ]
    .join(", ");
    check(task(&body), ErrorName::InvalidTask, &expected, &body);
}

#[test]
fn an_update_changes_only_what_it_names() {
    let update = |body: Value| desired_lrp::parse_update(&body);
    assert_eq!(update(json!({})).unwrap(), lattice_model::DesiredLrpUpdate::default());
    let nulls = json!({"instances": null, "routes": null, "annotation": null, "other": 1});
    assert_eq!(update(nulls).unwrap(), lattice_model::DesiredLrpUpdate::default());
    let all = update(json!({"instances": 0, "routes": {"x": null}, "annotation": ""})).unwrap();
    assert_eq!((all.instances, all.annotation), (Some(0), Some(String::new())));
    assert_eq!(all.routes.unwrap().0["x"], Value::Null);
    let refusal = update(json!({"instances": -1})).unwrap_err();
    assert_eq!(refusal, Refusal::new(ErrorName::UnknownError, "Invalid field: instances"));
    assert_eq!(update(json!({"instances": "x"})).unwrap_err().name, ErrorName::InvalidJSON);
}

#[test]
fn nulls_and_unknown_fields_do_no_harm() {
    let body = with(
        valid_lrp(),
        json!({"future": {"a": 1}, "ports": null, "env": null, "instances": null, "routes":
            {"cf-router": null}, "setup": null, "monitor": null, "egress_rules": null}),
    );
    let lrp = desired_lrp::parse_create(&body).unwrap();
    assert_eq!((lrp.instances, lrp.main().ports.len()), (0, 0));
    assert!(lrp.routes.http().is_empty());
    let written = serde_json::to_string(&DesiredLrpResponse::from(&lrp)).unwrap();
    assert!(written.contains(r#""setup":null,"action""#), "{written}");
    assert!(written.contains(r#""ports":[],"#), "{written}");
    for absent in ["env", "annotation", "egress_rules", "app", "restart_policy", "max_pids"] {
        assert!(!written.contains(&format!("\"{absent}\"")), "{absent} in {written}");
    }
}

#[test]
fn what_is_ours_is_added_and_read_back() {
    let body = with(
        valid_lrp(),
        json!({"app": "shop", "restart_policy": {"on_failure": {"attempts_max": 3}},
            "placement_tags": ["gpu"], "max_pids": 64, "log_rate_limit": 0,
            "cpu_limit_percent": 150, "update_strategy": "recreate",
            "check_definition": {"checks": [{"tcp_check": {"port": 80, "connect_timeout_ms": 5}}],
                "readiness_checks": [{"http_check": {"port": 80, "path": "/up"}}]},
            "stop": {"signal": "SIGINT", "grace_ms": 30_000}}),
    );
    let lrp = desired_lrp::parse_create(&body).unwrap();
    assert_eq!(lrp.log.bytes_per_s_max, Some(0));
    assert_eq!(&*lrp.app, "shop");
    assert_eq!(lrp.restart_policy, RestartPolicy::OnFailure { attempts_max: 3 });
    assert_eq!(lrp.main().limits.cpu_limit_percent, Limit::AtMost(150));
    assert_eq!((lrp.main().checks.checks.len(), lrp.main().stop.grace_ms), (1, Some(30_000)));
    let written = serde_json::to_value(DesiredLrpResponse::from(&lrp)).unwrap();
    assert_eq!(desired_lrp::parse_response(&written).unwrap(), lrp);
}

#[test]
fn processes_are_bound_unless_somebody_says_that_they_are_not() {
    for (changes, expected, written) in [
        (json!({}), PIDS_DEFAULT, None),
        (json!({"max_pids": null}), PIDS_DEFAULT, None),
        (json!({"max_pids": 1024}), PIDS_DEFAULT, None),
        (json!({"max_pids": 0}), Limit::Unlimited, Some(json!(0))),
        (json!({"max_pids": 1}), Limit::AtMost(1), Some(json!(1))),
    ] {
        let lrp = desired_lrp::parse_create(&with(valid_lrp(), changes.clone())).unwrap();
        assert_eq!(lrp.main().limits.pids, expected, "{changes}");
        let body = serde_json::to_value(DesiredLrpResponse::from(&lrp)).unwrap();
        assert_eq!(body.get("max_pids"), written.as_ref(), "{changes}");
        assert_eq!(desired_lrp::parse_response(&body).unwrap(), lrp, "{changes}");
        let task = task::parse_create(&with(valid_task(), changes.clone())).unwrap();
        assert_eq!(task.main().limits.pids, expected, "{changes}");
        let body = serde_json::to_value(TaskCreateRequest::from(&task)).unwrap();
        assert_eq!(task::parse_create(&body).unwrap(), task, "{changes}");
    }
}

#[test]
fn ports_of_an_instance_are_null_when_there_are_none() {
    let body = ActualLrpResponse { ports: None, ..ActualLrpResponse::default() };
    let written = serde_json::to_string(&body).unwrap();
    let expected = "{\"process_guid\":\"\",\"instance_guid\":\"\",\"cell_id\":\"\",\"domain\":\"\",\
                    \"index\":0,\"address\":\"\",\"ports\":null,\"state\":\"\",\"crash_count\":0,\
                    \"since\":0,\"evacuating\":false,\
                    \"modification_tag\":{\"epoch\":\"\",\"index\":0}}";
    assert_eq!(written, expected);
}

#[test]
fn registry_credentials_name_a_host() {
    let parse = |registry: &str| {
        parse_registry_credentials(&json!({"registry": registry, "username": "u", "password": "p"}))
    };
    for good in ["docker.io", "localhost:5000", "[::1]:80"] {
        assert!(parse(good).is_ok(), "{good}");
    }
    for bad in ["", "a/b", "http://x", "a b"] {
        let refusal = parse(bad).unwrap_err();
        assert_eq!(refusal.message, "Invalid field: registry", "{bad}");
    }
}

/// Any JSON, now and then with the names that the decoders look for.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z/:*-]{0,8}".prop_map(Value::from),
        Just(run()),
    ];
    let names = prop_oneof![
        Just("run".to_owned()),
        Just("serial".to_owned()),
        Just("timeout".to_owned()),
        Just("actions".to_owned()),
        Just("action".to_owned()),
        Just("cf-router".to_owned()),
        "[a-z_]{0,6}",
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn any_action() -> impl Strategy<Value = Action> {
    let text = "[ -~é]{1,6}";
    let leaf = (text, text, prop::collection::vec("[ -~]{0,4}", 0..3))
        .prop_map(|(path, user, args)| Action::Run(Run { path, user, args, ..Run::default() }));
    leaf.prop_recursive(5, 20, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|action| Action::Try(Wrapped {
                action: Some(Box::new(action)),
                log_source: "L".to_owned(),
            })),
            prop::collection::vec(inner.prop_map(Some), 1..4).prop_map(|actions| {
                let log_source = String::new();
                Action::Codependent(lattice_model::action::Group { actions, log_source })
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_makes_a_decoder_panic(field in 0..FIELDS.len(), value in any_json()) {
        for valid in [valid_lrp(), valid_task()] {
            for mut body in [valid, value.clone()] {
                if let Some(fields) = body.as_object_mut() {
                    fields.insert(FIELDS[field].to_owned(), value.clone());
                }
                let _ = desired_lrp::parse_create(&body);
                let _ = desired_lrp::parse_response(&body);
                let _ = desired_lrp::parse_update(&body);
                let _ = super::task::parse_create(&body);
                let _ = super::task::parse_response(&body);
                let _ = parse_registry_credentials(&body);
                let _ = event::parse("task_changed", &body);
                let _ = event::parse("actual_lrp_changed", &body);
            }
        }
    }

    #[test]
    fn what_is_accepted_is_written_and_read_back_the_same(
        field in 0..FIELDS.len(), value in any_json(), action in any_action(),
    ) {
        let mut body = with(valid_lrp(), json!({FIELDS[field]: value}));
        body["setup"] = serde_json::to_value(action).unwrap();
        if let Ok(lrp) = desired_lrp::parse_create(&body) {
            let written = serde_json::to_value(DesiredLrpResponse::from(&lrp)).unwrap();
            prop_assert_eq!(desired_lrp::parse_response(&written).unwrap(), lrp);
        }
    }
}

const FIELDS: [&str; 26] = [
    "process_guid",
    "task_guid",
    "domain",
    "rootfs",
    "instances",
    "env",
    "setup",
    "action",
    "monitor",
    "start_timeout",
    "memory_mb",
    "cpu_weight",
    "privileged",
    "ports",
    "routes",
    "annotation",
    "egress_rules",
    "modification_tag",
    "app",
    "restart_policy",
    "update_strategy",
    "sidecars",
    "mounts",
    "containers",
    "state",
    "task_after",
];
