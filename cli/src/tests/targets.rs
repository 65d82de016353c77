//! Targets, credentials, help and versions.

use lattice_api::brain::Version;
use serde_json::json;

use super::fakes::Machine;
use crate::image::ImageError;
use crate::target::Login;

const ADMIN_JSON: &str = r#"{"username":"admin","password":"hunter2"}"#;

fn admin() -> Login {
    Login { username: "admin".to_owned(), password: "hunter2".to_owned() }
}

/// A machine without a target, whose platform wants the administrator.
fn guarded() -> Machine {
    let machine = Machine::new();
    machine.state().admin = Some(admin());
    machine
}

#[tokio::test]
async fn a_target_without_credentials_is_kept() {
    let machine = Machine::new();
    machine.ltc("target lattice.localhost:8080").await.succeeds();
    let ran = machine.ltc("target").await.succeeds();
    let store = "Droplet store   lattice.localhost:8444\n";
    assert_eq!(ran.stdout, format!("Target          lattice.localhost:8080\n{store}"));
    assert!(ran.stderr.contains("no command uses a droplet store yet"), "{}", ran.stderr);
    assert_eq!(machine.ltc("ta -d").await.succeeds().stdout, "lattice.localhost:8080\n");
    let json = machine.ltc("target -o json").await.succeeds().json();
    let store = "lattice.localhost:8444";
    let expected = json!({"target": "lattice.localhost:8080", "droplet_store": store});
    assert_eq!(json, expected);
}

#[tokio::test]
async fn the_person_is_asked_when_the_target_wants_it() {
    let mut machine = guarded();
    machine.person.answers = Some(("admin".into(), "hunter2".into()));
    let ran = machine.ltc("target lattice.localhost").await.succeeds();
    assert!(ran.stderr.contains("admin@lattice.localhost") && !ran.stderr.contains("hunter2"));
    machine.ltc("list").await.succeeds();
    machine.person.answers = Some(("admin".into(), "wrong".into()));
    machine.ltc("target lattice.localhost").await.fails(10, &["did not accept"]);
    assert!(machine.read(".lattice/config.json").contains("hunter2"), "the old target stays");
}

#[tokio::test]
async fn a_bucket_of_the_persons_own_is_asked_for_kept_and_shown() {
    let mut machine = guarded();
    machine.person.answers = Some(("admin".into(), "hunter2".into()));
    let keys = [("access key", "AKIA"), ("secret key", "s3cret"), ("bucket", "my-bucket")];
    machine.person.to_questions = [keys.as_slice(), &[("region", "eu-west-1")]].concat();
    let ran = machine.ltc("target lattice.localhost --s3").await.succeeds();
    assert!(ran.stderr.contains("s3://my-bucket (eu-west-1)"), "{}", ran.stderr);
    assert!(ran.stderr.contains("no command uses"), "{}", ran.stderr);
    let kept: serde_json::Value =
        serde_json::from_str(&machine.read(".lattice/config.json")).unwrap();
    assert_eq!((&kept["active_blob_store"], &kept["username"]), (&json!(1), &json!("admin")));
    let s3 = json!({"region": "eu-west-1", "access_key": "AKIA", "secret_key": "s3cret",
                    "bucket_name": "my-bucket"});
    assert_eq!(kept["s3_blob_store"], s3);
    let shown = machine.ltc("target").await.succeeds();
    assert!(shown.stdout.contains("Droplet store   s3://my-bucket (eu-west-1)\n"));
    for ran in [&ran, &shown, &machine.ltc("target -o json").await.succeeds()] {
        let all = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!all.contains("s3cret") && !all.contains("AKIA"), "{all}");
    }

    machine.person.to_questions = vec![("bucket", "No Such"), ("key", "k"), ("region", "r")];
    machine.ltc("target lattice.localhost --s3").await.fails(10, &["'No Such' is no bucket"]);
    assert!(machine.read(".lattice/config.json").contains("my-bucket"), "the old choice stays");
    machine.person.answers = None;
    let asked_nobody = machine.ltc("target lattice.localhost --s3").await;
    asked_nobody.fails(10, &["nobody can be asked", "ltc target lattice.localhost --s3"]);
    machine.ltc("target --s3").await.fails(13, &["DOMAIN"]);

    machine.person.answers = Some(("admin".into(), "hunter2".into()));
    machine.ltc("target lattice.localhost").await.succeeds();
    let shown = machine.ltc("target").await.succeeds();
    assert!(shown.stdout.contains("Droplet store   admin@lattice.localhost:8444\n"));
}

