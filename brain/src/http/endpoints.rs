//! Every endpoint, once: where it is, who answers, and how it is described. The router and the
//! OpenAPI document are both made of this table.

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use lattice_api::brain::routes;

use super::{
    Api, actual_lrps, auth, cells, custom_domains, desired_lrps, domains, events, images, moves,
    openapi, progress, registry_credentials, sync, tasks, version,
};

/// One endpoint.
pub(super) struct Endpoint {
    pub(super) path: &'static str,
    pub(super) method: &'static str,
    /// Its name for programs (`listTasks`).
    pub(super) id: &'static str,
    /// What it does, for people.
    pub(super) summary: &'static str,
    /// Parameters besides those of the path: where, name, and what for.
    pub(super) parameters: Vec<(&'static str, &'static str, &'static str)>,
    /// The schema of the body it reads.
    pub(super) takes: Option<&'static str>,
    /// The status and the body of success.
    pub(super) answers: (u16, Content),
    /// Statuses of refusals that are its own.
    pub(super) refuses: &'static [u16],
    handler: MethodRouter<Api>,
}

/// What a success has for a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing.
    Nothing,
    /// JSON of this schema.
    One(&'static str),
    /// A JSON list of it.
    Many(&'static str),
    /// Any JSON object.
    AnyObject,
    /// Server-sent events.
    Events,
    /// A file.
    Bytes,
}

use Content::{AnyObject, Bytes, Events, Many, Nothing, One};

/// The router over all endpoints.
pub(super) fn router() -> Router<Api> {
    let route =
        |router: Router<Api>, endpoint: Endpoint| router.route(endpoint.path, endpoint.handler);
    all().into_iter().fold(Router::new(), route)
}

/// All endpoints, in the order of the document.
pub(super) fn all() -> Vec<Endpoint> {
    let nouns = [
        of_desired_lrps(),
        of_actual_lrps(),
        of_tasks(),
        of_moves(),
        of_the_platform(),
        of_secrets(),
    ];
    nouns.into_iter().flatten().collect()
}

fn of_desired_lrps() -> Vec<Endpoint> {
    vec![
        get(routes::DESIRED_LRPS, "listDesiredLrps", desired_lrps::list)
            .says("Desired LRPs, by guid")
            .of_domain()
            .answers(200, Many("DesiredLrp")),
        post(routes::DESIRED_LRPS, "createDesiredLrp", desired_lrps::create)
            .says("Wants a new LRP")
            .takes("DesiredLrpCreate")
            .answers(201, Nothing)
            .refuses(&[400, 409]),
        get(routes::DESIRED_LRP, "getDesiredLrp", desired_lrps::show)
            .says("One desired LRP")
            .answers(200, One("DesiredLrp"))
            .refuses(&[404]),
        put(routes::DESIRED_LRP, "updateDesiredLrp", desired_lrps::update)
            .says("Changes instances, routes and annotation; what is absent stays")
            .takes("DesiredLrpUpdate")
            .answers(204, Nothing)
            .refuses(&[400, 404, 500]),
        delete(routes::DESIRED_LRP, "deleteDesiredLrp", desired_lrps::remove)
            .says("Wants an LRP no more")
            .answers(204, Nothing)
            .refuses(&[404]),
        get(routes::EXPLANATION, "explainInstance", desired_lrps::explain)
            .says("Where the auction would put an instance, and what it thinks of every cell")
            .answers(200, One("Explanation"))
            .refuses(&[400, 404]),
    ]
}

fn of_actual_lrps() -> Vec<Endpoint> {
    vec![
        get(routes::ACTUAL_LRPS, "listActualLrps", actual_lrps::list)
            .says("Instances, one record an index")
            .of_domain()
            .answers(200, Many("ActualLrp")),
        get(routes::ACTUAL_LRPS_OF, "listActualLrpsOf", actual_lrps::list_of)
            .says("The instances of one LRP; none when there is no such LRP")
            .answers(200, Many("ActualLrp")),
        get(routes::ACTUAL_LRP, "getActualLrp", actual_lrps::show)
            .says("One instance; 404 with `null` when there is none")
            .answers(200, One("ActualLrp"))
            .refuses(&[400]),
        delete(routes::ACTUAL_LRP, "retireActualLrp", actual_lrps::retire)
            .says("Stops one instance; it starts anew when still wanted")
            .answers(204, Nothing)
            .refuses(&[400, 404]),
        get(routes::PROGRESS, "getProgress", progress::list)
            .says("How far instances have come that are not running yet")
            .answers(200, Many("InstanceProgress")),
        get(routes::USAGE, "getUsage", actual_lrps::usage_of)
            .says("What the instances of one LRP use, as their cells measure it now")
            .answers(200, Many("CellUsage")),
    ]
}

fn of_tasks() -> Vec<Endpoint> {
    vec![
        get(routes::TASKS, "listTasks", tasks::list)
            .says("Tasks, by guid")
            .of_domain()
            .answers(200, Many("Task")),
        post(routes::TASKS, "createTask", tasks::create)
            .says("Wants a new task")
            .takes("TaskCreate")
            .answers(201, Nothing)
            .refuses(&[400, 409]),
        get(routes::TASK, "getTask", tasks::show)
            .says("One task")
            .answers(200, One("Task"))
            .refuses(&[404]),
        delete(routes::TASK, "deleteTask", tasks::remove)
            .says("Forgets a task that has ended")
            .answers(200, Nothing)
            .refuses(&[404, 409]),
        post(routes::CANCEL_TASK, "cancelTask", tasks::cancel)
            .says("Ends a task that has not ended")
            .answers(200, Nothing)
            .refuses(&[404, 500]),
    ]
}

fn of_moves() -> Vec<Endpoint> {
    vec![
        post(routes::DRAIN, "drainCell", moves::drain)
            .says(
                "Gives everything a cell runs to others, and nothing to it, until it is undrained",
            )
            .takes("Drain")
            .answers(200, One("MovePlan"))
            .refuses(&[400, 404]),
        delete(routes::DRAIN, "undrainCell", moves::undrain)
            .says("Makes a cell as any other again; what has found no other place stays")
            .answers(204, Nothing)
            .refuses(&[404]),
        post(routes::REBALANCE, "rebalance", moves::rebalance)
            .says("Spreads instances anew over the cells, once")
            .takes("Rebalance")
            .answers(200, One("MovePlan"))
            .refuses(&[400]),
        get(routes::MOVES, "listMoves", moves::list)
            .says("Cells that are drained, and instances that are on their way")
            .answers(200, One("Moves")),
    ]
}

fn of_the_platform() -> Vec<Endpoint> {
    const MAX_AGE: &str = "`max-age=N`: fresh for N seconds; without it, for ever";
    const TASKS_TOO: &str = "`true` tells of tasks too";
    const AFTER: &str = "the id of the last event seen; what came after it is told, or `resync`";
    vec![
        get(routes::CELLS, "listCells", cells::list)
            .says("Live cells, by id")
            .answers(200, Many("Cell")),
        get(routes::IMAGES, "listImages", images::list)
            .says("The images that cells keep unpacked, and how full their disks are")
            .answers(200, Many("CellImages")),
        post(routes::PRUNE_IMAGES, "pruneImages", images::prune)
            .says("Removes the images that no instance uses; they are pulled anew when wanted")
            .answers(200, Many("CellPruned")),
        get(routes::DOMAINS, "listDomains", domains::list)
            .says("Fresh domains")
            .answers(200, Many("Domain")),
        put(routes::DOMAIN, "upsertDomain", domains::upsert)
            .says("Vouches that the domain's list is complete")
            .parameter("header", "Cache-Control", MAX_AGE)
            .answers(204, Nothing)
            .refuses(&[400]),
        get(routes::EVENTS, "listenToEvents", events::stream)
            .says("What changes, as server-sent events")
            .parameter("query", "tasks", TASKS_TOO)
            .parameter("header", "Last-Event-ID", AFTER)
            .answers(200, Events),
        get(routes::VERSION, "getVersion", version::show)
            .says("What runs here")
            .answers(200, One("Version")),
        get(routes::OPENAPI, "getOpenApi", openapi::show)
            .says("This document")
            .answers(200, AnyObject),
        get(routes::SYNC, "downloadProgram", sync::download)
            .says("The `ltc` that fits; 500 with nothing when it is not kept here")
            .answers(200, Bytes),
        post(routes::AUTH_COOKIE, "getAuthCookie", auth::cookie)
            .says("Turns the credentials that were sent into a cookie")
            .answers(204, Nothing),
    ]
}

/// What is kept and never told whole.
fn of_secrets() -> Vec<Endpoint> {
    vec![
        get(routes::REGISTRY_CREDENTIALS, "listRegistryAccounts", registry_credentials::list)
            .says("The registries for which credentials are kept, and whose they are")
            .answers(200, Many("RegistryAccount")),
        put(routes::REGISTRY_CREDENTIALS, "putRegistryCredentials", registry_credentials::put)
            .says("Keeps what cells need to pull from a registry; nothing reads the password back")
            .takes("RegistryCredentials")
            .answers(204, Nothing)
            .refuses(&[400]),
        delete(
            routes::REGISTRY_CREDENTIALS_OF,
            "deleteRegistryCredentials",
            registry_credentials::remove,
        )
        .says("Forgets what is kept for a registry")
        .answers(204, Nothing)
        .refuses(&[404]),
        get(routes::CUSTOM_DOMAINS, "listCustomDomains", custom_domains::list)
            .says("Hosts of people's own and their certificates, without the keys")
            .answers(200, Many("CustomDomain")),
        put(routes::CUSTOM_DOMAIN, "putCustomDomain", custom_domains::put)
            .says(
                "Keeps a certificate for a host and shows it from now on, or orders one; nothing \
                 reads the key back",
            )
            .takes("CustomDomainCertificate")
            .answers(200, One("CustomDomain"))
            .refuses(&[400]),
        delete(routes::CUSTOM_DOMAIN, "deleteCustomDomain", custom_domains::remove)
            .says("Forgets a host's certificate")
            .answers(204, Nothing)
            .refuses(&[404]),
    ]
}

fn get<T: 'static>(
    path: &'static str,
    id: &'static str,
    handler: impl Handler<T, Api>,
) -> Endpoint {
    Endpoint::new(path, "get", id, on(MethodFilter::GET, handler))
}

fn post<T: 'static>(
    path: &'static str,
    id: &'static str,
    handler: impl Handler<T, Api>,
) -> Endpoint {
    Endpoint::new(path, "post", id, on(MethodFilter::POST, handler))
}

