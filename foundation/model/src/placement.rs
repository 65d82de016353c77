//! What work asks of the cells it may run on, beyond rootfs, volume drivers and tags: a strategy,
//! constraints that must hold, and affinities that should.

use std::fmt;
use std::str::FromStr;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::id::check_guid;

/// The most constraints, and the most affinities, of one LRP or task.
pub const RULES_MAX: usize = 16;
/// The longest label and the longest value or pattern, in bytes.
pub const TEXT_BYTES_MAX: usize = 256;
/// The weight of an affinity that names none.
pub const WEIGHT_DEFAULT: u8 = 50;
/// The largest weight.
pub const WEIGHT_MAX: u8 = 100;
/// What a compiled pattern may take, in bytes.
const PATTERN_BYTES_MAX: usize = 64 * 1024;

/// How the cells that suit are weighed against each other. Zones, and cells without the app, come
/// first under each of them.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// The emptiest cell, and one on which little is starting.
    #[default]
    Spread,
    /// The fullest cell.
    Binpack,
    /// Any cell, by seeded dice.
    Random,
}

/// What one LRP or task asks of its cells. The default asks nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Placement {
    /// Its own strategy; `None` is the cluster's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// A cell that breaks one is not taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<Rule>,
    /// A cell that follows one is preferred.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub affinities: Vec<Affinity>,
}

/// Something that holds of a cell or does not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "RuleFields", try_from = "RuleFields")]
pub enum Rule {
    /// About a label of the cell.
    Label(LabelRule),
    /// About another app on the cell.
    App(AppRule),
}

/// A label of a cell against a value or pattern.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelRule {
    /// The label's name.
    pub label: String,
    /// How they are compared.
    pub operator: Operator,
    /// The value or pattern.
    pub value: String,
}

/// How a label is compared. A cell without the label passes [`Operator::IsNot`] only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Operator {
    /// The same text.
    #[serde(rename = "==")]
    Is,
    /// Another text, or none.
    #[serde(rename = "!=")]
    IsNot,
    /// The whole text, where `*` is any text and `?` any one character.
    #[serde(rename = "glob")]
    Glob,
    /// A regular expression that matches somewhere.
    #[serde(rename = "regex")]
    Regex,
}

/// Where instances of another app are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppRule {
    /// The other app.
    pub app: String,
    /// On the same cell or on others.
    pub relation: Relation,
}

/// How an app stands to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// Only on cells that hold it.
    With,
    /// Only on cells that do not.
    Apart,
}

/// A rule that should hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "RuleFields", try_from = "RuleFields")]
pub struct Affinity {
    /// The rule.
    pub rule: Rule,
    /// How much it counts, 1 to [`WEIGHT_MAX`]: each ten outweigh a whole empty cell, or four
    /// starting instances.
    pub weight: u8,
}

/// A label rule, ready to be asked of many cells.
#[derive(Debug, Clone)]
pub enum LabelTest {
    /// Equal.
    Is(String),
    /// Not equal, or absent.
    IsNot(String),
    /// Matched.
    Matches(Box<Regex>),
}

/// A rule on the wire.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RuleFields {
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operator: Option<Operator>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    relation: Option<Relation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<u8>,
}

/// What is wrong with a placement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlacementFault {
    /// A list is too long.
    #[error("{count} {what} are more than {RULES_MAX}")]
    TooMany {
        /// Which list.
        what: &'static str,
        /// Its length.
        count: usize,
    },
    /// A rule cannot be read or used.
    #[error("rule '{rule}': {why}")]
    BadRule {
        /// The rule as text.
        rule: String,
        /// Why not.
        why: String,
    },
}

// === impl Placement ===

impl Placement {
    /// True when it asks nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Checks bounds and patterns, so that no bad one reaches the auction.
    pub fn check(&self) -> Result<(), PlacementFault> {
        let (constraints, affinities) = (&self.constraints, &self.affinities);
        for (what, count) in [("constraints", constraints.len()), ("affinities", affinities.len())]
        {
            if count > RULES_MAX {
                return Err(PlacementFault::TooMany { what, count });
            }
        }
        for affinity in affinities {
            if !(1..=WEIGHT_MAX).contains(&affinity.weight) {
                let why = format!("weight {} is not within 1 to {WEIGHT_MAX}", affinity.weight);
                return Err(affinity.rule.fault(why));
            }
        }
        constraints.iter().chain(affinities.iter().map(|affinity| &affinity.rule)).try_for_each(
            |rule| match rule {
                Rule::Label(label) => label.check().map_err(|why| rule.fault(why)),
                Rule::App(app) => {
                    check_guid(&app.app).map_err(|e| rule.fault(format!("the app {e}")))
                }
            },
        )
    }
}