#[tokio::test]
async fn without_a_person_to_ask_the_flags_are_named() {
    let machine = guarded();
    let ran = machine.ltc("target lattice.localhost").await;
    ran.fails(10, &["nobody can be asked", "--username USER --password-file FILE"]);
    assert_eq!(machine.read(".lattice/config.json"), "");
}

#[tokio::test]
async fn flags_give_credentials_without_asking() {
    let mut machine = guarded();
    let file = machine.write("password", "hunter2\n");
    let flags = format!("target lattice.localhost --username admin --password-file {file}");
    machine.ltc(&flags).await.succeeds();
    machine.person.stdin = "hunter2\n".to_owned();
    machine.ltc("target lattice.localhost --password-file -").await.succeeds();
    machine.person.stdin = "\n".to_owned();
    let empty = "target lattice.localhost --password-file -";
    machine.ltc(empty).await.fails(10, &["the password file is empty"]);
    machine.ltc("target lattice.localhost --username x").await.fails(10, &["--password-file"]);
    let missing = "target lattice.localhost --password-file /no/such";
    machine.ltc(missing).await.fails(10, &["cannot read /no/such"]);
}

#[tokio::test]
async fn this_machines_administrator_is_found_but_never_told_elsewhere() {
    let machine = guarded();
    machine.write("data/admin.json", ADMIN_JSON);
    machine.ltc("target lattice.localhost").await.succeeds();
    assert!(!machine.read(".lattice/config.json").contains("hunter2"), "no copy is made");
    machine.ltc("list").await.succeeds();
    let ran = machine.ltc("target").await.succeeds();
    assert!(ran.stdout.contains(" admin@lattice.localhost\n"), "{}", ran.stdout);
    // The platform accepts the same password there: it must not have been sent.
    machine.ltc("target lattice.example.com").await.fails(10, &["wants a user and password"]);
}

#[tokio::test]
async fn the_platform_on_this_machine_needs_no_target() {
    let machine = guarded();
    machine.write("data/admin.json", ADMIN_JSON);
    machine.write("data/target", "lattice.localhost:8080\n");
    machine.ltc("list").await.succeeds();
    let ran = machine.ltc("target").await.succeeds();
    let target = "admin@lattice.localhost:8080 (the Lattice on this machine)";
    assert_eq!(ran.stdout, format!("Target          {target}\nDroplet store   none\n"));
}

