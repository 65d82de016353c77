//! `ltc update`: changes routes. A kind that is not named stays as it is, as do routes that are
//! not ours (the original dropped both).

use clap::ArgGroup;
use lattice_model::route::TCP_ROUTER;
use lattice_model::{DesiredLrp, DesiredLrpUpdate, Routes};

use super::create::{RouteFlags, refuse_deprecated};
use super::scale::not_there;
use crate::context::{Cx, app_name};
use crate::exit::{Failure, Outcome};
use crate::routes::{self, RouteError};
use crate::view::list::route_views;

/// Arguments of `ltc update`.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true)
    .args(["http_route", "tcp_route", "no_routes", "http_routes", "tcp_routes"]))]
pub struct Args {
    /// The app
    app: String,
    #[command(flatten)]
    routes: RouteFlags,
}

/// Updates and shows what the routes are now.
pub async fn run(args: Args, cx: &Cx) -> Outcome {
    let name = app_name(&args.app)?;
    refuse_deprecated(&args.routes)?;
    let lrp = cx.receptor.desired_lrp(&name).await.map_err(|e| not_there(&name, "update", e))?;
    let routes = changed(&lrp, &args.routes, cx.target.host())
        .map_err(|e| Failure::usage(e.to_string()).next("ltc help update"))?;
    let update = DesiredLrpUpdate { routes: Some(routes.clone()), ..DesiredLrpUpdate::default() };
    cx.receptor.update_lrp(&name, update).await.map_err(|e| not_there(&name, "update", e))?;
    let lrp = DesiredLrp { routes, ..(*lrp).clone() };
    let views = route_views(&lrp, &cx.target);
    if cx.out().is_json() {
        return cx.out().json(&views);
    }
    if views.is_empty() {
        cx.out().say(&format!("{name} has no routes now"));
        return Ok(());
    }
    cx.out().say(&format!("{name} is now reached at:"));
    cx.out().data(&views.iter().map(|v| format!("{}\n", v.address())).collect::<String>())
}

fn changed(lrp: &DesiredLrp, flags: &RouteFlags, domain: &str) -> Result<Routes, RouteError> {
    let mut all = lrp.routes.clone();
    let ports = lrp.containers.first().map(|c| c.ports.as_slice()).unwrap_or_default();
    if flags.no_routes {
        routes::set_http(&mut all, &[]);
        if all.0.contains_key(TCP_ROUTER) {
            routes::set_tcp(&mut all, &[]);
        }
    }
    if !flags.http_route.is_empty() {
        routes::set_http(&mut all, &routes::http_routes(&flags.http_route, ports, domain)?);
    }
    if !flags.tcp_route.is_empty() {
        let tcp: Result<Vec<_>, _> =
            flags.tcp_route.iter().map(|typed| routes::parse_tcp(typed, ports)).collect();
        routes::set_tcp(&mut all, &tcp?);
    }
    Ok(all)
}