fn put<T: 'static>(
    path: &'static str,
    id: &'static str,
    handler: impl Handler<T, Api>,
) -> Endpoint {
    Endpoint::new(path, "put", id, on(MethodFilter::PUT, handler))
}

fn delete<T: 'static>(
    path: &'static str,
    id: &'static str,
    handler: impl Handler<T, Api>,
) -> Endpoint {
    Endpoint::new(path, "delete", id, on(MethodFilter::DELETE, handler))
}

// === impl Endpoint ===

impl Endpoint {
    fn new(
        path: &'static str,
        method: &'static str,
        id: &'static str,
        handler: MethodRouter<Api>,
    ) -> Self {
        let (summary, parameters, takes, refuses) = ("", Vec::new(), None, [].as_slice());
        let answers = (200, Nothing);
        Self { path, method, id, summary, parameters, takes, answers, refuses, handler }
    }

    fn says(self, summary: &'static str) -> Self {
        Self { summary, ..self }
    }

    fn of_domain(self) -> Self {
        self.parameter("query", "domain", "only those of this domain")
    }

    fn parameter(mut self, place: &'static str, name: &'static str, what: &'static str) -> Self {
        self.parameters.push((place, name, what));
        self
    }

    fn takes(self, schema: &'static str) -> Self {
        Self { takes: Some(schema), ..self }
    }

    fn answers(self, status: u16, content: Content) -> Self {
        Self { answers: (status, content), ..self }
    }

    fn refuses(self, refuses: &'static [u16]) -> Self {
        Self { refuses, ..self }
    }
}
