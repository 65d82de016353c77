use proptest::prelude::*;

use super::*;

fn path(text: &str) -> InnerPath {
    InnerPath::parse(text.as_bytes()).unwrap()
}

#[test]
fn names_of_a_layer_mean_what_the_format_says() {
    let check = |kind, name: &str, link: Option<&str>, expected: Step| {
        let got = step(Dialect::Layer, kind, name.as_bytes(), link.map(str::as_bytes));
        assert_eq!(got, Ok(expected), "{name}");
    };
    check(Kind::Directory, "./", None, Step::Directory(InnerPath::default()));
    check(Kind::Directory, "/", None, Step::Directory(InnerPath::default()));
    check(Kind::Directory, "./usr//bin/", None, Step::Directory(path("usr/bin")));
    check(Kind::File, "/etc/passwd", None, Step::File(path("etc/passwd")));
    check(Kind::Symlink, "a", Some("../../x"), Step::Symlink(path("a"), b"../../x".to_vec()));
    check(Kind::Hardlink, "a", Some("./b/c"), Step::Hardlink(path("a"), path("b/c")));
    check(Kind::File, "d/.wh.gone", None, Step::Whiteout(path("d/gone")));
    check(Kind::File, ".wh.gone", None, Step::Whiteout(path("gone")));
    check(Kind::File, "d/.wh..wh..opq", None, Step::Opaque(path("d")));
    check(Kind::File, ".wh..wh..opq", None, Step::Opaque(InnerPath::default()));
    check(Kind::File, ".wh..wh.plnk", None, Step::Skip);
    check(Kind::CharDevice(0, 0), "gone", None, Step::Whiteout(path("gone")));
    check(Kind::Fifo, "pipe", None, Step::Fifo(path("pipe")));
}

#[test]
fn in_a_plain_archive_a_whiteout_is_a_file() {
    let got = step(Dialect::Archive, Kind::File, b".wh.x", None);
    assert_eq!(got, Ok(Step::File(path(".wh.x"))));
    assert!(step(Dialect::Archive, Kind::CharDevice(0, 0), b"x", None).is_err());
}

#[test]
fn what_is_refused_is_named() {
    let long_name = "n".repeat(256);
    let long_path = "p/".repeat(2100);
    let deep = "d/".repeat(201);
    for (kind, name, link, expected) in [
        (Kind::File, "../x", None, "climbs out"),
        (Kind::File, "a/../../x", None, "climbs out"),
        (Kind::Directory, "..", None, "climbs out"),
        (Kind::File, "/../x", None, "climbs out"),
        (Kind::File, "/", None, "only be a directory"),
        (Kind::File, "a\0b", None, "zero byte"),
        (Kind::File, &long_name, None, "longer than 255"),
        (Kind::File, &long_path, None, "longer than 4095"),
        (Kind::File, &deep, None, "deeper than 200"),
        (Kind::File, ".wh.", None, "nothing sensible"),
        (Kind::File, "d/.wh...", None, "nothing sensible"),
        (Kind::File, "d/.wh..", None, "nothing sensible"),
        (Kind::Hardlink, "a", Some("../x"), "climbs out"),
        (Kind::Hardlink, "a", None, "leads nowhere"),
        (Kind::Symlink, "a", Some(""), "leads nowhere"),
        (Kind::CharDevice(1, 3), "dev/null", None, "is a device"),
        (Kind::BlockDevice, "sda", None, "is a device"),
        (Kind::Other(b'S'), "sparse", None, "unknown kind"),
    ] {
        let got = step(Dialect::Layer, kind, name.as_bytes(), link.map(str::as_bytes));
        let why = got.expect_err(name);
        assert!(why.contains(expected), "{name}: {why}");
        assert!(why.len() < 400, "the words stay short whatever the name: {}", why.len());
    }
}

#[test]
fn only_capabilities_and_user_attributes_are_kept() {
    for (name, expected) in [
        ("security.capability", Ok(true)),
        ("user.mime_type", Ok(true)),
        ("security.selinux", Ok(false)),
        ("system.posix_acl_access", Ok(false)),
    ] {
        assert_eq!(keeps_attribute(name.as_bytes()), expected, "{name}");
    }
    assert!(keeps_attribute(b"trusted.overlay.opaque").is_err());
    assert!(keeps_attribute(b"trusted.overlay.redirect").is_err());
}

#[test]
fn parents_come_from_the_outside_in() {
    let names: Vec<String> = path("a/b/c").with_parents().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["/a", "/a/b", "/a/b/c"]);
    assert!(InnerPath::default().with_parents().is_empty());
}

proptest! {
    #[test]
    fn no_name_leads_out_of_the_root(name in "[a.wh/\\x00]{0,40}", link in "[a./]{0,20}") {
        for kind in [Kind::File, Kind::Directory, Kind::Hardlink, Kind::Symlink, Kind::Fifo] {
            for dialect in [Dialect::Layer, Dialect::Archive] {
                let got = step(dialect, kind, name.as_bytes(), Some(link.as_bytes()));
                let paths = match got {
                    Err(_) | Ok(Step::Skip) => vec![],
                    Ok(Step::Hardlink(a, b)) => vec![a, b],
                    Ok(
                        Step::Directory(p) | Step::File(p) | Step::Symlink(p, _) | Step::Fifo(p)
                        | Step::Whiteout(p) | Step::Opaque(p),
                    ) => vec![p],
                };
                for path in paths {
                    if path.is_root() { continue; }
                    for part in path.as_bytes().split(|b| *b == b'/') {
                        prop_assert!(!part.is_empty() && part != b"." && part != b"..");
                        prop_assert!(!part.contains(&0));
                    }
                }
            }
        }
    }

    #[test]
    fn reading_a_name_twice_changes_nothing(name in "[ab./]{0,30}") {
        if let Ok(once) = InnerPath::parse(name.as_bytes()) {
            prop_assert_eq!(InnerPath::parse(once.as_bytes()), Ok(once));
        }
    }
}
