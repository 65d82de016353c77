//! Which container a user name means: `diego:PROCESS_GUID/INDEX` as the original's clients say it
//! (spec D), or an instance's guid; after another `/`, one of the instance's containers or sidecars.
//! Pure.

use lattice_model::{InstanceGuid, InstanceKey, LrpKey, ProcessGuid};

/// What the original's user names begin with.
const ORIGINAL: &str = "diego:";

/// A container that someone wants to get into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Which instance.
    pub instance: WantedInstance,
    /// Which of its containers or sidecars; `None` is the main one.
    pub member: Option<String>,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WantedInstance {
    /// Whichever is the one of this index.
    Index(ProcessGuid, u32),
    /// This incarnation.
    Guid(InstanceGuid),
}

// === impl Wanted ===

impl Wanted {
    /// Reads a user name; an error says what one is.
    pub fn parse(user: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "'{user}' names no instance: diego:APP/INDEX and an instance's guid do, and \
                     then /CONTAINER"
            )
        };
        let named = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        let (instance, member) = match user.strip_prefix(ORIGINAL) {
            Some(rest) => {
                let (process, rest) = rest.split_once('/').ok_or_else(wrong)?;
                let (index, member) = split(rest);
                let process = ProcessGuid::new(process).map_err(|_| wrong())?;
                let index = index.parse().map_err(|_| wrong())?;
                (WantedInstance::Index(process, index), member)
            }
            None => {
                let (guid, member) = split(user);
                (WantedInstance::Guid(InstanceGuid::new(guid).map_err(|_| wrong())?), member)
            }
        };
        let member = member.map(|name| named(name).ok_or_else(wrong)).transpose()?;
        Ok(Self { instance, member })
    }
}

fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once('/') {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

// === impl WantedInstance ===

impl WantedInstance {
    /// True when it is this one.
    pub fn is(&self, key: &LrpKey, instance: &InstanceKey) -> bool {
        match self {
            Self::Index(process, index) => key.process_guid == *process && key.index == *index,
            Self::Guid(guid) => instance.instance_guid == *guid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_mean_instances_and_their_containers() {
        let index =
            |process: &str, index| WantedInstance::Index(ProcessGuid::new(process).unwrap(), index);
        let guid = |guid: &str| WantedInstance::Guid(InstanceGuid::new(guid).unwrap());
        for (user, expected) in [
            ("diego:web/0", Some((index("web", 0), None))),
            ("diego:web/12/db", Some((index("web", 12), Some("db")))),
            ("4711-abc", Some((guid("4711-abc"), None))),
            ("4711-abc/proxy", Some((guid("4711-abc"), Some("proxy")))),
            ("diego:web", None),
            ("diego:web/", None),
            ("diego:web/-1", None),
            ("diego:web/0/", None),
            ("diego:/0", None),
            ("diego:../0", None),
            ("", None),
            ("a b", None),
        ] {
            let found = Wanted::parse(user).ok();
            let found = found.map(|wanted| (wanted.instance, wanted.member));
            let expected = expected.map(|(instance, member)| (instance, member.map(str::to_owned)));
            assert_eq!(found, expected, "{user}");
        }
    }
}
