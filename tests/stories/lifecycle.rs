//! Create, look, tail, scale, move routes, remove.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::SystemTime;

use lattice_tests::appliance::Appliance;
use lattice_tests::web::{Web, url};
use lattice_tests::{PATIENCE, eventually, expect, image, machine};

#[test]
fn an_app_is_created_seen_scaled_and_removed() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);

    let created = lattice.ltc(&["create", "web", layout.to_str().unwrap(), "--instances", "2"]);
    assert_eq!(created.code, 0, "{created:?}");
    assert!(created.out.contains(&url("web")), "the URL ends the talk: {created:?}");
    for next in ["ltc logs web", "ltc scale web"] {
        assert!(created.all().contains(next), "{next} is offered: {created:?}");
    }
    answers_from(&web, "web", 2);

    let list = lattice.ltc_ok(&["list"]);
    assert!(list.contains("web") && list.contains("2/2"), "{list}");
    let status = lattice.ltc_ok(&["status", "web"]);
    assert!(status.contains("RUNNING"), "{status}");
    let cells = lattice.ltc_ok(&["cells"]);
    assert!(cells.contains("lattice-cell-0"), "{cells}");

    lattice.ltc_ok(&["scale", "web", "3"]);
    answers_from(&web, "web", 3);
    lattice.ltc_ok(&["scale", "web", "1"]);
    eventually("one instance is left", PATIENCE, || {
        let states = lattice.states(&web, "web");
        expect(states == ["RUNNING"], states)
    });

    lattice.ltc_ok(&["remove", "web"]);
    eventually("the route is gone", PATIENCE, || {
        let answer = web.get("web", "/")?;
        expect(answer.router_error.is_some(), format!("{answer:?}"))
    });
    eventually("the instances are gone", PATIENCE, || {
        let left = lattice.instances(&web, "web");
        expect(left.is_empty(), left)
    });
    let gone = lattice.ltc(&["status", "web"]);
    assert_eq!(gone.code, 14, "{gone:?}");
}

#[test]
fn what_an_app_uses_is_measured_when_somebody_asks() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);
    lattice.ltc_ok(&["create", "web", layout.to_str().unwrap(), "--memory-mb", "64"]);

    let used = || lattice.ltc_json(&["status", "web"])["instances"][0].clone();
    let amount = |used: &serde_json::Value, name: &str| used[name].as_u64().expect(name);
    let before = used();
    assert!(amount(&before, "memory_bytes") > 0, "{before}");
    assert_eq!(amount(&before, "memory_bytes_quota"), 64 << 20);
    assert!(before["cpu_entitlement_percentage"].as_f64().unwrap() > 0.0, "{before}");

    let asked_at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    assert_eq!(web.get("web", "/index").unwrap().body, "0");
    let after = used();
    assert!(
        u128::from(amount(&after, "measured_at")) > asked_at,
        "not a sample of before: {after}"
    );
    for grows in ["received_bytes", "sent_bytes", "age_ns"] {
        let (then, now) = (amount(&before, grows), amount(&after, grows));
        assert!(then > 0 && now > then, "{grows}: {then}, then {now}");
    }
    let detail = lattice.ltc_ok(&["status", "web", "-d"]);
    assert!(detail.contains("entitled to") && detail.contains("of 64M"), "{detail}");
}

#[test]
fn the_platform_shows_itself() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);
    lattice.ltc_ok(&["create", "web", layout.to_str().unwrap()]);

    let guid = lattice.instances(&web, "web")[0]["instance_guid"].clone();
    let guid = guid.as_str().unwrap();
    eventually("the platform's log tells of the container", PATIENCE, || {
        let lines = lattice.ltc_ok(&["debug-logs", "--recent", "--raw"]);
        expect(
            lines.lines().any(|line| line.contains("lattice-cell-0") && line.contains(guid)),
            lines,
        )
    });
    let cells = lattice.ltc_json(&["cells"]);
    assert_eq!(cells[0]["cell_id"], "lattice-cell-0", "{cells}");
    let spread = lattice.ltc_ok(&["visualize"]);
    assert!(spread.contains("lattice-cell-0"), "{spread}");
    let script = lattice.ltc_ok(&["completion", "bash"]);
    let file = lattice.scratch().join("completion");
    std::fs::write(&file, &script).unwrap();
    machine::run("bash", &["-n", file.to_str().unwrap()]);
    for word in ["create", "debug-logs", "visualize"] {
        assert!(script.contains(word), "{word} is completed");
    }

    assert_eq!(web.get("web", "/port").unwrap().body, "8080");
    let listed = web.get("web", "/env").unwrap().body;
    assert!(listed.contains("<dt>PROCESS_GUID</dt><dd>web</dd>"), "{listed}");
}