// === impl Rule ===

impl Rule {
    fn fault(&self, why: String) -> PlacementFault {
        PlacementFault::BadRule { rule: self.to_string(), why }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(LabelRule { label, operator, value }) => match operator {
                Operator::Is | Operator::IsNot => write!(f, "{label}{}{value}", operator.name()),
                Operator::Glob | Operator::Regex => {
                    write!(f, "{label} {} {value}", operator.name())
                }
            },
            Self::App(AppRule { app, relation }) => write!(f, "{} {app}", relation.name()),
        }
    }
}

impl FromStr for Rule {
    type Err = String;

    /// Reads `LABEL==VALUE`, `LABEL!=VALUE`, `LABEL glob PATTERN`, `LABEL regex PATTERN`,
    /// `with APP` and `apart APP`.
    fn from_str(text: &str) -> Result<Self, String> {
        let label = |(label, value): (&str, &str), operator| {
            let (label, value) = (label.trim().to_owned(), value.trim().to_owned());
            Self::Label(LabelRule { label, operator, value })
        };
        for relation in [Relation::With, Relation::Apart] {
            if let Some((word, app)) = text.trim().split_once(' ')
                && word == relation.name()
            {
                return Ok(Self::App(AppRule { app: app.trim().to_owned(), relation }));
            }
        }
        let operators = [
            (" glob ", Operator::Glob),
            (" regex ", Operator::Regex),
            ("==", Operator::Is),
            ("!=", Operator::IsNot),
        ];
        let parts = operators.map(|(mark, operator)| {
            text.split_once(mark).map(|parts| (parts.0.len(), label(parts, operator)))
        });
        // The first operator counts: what follows belongs to the value.
        let first = parts.into_iter().flatten().min_by_key(|(position, _)| *position);
        first.map(|(_, rule)| rule).ok_or_else(|| {
            format!(
                "'{text}' is no rule: write LABEL==VALUE, LABEL!=VALUE, 'LABEL glob PATTERN', \
                 'LABEL regex PATTERN', 'with APP' or 'apart APP'"
            )
        })
    }
}

impl From<Rule> for RuleFields {
    fn from(rule: Rule) -> Self {
        match rule {
            Rule::Label(LabelRule { label, operator, value }) => Self {
                label: Some(label),
                operator: Some(operator),
                value: Some(value),
                ..Self::default()
            },
            Rule::App(AppRule { app, relation }) => {
                Self { app: Some(app), relation: Some(relation), ..Self::default() }
            }
        }
    }
}

impl TryFrom<RuleFields> for Rule {
    type Error = String;

    fn try_from(fields: RuleFields) -> Result<Self, String> {
        if fields.weight.is_some() {
            return Err("a constraint has no weight: it must hold".to_owned());
        }
        Affinity::try_from(fields).map(|affinity| affinity.rule)
    }
}

// === impl Affinity ===

impl From<Affinity> for RuleFields {
    fn from(affinity: Affinity) -> Self {
        Self { weight: Some(affinity.weight), ..affinity.rule.into() }
    }
}

impl TryFrom<RuleFields> for Affinity {
    type Error = String;

    fn try_from(fields: RuleFields) -> Result<Self, String> {
        let weight = fields.weight.unwrap_or(WEIGHT_DEFAULT);
        let rule = match fields {
            RuleFields {
                label: Some(label),
                operator: Some(operator),
                value: Some(value),
                app: None,
                relation: None,
                ..
            } => Rule::Label(LabelRule { label, operator, value }),
            RuleFields {
                label: None,
                operator: None,
                value: None,
                app: Some(app),
                relation: Some(relation),
                ..
            } => Rule::App(AppRule { app, relation }),
            _ => return Err("a rule has label, operator and value, or app and relation".to_owned()),
        };
        Ok(Self { rule, weight })
    }
}

impl FromStr for Affinity {
    type Err = String;

