//! Holds answers against the OpenAPI document: as much of JSON schema as the document uses.

use std::sync::LazyLock;

use lattice_brain::http::openapi::DOCUMENT;
use serde_json::{Map, Value};

static PARSED: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(&DOCUMENT).unwrap());

/// Words of a schema that say nothing about validity.
const SILENT: [&str; 2] = ["description", "pattern"];

pub(crate) fn document() -> &'static Value {
    &PARSED
}

/// What is wrong with an answer; a path or method that is not served is nobody's concern.
pub(crate) fn faults_of_answer(method: &str, path: &str, status: u16, body: &str) -> Vec<String> {
    let is_served = status != 405 && body != "404 page not found\n";
    let Some(operation) = operation(method, path).filter(|_| is_served) else { return Vec::new() };
    let responses = &operation["responses"];
    let own = responses.get(status.to_string());
    let is_success = (200..300).contains(&status);
    let Some(response) = own.or_else(|| responses.get("default").filter(|_| !is_success)) else {
        return vec![format!("{method} {path} is not said to answer {status}")];
    };
    let Some(content) = response.get("content").filter(|content| has_body(content, body)) else {
        let is_silent = body.is_empty() || response.get("content").is_some();
        return if is_silent { Vec::new() } else { vec![format!("a body where none is: {body}")] };
    };
    let Some(schema) = content.pointer("/application~1json/schema") else { return Vec::new() };
    match serde_json::from_str(body) {
        Ok(value) => faults(&value, schema),
        Err(error) => vec![format!("{error}: {body}")],
    }
}

/// The original's `null` for an instance that is not there, and its empty refusals, are said in
/// words only.
fn has_body(content: &Value, body: &str) -> bool {
    let is_json = content.get("application/json").is_some();
    is_json && !body.is_empty() && body != "null"
}

/// The description of what answers there.
pub(crate) fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let path = path.split('?').next().unwrap_or_default();
    let fits = |pattern: &str| {
        let (pattern, path): (Vec<_>, Vec<_>) =
            (pattern.split('/').collect(), path.split('/').collect());
        let fits =
            |(pattern, segment): (&&str, &&str)| pattern.starts_with('{') || pattern == segment;
        pattern.len() == path.len() && pattern.iter().zip(&path).all(fits)
    };
    let paths = document()["paths"].as_object().unwrap();
    let (_, item) = paths.iter().find(|(pattern, _)| fits(pattern))?;
    item.get(method.to_ascii_lowercase())
}

/// What is wrong with a value.
pub(crate) fn faults(value: &Value, schema: &Value) -> Vec<String> {
    let rules = schema.as_object().expect("a schema is an object");
    rules.iter().flat_map(|(rule, wanted)| broken(rule, wanted, value, rules)).collect()
}

fn broken(rule: &str, wanted: &Value, value: &Value, rules: &Map<String, Value>) -> Vec<String> {
    let fault = |is_good: bool| {
        let shown: String = value.to_string().chars().take(200).collect();
        if is_good { Vec::new() } else { vec![format!("{shown} is not {rule}: {wanted}")] }
    };
    let number = |of: &Value| of.as_f64();
    match rule {
        "$ref" => {
            let name = wanted.as_str().unwrap().strip_prefix('#').unwrap();
            faults(value, document().pointer(name).expect("what is referred to is there"))
        }
        "type" => fault(is_of_type(value, wanted.as_str().unwrap())),
        "enum" => fault(wanted.as_array().unwrap().contains(value)),
        "minimum" => fault(number(value).zip(number(wanted)).is_none_or(|(n, min)| n >= min)),
        "maximum" => fault(number(value).zip(number(wanted)).is_none_or(|(n, max)| n <= max)),
        "minLength" => {
            fault(value.as_str().is_none_or(|s| s.len() as u64 >= wanted.as_u64().unwrap()))
        }
        "maxLength" => {
            fault(value.as_str().is_none_or(|s| s.len() as u64 <= wanted.as_u64().unwrap()))
        }
        "maxItems" => {
            fault(value.as_array().is_none_or(|l| l.len() as u64 <= wanted.as_u64().unwrap()))
        }
        "minItems" => {
            fault(value.as_array().is_none_or(|l| l.len() as u64 >= wanted.as_u64().unwrap()))
        }
        "items" => value.as_array().into_iter().flatten().flat_map(|v| faults(v, wanted)).collect(),
        "required" => {
            let names = wanted.as_array().unwrap().iter().filter_map(Value::as_str);
            fault(
                value
                    .as_object()
                    .is_none_or(|fields| names.clone().all(|n| fields.contains_key(n))),
            )
        }
        "properties" => {
            let known = wanted.as_object().unwrap();
            let fields = value.as_object().into_iter().flatten();
            let described = fields.filter_map(|(name, field)| Some((known.get(name)?, field)));
            described.flat_map(|(schema, field)| faults(field, schema)).collect()
        }
        "additionalProperties" => {
            let known = rules.get("properties").and_then(Value::as_object);
            let fields = value.as_object().into_iter().flatten();
            let mut others =
                fields.filter(|(name, _)| !known.is_some_and(|k| k.contains_key(*name)));
            match wanted {
                Value::Bool(false) => fault(others.next().is_none()),
                schema => others.flat_map(|(_, field)| faults(field, schema)).collect(),
            }
        }
        "anyOf" | "oneOf" => {
            let fits = |schema: &&Value| faults(value, schema).is_empty();
            let fitting = wanted.as_array().unwrap().iter().filter(fits).count();
            fault(fitting == 1 || (fitting > 1 && rule == "anyOf"))
        }
        silent => {
            assert!(
                SILENT.contains(&silent),
                "the document uses a rule that is not known here: {silent}"
            );
            Vec::new()
        }
    }
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("no type {other}"),
    }
}
