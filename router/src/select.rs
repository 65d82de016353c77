//! Chooses the endpoint for one attempt: round-robin, past those that failed a moment ago.

use std::sync::Arc;

use lattice_model::Time;

use crate::pool::Endpoint;

/// The endpoint whose turn it is, never one of `tried` (backend ids).
///
/// Endpoints marked as failed are passed over. When only marked ones are left, the marks are
/// cleared and the round goes on: a guess beats a certain refusal. `preferred` is the instance a
/// sticky client asks for; it is a wish.
pub fn select<'p>(
    pool: &'p [Arc<Endpoint>],
    turn: usize,
    tried: &[u64],
    preferred: Option<&str>,
    now: Time,
) -> Option<&'p Arc<Endpoint>> {
    let usable = |endpoint: &&Arc<Endpoint>| {
        !tried.contains(&endpoint.backend.id) && !endpoint.backend.is_failed(now)
    };
    let wished = |wish| pool.iter().find(|e| &*e.backend.instance_id == wish).filter(usable);
    if let Some(endpoint) = preferred.and_then(wished) {
        return Some(endpoint);
    }
    let start = turn % pool.len().max(1);
    let round = || pool[start..].iter().chain(&pool[..start]);
    if let Some(endpoint) = round().find(usable) {
        return Some(endpoint);
    }
    let untried = round().find(|endpoint| !tried.contains(&endpoint.backend.id))?;
    for endpoint in pool {
        endpoint.backend.clear_failure();
    }
    Some(untried)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Backend;
    use crate::table::Announcement;

    fn pool(n: u64) -> Vec<Arc<Endpoint>> {
        (0..n)
            .map(|id| {
                let told = Announcement::for_test(&format!("10.0.0.1:{}", 1000 + id));
                let backend = Backend::new(id, told.addr, format!("guid-{id}").into());
                Arc::new(Endpoint::new(Arc::new(backend), &told, Time(0)))
            })
            .collect()
    }

    fn pick(pool: &[Arc<Endpoint>], turn: usize, tried: &[u64], wish: Option<&str>) -> Option<u64> {
        select(pool, turn, tried, wish, Time(10)).map(|endpoint| endpoint.backend.id)
    }

    #[test]
    fn turns_go_round_and_skip_what_was_tried_or_failed() {
        let pool = pool(3);
        pool[1].backend.mark_failed(Time(11));
        for (turn, tried, wish, expected) in [
            (0, &[][..], None, Some(0)),
            (1, &[], None, Some(2)),
            (2, &[], None, Some(2)),
            (3, &[], None, Some(0)),
            (0, &[0], None, Some(2)),
            (0, &[0], Some("guid-2"), Some(2)),
            (2, &[], Some("guid-0"), Some(0)),
            (2, &[], Some("guid-1"), Some(2)),
            (2, &[], Some("nobody"), Some(2)),
        ] {
            assert_eq!(pick(&pool, turn, tried, wish), expected, "{turn} {tried:?} {wish:?}");
        }
    }

    #[test]
    fn when_only_failed_ones_are_left_their_marks_are_cleared() {
        let pool = pool(2);
        pool.iter().for_each(|endpoint| endpoint.backend.mark_failed(Time(11)));
        assert_eq!(pick(&pool, 1, &[], None), Some(1));
        assert!(pool.iter().all(|endpoint| !endpoint.backend.is_failed(Time(10))));
    }

    #[test]
    fn a_mark_ends_by_itself() {
        let pool = pool(1);
        pool[0].backend.mark_failed(Time(11));
        assert!(pool[0].backend.is_failed(Time(10)));
        assert!(!pool[0].backend.is_failed(Time(11)));
    }

    #[test]
    fn nobody_is_chosen_when_all_were_tried_or_none_exist() {
        assert_eq!(pick(&pool(2), 0, &[0, 1], None), None);
        assert_eq!(pick(&pool(0), 5, &[], None), None);
    }
}
