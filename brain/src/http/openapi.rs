//! The OpenAPI document of the Receptor API, made of the table of [`endpoints`] and of
//! [`schemas`]; checked in as `docs/openapi.json`.

mod schemas;

use std::sync::LazyLock;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use lattice_daemon::gate::Authorized;
use serde_json::{Map, Value, json};

use super::endpoints::{self, Content, Endpoint};

/// The document as it is served and checked in.
pub static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let text = serde_json::to_string_pretty(&document()).expect("a value has text keys");
    format!("{text}\n")
});

pub(super) async fn show(_: Authorized) -> Response {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    ([kind], DOCUMENT.as_str()).into_response()
}

fn document() -> Value {
    let mut paths = Map::new();
    for endpoint in endpoints::all() {
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        path[endpoint.method] = operation(&endpoint);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Lattice Receptor API",
            "version": "v1",
            "description": "What `ltc` and other tools say to the brain. Unknown fields of a body \
                            are ignored, and `null` counts as absent.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas::all(),
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "receptor_authorization"},
            },
        },
        "security": [{"basic": []}, {"cookie": []}],
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let mut operation = json!({
        "operationId": endpoint.id,
        "summary": endpoint.summary,
        "responses": responses(endpoint),
    });
    let parameters = parameters(endpoint);
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(schema) = endpoint.takes {
        let content = json!({"application/json": {"schema": reference(schema)}});
        operation["requestBody"] = json!({"required": true, "content": content});
    }
    operation
}

fn parameters(endpoint: &Endpoint) -> Vec<Value> {
    let of_path = endpoint.path.split('/').filter_map(|s| s.strip_prefix('{')?.strip_suffix('}'));
    let of_path = of_path.map(
        |name| json!({"in": "path", "name": name, "required": true, "schema": {"type": "string"}}),
    );
    let others = endpoint.parameters.iter().map(|(place, name, what)| {
        let schema = json!({"type": "string"});
        json!({"in": place, "name": name, "description": what, "schema": schema})
    });
    of_path.chain(others).collect()
}

fn responses(endpoint: &Endpoint) -> Value {
    let (status, content) = endpoint.answers;
    let mut responses = Map::new();
    responses.insert(status.to_string(), success(status, content));
    for status in endpoint.refuses {
        responses.insert(status.to_string(), refusal(&phrase(*status)));
    }
    responses.insert("default".to_owned(), refusal("Refused"));
    responses.into()
}

fn success(status: u16, content: Content) -> Value {
    let json = |schema: Value| json!({"application/json": {"schema": schema}});
    let content = match content {
        Content::Nothing => return json!({"description": phrase(status)}),
        Content::One(schema) => json(reference(schema)),
        Content::Many(schema) => json(json!({"type": "array", "items": reference(schema)})),
        Content::AnyObject => json(json!({"type": "object"})),
        Content::Bytes => json!({"application/octet-stream": {}}),
        Content::Events => json!({"text/event-stream": {
            "schema": {"type": "string"},
            "x-event-data": schemas::events(),
        }}),
    };
    json!({"description": phrase(status), "content": content})
}

fn refusal(what: &str) -> Value {
    let content = json!({"application/json": {"schema": reference("Error")}});
    json!({"description": what, "content": content})
}

fn phrase(status: u16) -> String {
    let status = StatusCode::from_u16(status).ok();
    status.and_then(|status| status.canonical_reason()).unwrap_or_default().to_owned()
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}