#[test]
fn logs_are_tailed_as_they_are_written() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let layout = image::layout(lattice.scratch(), "lattice-app", &["-message", "Ahoy"]);
    lattice.ltc_ok(&["create", "web", layout.to_str().unwrap()]);

    let mut tail = lattice.ltc_command(&["logs", "web"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(tail.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said: Vec<String> = lines.filter(|line| line.contains("Says Ahoy")).take(2).collect();
    tail.kill().unwrap();
    tail.wait().unwrap();
    assert_eq!(said.len(), 2);
    assert!(said.iter().all(|line| line.contains("APP|0")), "{said:?}");
}

#[test]
fn routes_move_without_the_app_noticing() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);
    lattice.ltc_ok(&["create", "web", layout.to_str().unwrap()]);
    let before = lattice.instances(&web, "web")[0]["instance_guid"].clone();

    lattice.ltc_ok(&["update", "web", "--http-route", "other:8080"]);
    eventually("the new name answers", PATIENCE, || {
        let answer = web.get("other", "/index")?;
        expect(answer.status == 200, format!("{answer:?}"))
    });
    eventually("the old name does not", PATIENCE, || {
        // 503 while the route is remembered for its clients, 404 afterwards.
        let answer = web.get("web", "/index")?;
        expect(answer.router_error.is_some(), format!("{answer:?}"))
    });
    assert_eq!(lattice.instances(&web, "web")[0]["instance_guid"], before);
}

#[test]
fn creating_a_name_that_exists_offers_what_to_do() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);
    let layout = layout.to_str().unwrap();
    lattice.ltc_ok(&["create", "web", layout]);
    let again = lattice.ltc(&["create", "web", layout]);
    assert_eq!(again.code, 14, "{again:?}");
    for word in ["update", "scale", "remove"] {
        assert!(again.err.contains(&format!("ltc {word} web")), "{word} is offered: {again:?}");
    }
}

#[test]
fn the_environment_is_what_the_platform_promises() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);
    let file = lattice.scratch().join("env");
    std::fs::write(&file, "# a comment\nFROM_FILE=1\n").unwrap();
    let (layout, file) = (layout.to_str().unwrap(), file.to_str().unwrap());
    lattice.ltc_ok(&["create", "web", layout, "--env", "MINE=yes", "--env-file", file]);

    let answer = web.get("web", "/env?json=1").unwrap();
    let pairs: Vec<(String, String)> = serde_json::from_str(&answer.body).unwrap();
    let of = |name: &str| pairs.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    for (name, value) in [
        ("MINE", "yes"),
        ("FROM_FILE", "1"),
        ("PROCESS_GUID", "web"),
        ("PORT", "8080"),
        ("VCAP_SERVICES", "{}"),
        ("CF_INSTANCE_INDEX", "0"),
        ("INSTANCE_INDEX", "0"),
    ] {
        assert_eq!(of(name), Some(value), "{name} in {pairs:?}");
    }
    let told = lattice.instances(&web, "web").remove(0);
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned).expect("text");
    let (address, port) = (text(&told["address"]), told["ports"][0]["host_port"].to_string());
    for (name, value) in [
        ("CF_INSTANCE_GUID", text(&told["instance_guid"])),
        ("INSTANCE_GUID", text(&told["instance_guid"])),
        ("CF_INSTANCE_IP", address.clone()),
        ("CF_INSTANCE_INTERNAL_IP", text(&told["instance_address"])),
        ("CF_INSTANCE_ADDR", format!("{address}:{port}")),
        ("CF_INSTANCE_PORTS", format!(r#"[{{"external":{port},"internal":8080}}]"#)),
        ("CF_INSTANCE_PORT", port),
    ] {
        assert_eq!(of(name), Some(value.as_str()), "{name} in {pairs:?}");
    }
    let secret = lattice.admin().password;
    assert!(!answer.body.contains(&secret), "the administrator's password is not the app's");
}

/// Waits until indices 0 to `count` - 1 have answered, and no other.
pub(crate) fn answers_from(web: &Web, app: &str, count: usize) {
    let wanted: BTreeSet<String> = (0..count).map(|index| index.to_string()).collect();
    let mut heard = BTreeSet::new();
    eventually(&format!("{count} instances of {app} answer"), PATIENCE, || {
        let answer = web.get(app, "/index")?;
        if answer.status == 200 {
            heard.insert(answer.body);
        }
        expect(heard == wanted, format!("{heard:?}"))
    });
}