#[tokio::test]
async fn a_target_without_a_login_uses_this_machines() {
    let machine = guarded();
    machine.write(".lattice/config.json", r#"{"target":"lattice.localhost"}"#);
    machine.ltc("list").await.fails(1, &["did not accept the credentials", "ltc target"]);
    machine.write("data/admin.json", ADMIN_JSON);
    machine.ltc("list").await.succeeds();
    machine.write(".lattice/config.json", r#"{"target":"lattice.example.com"}"#);
    machine.ltc("list").await.fails(1, &["did not accept the credentials"]);
}

#[tokio::test]
async fn without_a_target_the_ways_to_one_are_named() {
    let machine = Machine::new();
    for command in ["list", "target", "create web me/app", "logs web", "cells"] {
        machine.ltc(command).await.fails(1, &["ltc target lattice.localhost", "lattice up"]);
    }
    machine.ltc("version").await.succeeds();
    machine.ltc("help").await.succeeds();
}

#[tokio::test]
async fn a_target_that_does_not_answer_is_a_bad_one() {
    let machine = Machine::new();
    machine.state().is_reachable = false;
    machine.ltc("target lattice.localhost").await.fails(10, &["connection refused"]);
    machine.ltc("target http://x").await.fails(10, &["leave out http://"]);
    machine.write(".lattice/config.json", r#"{"target":"lattice.localhost"}"#);
    machine.ltc("list").await.fails(1, &["connection refused", "lattice up"]);
    machine.ltc("version").await.fails(14, &["connection refused"]);
}

#[tokio::test]
async fn versions_are_shown_and_compared() {
    let machine = Machine::targeted();
    machine.state().version = Version {
        lattice_release: "9.9".to_owned(),
        receptor: "9.9".to_owned(),
        ltc: "9.9".to_owned(),
    };
    let json = machine.ltc("vr -o json").await.succeeds().json();
    assert_eq!(json["client"], env!("CARGO_PKG_VERSION"));
    assert_eq!(json["server"]["lattice_release"], "9.9");
    let ran = machine.ltc("target lattice.localhost").await.succeeds();
    assert!(ran.stderr.contains("goes with ltc 9.9"), "{}", ran.stderr);
}

#[tokio::test]
async fn the_authority_is_shown_where_it_can_be_read() {
    let machine = Machine::new();
    machine.ltc("trust").await.fails(14, &["no authority", "where `lattice up` runs"]);
    machine.write("data/target", "lattice.localhost:8080");
    machine.write("data/authority/lattice.localhost.pem", "-----BEGIN\n");
    assert_eq!(machine.ltc("trust").await.succeeds().stdout, "-----BEGIN\n");
    let json = machine.ltc("trust --output json").await.succeeds().json();
    assert_eq!(json["domain"], "lattice.localhost");
}

#[tokio::test]
async fn help_and_completion_are_data() {
    let machine = Machine::new();
    for line in ["", "help", "--help", "help create", "create --help"] {
        let ran = machine.ltc(line).await.succeeds();
        assert!(ran.stdout.contains("Usage: ltc") && ran.stderr.is_empty(), "{line}: {ran:?}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = machine.ltc(&format!("completion {shell}")).await.succeeds();
        assert!(ran.stdout.contains("debug-logs"), "{shell}");
    }
    machine.ltc("help frobnicate").await.fails(1, &["'frobnicate'", "ltc help"]);
    machine.ltc("frobnicate").await.fails(1, &["frobnicate", "try: ltc help"]);
    machine.ltc("create web img run").await.fails(13, &["-- COMMAND", "try: ltc help create"]);
    machine.ltc("scale web many").await.fails(13, &["many"]);
    let ran = machine.ltc("--version").await.succeeds();
    assert_eq!(ran.stdout, format!("ltc {}\n", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn registry_credentials_are_kept_and_handed_over() {
    let mut machine = Machine::targeted();
    machine.person.answers = Some(("me".into(), "hunter2".into()));
    machine.ltc("registry login h.io:5000").await.succeeds();
    let kept = machine.state().registries.clone();
    assert_eq!((kept[0].registry.as_str(), kept[0].username.as_str()), ("h.io:5000", "me"));
    assert!(machine.read(".lattice/registries.json").contains("h.io:5000"));
    machine.state().login_answer = Some(ImageError::Unauthorized("bad.io".into()));
    machine.ltc("registry login bad.io").await.fails(14, &["bad.io did not accept"]);
    assert!(!machine.read(".lattice/registries.json").contains("bad.io"));
    machine.ltc("registry login https://h.io").await.fails(13, &["not a registry's host"]);
    machine.person.answers = None;
    machine.ltc("registry login h.io").await.fails(13, &["--password-file"]);
}

#[tokio::test]
async fn registries_are_listed_without_passwords_and_forgotten_everywhere() {
    let mut machine = Machine::targeted();
    let none = machine.ltc("registry list").await.succeeds();
    assert_eq!(none.stdout, "no credentials of registries\n");
    machine.person.answers = Some(("me".into(), "hunter2".into()));
    for host in ["h.io:5000", "elsewhere.io", "here.io"] {
        machine.ltc(&format!("registry login {host}")).await.succeeds();
    }
    machine.state().registries.retain(|c| c.registry != "here.io");
    machine.state().registries[1].username = "other".into();
    let listed = machine.ltc("registry list").await.succeeds();
    insta::assert_snapshot!(listed.stdout, @r#"
    REGISTRY       USER    KEPT
    elsewhere.io   me      here
    elsewhere.io   other   on the Lattice
    h.io:5000      me      here and on the Lattice
    here.io        me      here
    "#);
    let json = machine.ltc("registry ls -o json").await.succeeds();
    assert!(!json.stdout.contains("hunter2") && !listed.stdout.contains("hunter2"));
    let expected = serde_json::json!(
        {"registry": "h.io:5000", "username": "me", "here": true, "on_lattice": true});
    assert_eq!(json.json()[2], expected);

    let removed = machine.ltc("registry remove h.io:5000").await.succeeds();
    assert_eq!(
        removed.stderr,
        "forgot the credentials of h.io:5000, here and on lattice.localhost\n"
    );
    machine.ltc("registry rm here.io").await.succeeds();
    assert!(!machine.read(".lattice/registries.json").contains("h.io:5000"));
    assert_eq!(machine.state().registries.len(), 1);
    let words = ["no credentials are kept for 'h.io:5000' here, nor on lattice.localhost"];
    machine.ltc("registry remove h.io:5000").await.fails(14, &words);

    machine.write(".lattice/config.json", "{}");
    let alone = machine.ltc("registry list").await.succeeds();
    assert_eq!(alone.stderr, "no Lattice is targeted yet\n");
    assert!(alone.stdout.contains("elsewhere.io   me"), "{}", alone.stdout);
    machine.ltc("registry remove elsewhere.io").await.succeeds();
}
