//! Maps of strings in one piece of memory each. Cells and endpoints are held and compared by what is
//! said of them, many thousands of them at once: ordinary maps would lie all over memory.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What is said of a thing: name to value.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Labels(Packed);

/// Which root filesystems a cell can make, scheme to what it accepts: `docker: []` means every
/// image, a list means just those names.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct RootfsProviders(Packed);

/// Strings one behind the other, each as `LENGTH:BYTES` (a netstring), so that equal lists are
/// equal texts, whatever is in them.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct Packed(Box<str>);

// === impl Labels ===

impl Labels {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.0.0.is_empty()
    }

    /// The value of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find_map(|(known, value)| (known == name).then_some(value))
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.pairs()
    }
}

/// Of two values for one name the last counts.
impl FromIterator<(String, String)> for Labels {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(labels: I) -> Self {
        let labels: BTreeMap<String, String> = labels.into_iter().collect();
        Self(labels.iter().flat_map(|(name, value)| [name.as_str(), value]).collect())
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(BTreeMap::<String, String>::deserialize(deserializer)?.into_iter().collect())
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

// === impl RootfsProviders ===

impl RootfsProviders {
    /// The names that a scheme accepts, none where it accepts every one; `None` for a scheme that
    /// is not there.
    pub fn get(&self, scheme: &str) -> Option<impl Iterator<Item = &str>> {
        self.0.pairs().find_map(|(known, names)| (known == scheme).then(|| strings(names)))
    }

    /// All of it as one text, which equal ones have alike.
    pub fn as_text(&self) -> &str {
        &self.0.0
    }

    /// Schemes and the names they accept, by scheme.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        self.0.pairs().map(|(scheme, names)| (scheme, strings(names).collect()))
    }
}

/// Of two lists for one scheme the last counts.
impl FromIterator<(String, Vec<String>)> for RootfsProviders {
    fn from_iter<I: IntoIterator<Item = (String, Vec<String>)>>(providers: I) -> Self {
        let providers: BTreeMap<String, Vec<String>> = providers.into_iter().collect();
        let packed = |(scheme, names): (String, Vec<String>)| {
            let names: Packed = names.iter().map(String::as_str).collect();
            [scheme, names.0.into()]
        };
        let all: Vec<String> = providers.into_iter().flat_map(packed).collect();
        Self(all.iter().map(String::as_str).collect())
    }
}

impl Serialize for RootfsProviders {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for RootfsProviders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(BTreeMap::<String, Vec<String>>::deserialize(deserializer)?.into_iter().collect())
    }
}

impl fmt::Debug for RootfsProviders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

// === impl Packed ===

impl Packed {
    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut strings = strings(&self.0);
        std::iter::from_fn(move || Some((strings.next()?, strings.next()?)))
    }
}

impl<'a> FromIterator<&'a str> for Packed {
    fn from_iter<I: IntoIterator<Item = &'a str>>(strings: I) -> Self {
        let mut text = String::new();
        for string in strings {
            text.push_str(&string.len().to_string());
            text.push(':');
            text.push_str(string);
        }
        Self(text.into())
    }
}

/// The strings in a packed text.
fn strings(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (length, rest) = text.split_once(':')?;
        let (string, rest) = rest.split_at_checked(length.parse().ok()?)?;
        text = rest;
        Some(string)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn labels_are_a_map_whatever_is_in_them(
            map in prop::collection::btree_map("[0-9:a\0ä]{0,6}", ".{0,12}", 0..5),
            other in "[0-9:a\0ä]{0,6}",
        ) {
            let labels: Labels = map.clone().into_iter().collect();
            prop_assert!(labels.iter().eq(map.iter().map(|(k, v)| (k.as_str(), v.as_str()))));
            prop_assert_eq!(labels.is_empty(), map.is_empty());
            for name in map.keys().chain([&other]) {
                prop_assert_eq!(labels.get(name), map.get(name).map(String::as_str));
            }
            let text = serde_json::to_string(&labels).unwrap();
            prop_assert_eq!(&text, &serde_json::to_string(&map).unwrap());
            prop_assert_eq!(serde_json::from_str::<Labels>(&text).unwrap(), labels);
        }

        #[test]
        fn providers_are_a_map_of_lists_whatever_is_in_them(
            map in prop::collection::btree_map(
                "[0-9:a]{0,6}", prop::collection::vec("[0-9:a]{0,6}", 0..4), 0..4,
            ),
            other in "[0-9:a]{0,6}",
        ) {
            let providers: RootfsProviders = map.clone().into_iter().collect();
            for scheme in map.keys().chain([&other]) {
                let names = providers.get(scheme).map(|names| names.map(str::to_owned).collect());
                prop_assert_eq!(names.as_ref(), map.get(scheme));
            }
            let text = serde_json::to_string(&providers).unwrap();
            prop_assert_eq!(&text, &serde_json::to_string(&map).unwrap());
            prop_assert_eq!(serde_json::from_str::<RootfsProviders>(&text).unwrap(), providers);
        }
    }

    #[test]
    fn the_last_of_two_values_for_one_name_counts() {
        let labels = [("disk", "hdd"), ("disk", "ssd")];
        let labels: Labels =
            labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        assert_eq!(labels.get("disk"), Some("ssd"));
        assert_eq!(format!("{labels:?}"), r#"{"disk": "ssd"}"#);
    }
}
