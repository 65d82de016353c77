//! Reads fields of JSON objects one by one, so that an error names the field and what was expected.

use lattice_model::{ErrorName, Refusal};
use serde_json::{Map, Value};

/// An object and where it stands in the body.
#[derive(Debug)]
pub(super) struct Object<'a> {
    map: Option<&'a Map<String, Value>>,
    path: String,
}

/// An integer type and its name on the wire.
pub(super) trait Integer: TryFrom<i128> {
    /// The original's name of the type.
    const NAME: &'static str;
}

impl Integer for u16 {
    const NAME: &'static str = "uint16";
}
impl Integer for u32 {
    const NAME: &'static str = "uint32";
}
impl Integer for u64 {
    const NAME: &'static str = "uint64";
}
impl Integer for i64 {
    const NAME: &'static str = "int";
}

// === impl Object ===

impl<'a> Object<'a> {
    /// The whole body; `null` is an object without fields.
    pub(super) fn root(value: &'a Value) -> Result<Self, Refusal> {
        Self::at(value, String::new())
    }

    /// An object further inside.
    pub(super) fn at(value: &'a Value, path: String) -> Result<Self, Refusal> {
        match value {
            Value::Null => Ok(Self { map: None, path }),
            Value::Object(map) => Ok(Self { map: Some(map), path }),
            other => Err(mismatch(other, &path, "object")),
        }
    }

    /// A field's value; `None` when it is absent or `null`.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.map?.get(name).filter(|value| !value.is_null())
    }

    /// Where a field stands in the body.
    pub(super) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Text; empty when absent.
    pub(super) fn string(&self, name: &str) -> Result<String, Refusal> {
        match self.get(name) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Err(mismatch(other, &self.path_of(name), "string")),
        }
    }

    /// A truth value; false when absent.
    pub(super) fn bool(&self, name: &str) -> Result<bool, Refusal> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(truth)) => Ok(*truth),
            Some(other) => Err(mismatch(other, &self.path_of(name), "bool")),
        }
    }

    /// A whole number, where there is one.
    pub(super) fn integer<T: Integer>(&self, name: &str) -> Result<Option<T>, Refusal> {
        self.get(name).map(|value| integer(value, &self.path_of(name))).transpose()
    }

    /// A list's elements; `None` when absent.
    pub(super) fn list(&self, name: &str) -> Result<Option<&'a [Value]>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Array(elements)) => Ok(Some(elements)),
            Some(other) => Err(mismatch(other, &self.path_of(name), "array")),
        }
    }

    /// A list of whole numbers; empty when absent.
    pub(super) fn integers<T: Integer>(&self, name: &str) -> Result<Vec<T>, Refusal> {
        let elements = self.list(name)?.unwrap_or_default().iter().enumerate();
        elements.map(|(i, v)| integer(v, &format!("{}[{i}]", self.path_of(name)))).collect()
    }

    /// A list of texts; empty when absent. A `null` element is empty text.
    pub(super) fn strings(&self, name: &str) -> Result<Vec<String>, Refusal> {
        let elements = self.list(name)?.unwrap_or_default().iter().enumerate();
        let text = |(i, value): (usize, &Value)| match value {
            Value::Null => Ok(String::new()),
            Value::String(text) => Ok(text.clone()),
            other => Err(mismatch(other, &format!("{}[{i}]", self.path_of(name)), "string")),
        };
        elements.map(text).collect()
    }

    /// A list of objects; empty when absent.
    pub(super) fn objects(&self, name: &str) -> Result<Vec<Self>, Refusal> {
        let elements = self.list(name)?.unwrap_or_default().iter().enumerate();
        elements.map(|(i, v)| Self::at(v, format!("{}[{i}]", self.path_of(name)))).collect()
    }

    /// An object, where there is one.
    pub(super) fn object(&self, name: &str) -> Result<Option<Self>, Refusal> {
        self.get(name).map(|value| Self::at(value, self.path_of(name))).transpose()
    }

    /// All of it, without what is `null`.
    pub(super) fn to_value(&self) -> Value {
        let fields = self.map.into_iter().flatten().filter(|(_, value)| !value.is_null());
        Value::Object(fields.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// The names of the fields that are not `null`.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        let fields = self.map.into_iter().flatten();
        fields.filter(|(_, value)| !value.is_null()).map(|(name, _)| name.as_str())
    }
}

/// Says that a value has not the type its field wants.
pub(super) fn mismatch(found: &Value, path: &str, wanted: &str) -> Refusal {
    let found = match found {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(n) => format!("number {n}"),
        Value::String(_) => "string".to_owned(),
        Value::Array(_) => "array".to_owned(),
        Value::Object(_) => "object".to_owned(),
    };
    let whole = if path.is_empty() { "the body" } else { path };
    let field = if path.is_empty() { String::new() } else { "field ".to_owned() };
    let message = format!("json: cannot unmarshal {found} into {field}{whole} of type {wanted}");
    Refusal::new(ErrorName::InvalidJSON, message)
}

fn integer<T: Integer>(value: &Value, path: &str) -> Result<T, Refusal> {
    let number = match value {
        Value::Number(n) => n.as_i64().map(i128::from).or_else(|| n.as_u64().map(i128::from)),
        _ => None,
    };
    number.and_then(|n| T::try_from(n).ok()).ok_or_else(|| mismatch(value, path, T::NAME))
}
