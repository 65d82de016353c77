//! What is asked of moves. Ours.

use lattice_model::{ErrorName, Refusal};
use serde_json::Value;

use super::Complaints;
use super::field::Object;
use crate::brain::moves::{DrainRequest, IN_FLIGHT_MAX, MOVES_MAX, RebalanceRequest};

/// Reads how a cell is to be drained.
pub fn parse_drain(body: &Value) -> Result<DrainRequest, Refusal> {
    let fields = Object::root(body)?;
    let mut complaints = Complaints::default();
    let usual = DrainRequest::default();
    let request = DrainRequest {
        max_in_flight: in_flight(&fields, usual.max_in_flight, &mut complaints)?,
        dry_run: fields.bool("dry_run")?,
    };
    complaints.settle(ErrorName::InvalidRequest)?;
    Ok(request)
}

/// Reads how instances are to be spread anew.
pub fn parse_rebalance(body: &Value) -> Result<RebalanceRequest, Refusal> {
    let fields = Object::root(body)?;
    let mut complaints = Complaints::default();
    let usual = RebalanceRequest::default();
    let max_in_flight = in_flight(&fields, usual.max_in_flight, &mut complaints)?;
    let max_moves = fields.integer("max_moves")?.unwrap_or(usual.max_moves);
    if !(1..=MOVES_MAX).contains(&max_moves) {
        complaints.say(format!("Invalid field: max_moves (from 1 to {MOVES_MAX})"));
    }
    let request = RebalanceRequest { max_in_flight, max_moves, dry_run: fields.bool("dry_run")? };
    complaints.settle(ErrorName::InvalidRequest)?;
    Ok(request)
}

fn in_flight(fields: &Object<'_>, usual: u32, complaints: &mut Complaints) -> Result<u32, Refusal> {
    let asked = fields.integer("max_in_flight")?.unwrap_or(usual);
    if !(1..=IN_FLIGHT_MAX).contains(&asked) {
        complaints.say(format!("Invalid field: max_in_flight (from 1 to {IN_FLIGHT_MAX})"));
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_said_is_as_usual() {
        let usual = RebalanceRequest::default();
        assert_eq!(parse_rebalance(&json!({})).unwrap(), usual);
        assert_eq!(parse_drain(&json!({"more": 1})).unwrap(), DrainRequest::default());
        let asked = parse_drain(&json!({"max_in_flight": 1000, "dry_run": true})).unwrap();
        assert_eq!(asked, DrainRequest { max_in_flight: 1_000, dry_run: true });
    }

    #[test]
    fn amounts_out_of_bounds_are_refused_with_the_bounds() {
        for (body, message) in [
            (json!({"max_in_flight": 0}), "Invalid field: max_in_flight (from 1 to 1000)"),
            (json!({"max_in_flight": 1001}), "Invalid field: max_in_flight (from 1 to 1000)"),
            (
                json!({"max_in_flight": 0, "max_moves": 0}),
                "Invalid field: max_in_flight (from 1 to 1000), Invalid field: max_moves (from 1 \
                 to 10000)",
            ),
        ] {
            assert_eq!(parse_rebalance(&body).unwrap_err().message, message);
        }
        for body in [json!({"max_in_flight": -1}), json!({"dry_run": "yes"}), json!([])] {
            assert!(parse_drain(&body).is_err(), "{body}");
        }
    }
}
