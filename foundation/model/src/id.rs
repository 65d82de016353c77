//! Identifiers. Each checks its charset once, at the edge, and is opaque afterwards.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest guid accepted; it becomes a file name and part of a host name's path.
pub const GUID_BYTES_MAX: usize = 200;

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing was given.
    #[error("must not be empty")]
    Empty,
    /// Longer than [`GUID_BYTES_MAX`].
    #[error("must be at most {GUID_BYTES_MAX} bytes")]
    TooLong,
    /// A character outside `[a-zA-Z0-9_-]`.
    #[error("may hold only letters, digits, `-` and `_`")]
    BadCharacter,
}

/// The charset rule for guids (Receptor API B.2): `^[a-zA-Z0-9_-]+$`.
pub fn check_guid(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > GUID_BYTES_MAX {
        return Err(IdError::TooLong);
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if text.bytes().all(allowed) { Ok(()) } else { Err(IdError::BadCharacter) }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text and makes the identifier.
            pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
                let text = text.as_ref();
                let check: fn(&str) -> Result<(), IdError> = $check;
                check(text)?;
                Ok(Self(text.into()))
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }
    };
}

fn non_empty(text: &str) -> Result<(), IdError> {
    if text.is_empty() { Err(IdError::Empty) } else { Ok(()) }
}

id!(
    /// Names a desired LRP, unique over all domains.
    ProcessGuid,
    check_guid
);
id!(
    /// Names one incarnation of one instance; a restart makes a new one.
    InstanceGuid,
    check_guid
);
id!(
    /// Names a task, unique over all domains.
    TaskGuid,
    check_guid
);
id!(
    /// Names a cell.
    CellId,
    check_guid
);
id!(
    /// Groups work whose owner vouches, by keeping it fresh, that the list is complete.
    Domain,
    non_empty
);

/// Names an app, whose revisions are desired LRPs of their own. Any text; cheap to clone, since
/// every instance on a cell carries it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct AppName(Arc<str>);

impl Deref for AppName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for AppName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for AppName {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for AppName {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<AppName> for String {
    fn from(name: AppName) -> Self {
        name.0.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_is_checked_once_at_the_edge() {
        for good in ["web", "a-b_C9", &"x".repeat(GUID_BYTES_MAX)] {
            assert!(ProcessGuid::new(good).is_ok(), "{good}");
        }
        let too_long = "x".repeat(GUID_BYTES_MAX + 1);
        for (bad, why) in [
            ("", IdError::Empty),
            ("a b", IdError::BadCharacter),
            ("../x", IdError::BadCharacter),
            ("ü", IdError::BadCharacter),
            (too_long.as_str(), IdError::TooLong),
        ] {
            assert_eq!(ProcessGuid::new(bad), Err(why), "{bad}");
        }
    }
}
