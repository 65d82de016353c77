//! Who runs a process: `user[:group]` looked up in the image's own files, never in the host's.

use std::path::Path;

use super::ImageError;
use super::rootfs::read_in;
use crate::runtime::UserIds;

const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A user of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUser {
    /// As the kernel knows it.
    pub ids: UserIds,
    /// The name; the number in digits where the image has no name for it.
    pub name: String,
    /// The home directory; `/` where the image names none.
    pub home: String,
}

struct Passwd<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// Looks a user up in the root filesystem at `root`; empty is root. A number needs no entry, a name
/// does. Blocks: it reads files.
pub fn resolve(root: &Path, user: &str) -> Result<ImageUser, ImageError> {
    let read = |path: &str| -> Result<String, ImageError> {
        match read_in(root, path, FILE_BYTES_MAX) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(ImageError::NotFound { .. }) => Ok(String::new()),
            Err(other) => Err(other),
        }
    };
    find(user, &read("/etc/passwd")?, &read("/etc/group")?).map_err(ImageError::Unsupported)
}

/// The rule of Docker and runc: with a group given there are no other groups; without, all groups
/// that list the user.
fn find(user: &str, passwd: &str, group: &str) -> Result<ImageUser, String> {
    let (user, wanted_group) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|g| !g.is_empty())),
        None => (user, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let users: Vec<Passwd<'_>> = passwd.lines().filter_map(Passwd::parse).collect();
    let groups: Vec<Group<'_>> = group.lines().filter_map(Group::parse).collect();
    // Root is 0 in every image, also where no file says so.
    let number = user.parse::<u32>().ok().or_else(|| (user == "root").then_some(0));
    let by_name = users.iter().find(|u| u.name == user);
    let entry = by_name.or_else(|| users.iter().find(|u| Some(u.uid) == number));
    let uid = match (entry, number) {
        (Some(entry), _) => entry.uid,
        (None, Some(number)) => number,
        (None, None) => {
            return Err(unknown("user", user, "/etc/passwd", users.iter().map(|u| u.name)));
        }
    };
    let name = entry.map_or(user, |e| e.name);
    let mut ids = UserIds { uid, gid: entry.map_or(0, |e| e.gid), additional_gids: Vec::new() };
    match wanted_group {
        Some(wanted) => ids.gid = gid_of(wanted, &groups)?,
        None => {
            let mine = groups.iter().filter(|g| g.members.split(',').any(|m| m.trim() == name));
            ids.additional_gids = mine.map(|g| g.gid).collect();
            ids.additional_gids.sort_unstable();
            ids.additional_gids.dedup();
        }
    }
    let home = entry.map_or("/", |e| if e.home.is_empty() { "/" } else { e.home });
    Ok(ImageUser { ids, name: name.to_owned(), home: home.to_owned() })
}

fn gid_of(wanted: &str, groups: &[Group<'_>]) -> Result<u32, String> {
    match groups.iter().find(|g| g.name == wanted) {
        Some(group) => Ok(group.gid),
        None => wanted
            .parse()
            .map_err(|_| unknown("group", wanted, "/etc/group", groups.iter().map(|g| g.name))),
    }
}

fn unknown<'a>(kind: &str, name: &str, file: &str, known: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 20;
    let known: Vec<&str> = known.take(SHOWN).collect();
    let has = match known.is_empty() {
        true => format!("the image has no {file}, or it is empty"),
        false => format!("its {file} has {}", known.join(", ")),
    };
    format!("the image has no {kind} '{name}': {has}; give a number, or a name it has")
}

// === impl Passwd ===

impl<'a> Passwd<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.trim().split(':');
        let (name, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let home = fields.nth(1).unwrap_or("");
        Some(Self { name, uid: uid.parse().ok()?, gid: gid.parse().ok()?, home })
    }
}

// === impl Group ===

impl<'a> Group<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.trim().split(':');
        let (name, _, gid) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Self { name, gid: gid.parse().ok()?, members: fields.next().unwrap_or("") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
                          # a comment\n\
                          app:x:1000:1001:App:/home/app:/bin/sh\n\
                          bare:x:7:8\n\
                          broken:x:many:0::/:\n\
                          12:x:99:99::/twelve:\n";
    const GROUP: &str = "root:x:0:\napp:x:1001:\naudio:x:29:app,other\nvideo:x:44:other, app\n\
                         staff:x:50:\nbroken\n";

    #[test]
    fn users_are_found_as_docker_finds_them() {
        let check = |user: &str, ids: (u32, u32, &[u32]), name: &str, home: &str| {
            let (uid, gid, additional) = ids;
            let expected = ImageUser {
                ids: UserIds { uid, gid, additional_gids: additional.to_vec() },
                name: name.to_owned(),
                home: home.to_owned(),
            };
            assert_eq!(find(user, PASSWD, GROUP), Ok(expected), "{user}");
        };
        check("", (0, 0, &[]), "root", "/root");
        check("root", (0, 0, &[]), "root", "/root");
        check("app", (1000, 1001, &[29, 44]), "app", "/home/app");
        check("1000", (1000, 1001, &[29, 44]), "app", "/home/app");
        check("app:staff", (1000, 50, &[]), "app", "/home/app");
        check("app:77", (1000, 77, &[]), "app", "/home/app");
        check("4242", (4242, 0, &[]), "4242", "/");
        check("4242:audio", (4242, 29, &[]), "4242", "/");
        check("bare", (7, 8, &[]), "bare", "/");
        check("12", (99, 99, &[]), "12", "/twelve");
        check("app:", (1000, 1001, &[29, 44]), "app", "/home/app");
        check(":staff", (0, 50, &[]), "root", "/root");
    }

    #[test]
    fn an_unknown_name_is_an_error_that_says_which_are_known() {
        let why = find("nobody", PASSWD, GROUP).unwrap_err();
        assert!(why.contains("no user 'nobody'") && why.contains("root, app, bare"), "{why}");
        let why = find("app:nogroup", PASSWD, GROUP).unwrap_err();
        assert!(why.contains("no group 'nogroup'") && why.contains("audio"), "{why}");
        let why = find("app", "", "").unwrap_err();
        assert!(why.contains("no /etc/passwd"), "{why}");
        assert!(find("-1", PASSWD, GROUP).is_err(), "a negative number is no user");
        assert!(find("4294967296", PASSWD, GROUP).is_err(), "nor one beyond 32 bits");
    }

    #[test]
    fn links_in_the_image_do_not_lead_to_the_files_of_the_host() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("etc/passwd")).unwrap();
        std::os::unix::fs::symlink("../../../../etc/group", root.path().join("etc/group")).unwrap();
        assert!(resolve(root.path(), "daemon").is_err(), "daemon is a user of the host only");
        assert_eq!(resolve(root.path(), "5").unwrap().ids.uid, 5);
    }
}