    /// Reads a rule, with its weight before it where that is another than the default
    /// (`80:disk==ssd`).
    fn from_str(text: &str) -> Result<Self, String> {
        let weighed = text
            .split_once(':')
            .and_then(|(weight, rule)| weight.trim().parse().ok().map(|weight: u8| (weight, rule)));
        let (weight, rule) = weighed.unwrap_or((WEIGHT_DEFAULT, text));
        Ok(Self { rule: rule.parse()?, weight })
    }
}

// === impl LabelRule ===

impl LabelRule {
    /// Makes it ready; the error says what is wrong with the pattern.
    pub fn compile(&self) -> Result<LabelTest, String> {
        let value = self.value.clone();
        match self.operator {
            Operator::Is => Ok(LabelTest::Is(value)),
            Operator::IsNot => Ok(LabelTest::IsNot(value)),
            Operator::Glob => pattern(&glob(&value)),
            Operator::Regex => pattern(&value),
        }
    }

    fn check(&self) -> Result<(), String> {
        check_label(&self.label, &self.value)?;
        self.compile().map(drop)
    }
}

/// Reads what an operator says of a cell, `LABEL=VALUE`: its name among labels, and its value.
pub fn parse_label(text: &str) -> Result<(String, String), String> {
    let Some((label, value)) = text.split_once('=') else {
        return Err(format!("'{text}' is no label: write LABEL=VALUE, such as disk=ssd"));
    };
    check_label(label, value).map_err(|why| format!("'{text}': {why}"))?;
    Ok((label.to_owned(), value.to_owned()))
}

fn check_label(label: &str, value: &str) -> Result<(), String> {
    let is_label_byte = |b: u8| b.is_ascii_alphanumeric() || b"-_./".contains(&b);
    if label.is_empty() || !label.bytes().all(is_label_byte) {
        return Err("a label is letters, digits and - _ . /".to_owned());
    }
    for text in [label, value] {
        let bytes = text.len();
        if bytes > TEXT_BYTES_MAX {
            return Err(format!("{bytes} bytes are more than {TEXT_BYTES_MAX}"));
        }
    }
    Ok(())
}

// === impl LabelTest ===

impl LabelTest {
    /// Does a cell with this value of the label pass?
    pub fn passes(&self, found: Option<&str>) -> bool {
        match self {
            Self::Is(wanted) => found == Some(wanted.as_str()),
            Self::IsNot(unwanted) => found != Some(unwanted.as_str()),
            Self::Matches(pattern) => found.is_some_and(|text| pattern.is_match(text)),
        }
    }
}

// === impl Operator, Relation, Strategy ===

impl Operator {
    const fn name(self) -> &'static str {
        match self {
            Self::Is => "==",
            Self::IsNot => "!=",
            Self::Glob => "glob",
            Self::Regex => "regex",
        }
    }
}

impl Relation {
    const fn name(self) -> &'static str {
        match self {
            Self::With => "with",
            Self::Apart => "apart",
        }
    }
}

impl Strategy {
    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spread => "spread",
            Self::Binpack => "binpack",
            Self::Random => "random",
        }
    }
}

impl FromStr for Strategy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Spread, Self::Binpack, Self::Random];
        let found = all.into_iter().find(|strategy| strategy.name() == text);
        found.ok_or_else(|| format!("'{text}' is no strategy: spread, binpack or random"))
    }
}

fn pattern(text: &str) -> Result<LabelTest, String> {
    let compiled = RegexBuilder::new(text)
        .size_limit(PATTERN_BYTES_MAX)
        .dfa_size_limit(PATTERN_BYTES_MAX)
        .build();
    let compiled = compiled.map_err(|e| match e {
        regex::Error::CompiledTooBig(_) => "the pattern is too large once compiled".to_owned(),
        // The last line says what is wrong; those before it draw where.
        other => other.to_string().lines().last().unwrap_or_default().trim().to_owned(),
    })?;
    Ok(LabelTest::Matches(Box::new(compiled)))
}

/// The same as a regular expression.
fn glob(text: &str) -> String {
    let parts = text.chars().map(|c| match c {
        '*' => ".*".to_owned(),
        '?' => ".".to_owned(),
        other => regex::escape(other.encode_utf8(&mut [0; 4])),
    });
    format!("(?s)^{}$", parts.collect::<String>())
}

#[cfg(test)]
mod tests;
